package golden_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

func (r *replay) uploadsGone() error {
	left := r.uploads
	for end := time.Now().Add(r.limit); ; pause(5 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(name string) bool {
			_, err := os.Stat(name)
			return errors.Is(err, os.ErrNotExist)
		})
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("temporary files are left: %v", left)
		}
	}
}

func (r *replay) response(st *step) error {
	w, err := r.conn(st)
	if err != nil {
		return err
	}
	got, err := w.response(st.Method, r.limit)
	if err != nil {
		return fmt.Errorf("%w; so far: %s; %s", err, show(got), r.situation())
	}
	if st.check != nil {
		return st.check(got)
	}
	want, ok := st.Expect.(map[string]any)
	if !ok {
		return nil
	}
	if want["closed"] == true && !w.closed(r.limit) {
		err = errors.New("the connection is not closed")
	}
	return errors.Join(err, r.compareResponse(st, want, got))
}

// compareResponse applies the rules of data/README.md, "How a response is
// compared".
func (r *replay) compareResponse(st *step, want map[string]any, got *httpResponse) error {
	if want["none"] == true || got.None {
		if (want["none"] == true) != got.None {
			return fmt.Errorf("closed without an answer: want %v, got %t (%s)", want["none"] == true, got.None, show(got))
		}
		return nil
	}
	body := any(got.Body)
	m := r.match
	m.unordered = st.Unordered
	switch st.Kind {
	case "gzip": // what is encoded; the recorder left other bodies as they were
		if len(header(got.Headers, "Content-Encoding")) == 0 || header(got.Headers, "Content-Encoding")[0] != "gzip" || got.Body == "" {
			break
		}
		s, err := gunzip(got.Body)
		if err != nil {
			return fmt.Errorf("body %q: %w", got.Body, err)
		}
		body = s
	case "json":
		if err := decodeJSON([]byte(got.Body), &body); err != nil {
			return fmt.Errorf("body %q: %w", got.Body, err)
		}
	case "metrics":
		page, err := parseMetrics(got.Body)
		if err != nil {
			return err
		}
		wanted, _ := want["body"].(map[string]any)
		keepValues(wanted, page)
		body = page
	}
	errs := []error{
		r.diff(m, map[string]any{"body": want["body"]}, map[string]any{"body": body}),
		r.diff(r.match,
			map[string]any{"proto": want["proto"], "status": want["status"], "reason": want["reason"], "truncated": want["truncated"]},
			map[string]any{"proto": got.Proto, "status": number(got.Status), "reason": got.Reason, "truncated": got.Truncated}),
	}
	ignore := slices.Clone(st.Ignore)
	ignore = append(ignore, "Date")
	delimited := func(framing any) bool { return framing == "chunked" || framing == "length" }
	if got.Body != "" && !got.Truncated && delimited(got.Framing) && delimited(want["framing"]) {
		ignore = append(ignore, "Content-Length", "Transfer-Encoding")
	} else if want["framing"] != got.Framing {
		errs = append(errs, fmt.Errorf("framing: want %v, got %s", want["framing"], got.Framing))
	}
	errs = append(errs, r.headers("headers", want["headers"], got.Headers, ignore))
	if t, ok := want["trailers"]; ok {
		errs = append(errs, r.headers("trailers", t, got.Trailers, nil))
	}
	interim, _ := want["interim"].([]any)
	if len(interim) != len(got.Interim) {
		errs = append(errs, fmt.Errorf("interim: want %s, got %s", show(interim), show(got.Interim)))
	} else {
		for i, h := range got.Interim {
			head, _ := interim[i].(map[string]any)
			errs = append(errs, r.diff(r.match,
				map[string]any{"status": head["status"], "reason": head["reason"]},
				map[string]any{"status": number(h.Status), "reason": h.Reason}),
				r.headers("interim headers", head["headers"], h.Headers, ignore))
		}
	}
	return errors.Join(errs...)
}

// headers compares headers per name: case of the name and order of different
// names do not count, order and number of the values do.
func (r *replay) headers(what string, want any, got [][2]string, ignore []string) error {
	group := func(list [][2]any) map[string]any {
		out := map[string]any{}
		for _, h := range list {
			name := strings.ToLower(h[0].(string))
			if !slices.ContainsFunc(ignore, func(i string) bool { return strings.EqualFold(i, name) }) {
				values, _ := out[name].([]any)
				out[name] = append(values, h[1])
			}
		}
		return out
	}
	var w, g [][2]any
	list, _ := want.([]any)
	for _, e := range list {
		pair, _ := e.([]any)
		name, ok := text(pair[0])
		if !ok {
			return fmt.Errorf("%s: strange recording %s", what, show(e))
		}
		w = append(w, [2]any{name, pair[1]})
	}
	for _, h := range got {
		g = append(g, [2]any{h[0], h[1]})
	}
	if err := r.diff(r.match, group(w), group(g)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (r *replay) fcgiResponse(st *step) error {
	w, err := r.conn(st)
	if err != nil {
		return err
	}
	headers, body, err := w.fcgi(r.limit)
	if err != nil {
		return err
	}
	want, _ := st.Expect.(map[string]any)
	return errors.Join(r.headers("headers", want["headers"], headers, []string{"Date"}),
		r.diff(r.match, map[string]any{"body": want["body"]}, map[string]any{"body": body}))
}

// poll asks an address until it answers with the status.
func (r *replay) poll(st *step) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	last := ""
	for ; ctx.Err() == nil; pause(20 * time.Millisecond) {
		to := st.To
		if to == "" {
			to = "http"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.s.addresses[to]+st.Path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			last = err.Error()
			continue
		}
		_ = resp.Body.Close()
		if last = resp.Status; resp.StatusCode == st.Status {
			return nil
		}
	}
	return fmt.Errorf("no status %d: %s", st.Status, last)
}
