package golden_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

type check = func(got any) error

func response(f func(*httpResponse) error) check {
	return func(got any) error {
		r := got.(*httpResponse)
		if err := f(r); err != nil {
			return fmt.Errorf("%w (in %s)", err, show(r))
		}
		return nil
	}
}

func all(checks ...check) check {
	return func(got any) error {
		var errs []error
		for _, c := range checks {
			errs = append(errs, c(got))
		}
		return errors.Join(errs...)
	}
}

func either(checks ...check) check {
	return func(got any) error {
		var errs []error
		for _, c := range checks {
			err := c(got)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return fmt.Errorf("neither: %w", errors.Join(errs...))
	}
}

func want[T any](what string, want, got T) error {
	if fmt.Sprint(want) != fmt.Sprint(got) {
		return fmt.Errorf("%s: want %v, got %v", what, want, got)
	}
	return nil
}

func status(code int) check {
	return response(func(r *httpResponse) error { return want("status", code, r.Status) })
}

func body(text string) check {
	return response(func(r *httpResponse) error { return want("body", text, r.Body) })
}

var whole = response(func(r *httpResponse) error { return want("truncated", false, r.Truncated) })

// failed: the worker's answer was unusable.
var failed = response(func(r *httpResponse) error {
	if r.Status < 500 {
		return fmt.Errorf("status %d: want an error of the server", r.Status)
	}
	return nil
})

// refused: the request is the client's mistake.
func refused(c *goldenCase) {
	c.response(0).check = all(status(400), whole, response(func(r *httpResponse) error {
		if strings.Contains(r.Body, "serve_http") {
			return fmt.Errorf("the body discloses internals: %q", r.Body)
		}
		return nil
	}))
}

func frameCheck(f func(*jobFrame) error) check {
	return func(got any) error { return f(got.(*jobFrame)) }
}

// tree: the body is one of these JSON trees.
func tree(trees ...string) check {
	return frameCheck(func(j *jobFrame) error {
		if j.Context["parsed"] != true {
			return fmt.Errorf("the body is not parsed: %q", j.Body)
		}
		for _, t := range trees {
			if len(matcher{}.diff("", jsonBody(t), jsonBody(j.Body))) == 0 {
				return nil
			}
		}
		return fmt.Errorf("body: want %s, got %s", trees[0], j.Body)
	})
}

func rawBody(text string) check {
	return frameCheck(func(j *jobFrame) error {
		return errors.Join(want("parsed", any(false), j.Context["parsed"]), want("body", text, j.Body))
	})
}

// latin1: bytes that are not UTF-8 reach the worker as the code points of the
// same numbers, from which they can be had back, and not as U+FFFD.
func latin1(text string) func(*goldenCase) {
	return func(c *goldenCase) { c.frame(0).check = tree(text) }
}

func head(status int, header ...string) httpHead {
	h := httpHead{Status: status}
	for i := 0; i < len(header); i += 2 {
		h.Headers = append(h.Headers, [2]string{header[i], header[i+1]})
	}
	return h
}

func interim(heads ...httpHead) check {
	return response(func(r *httpResponse) error {
		got := slices.Clone(r.Interim)
		for i := range got {
			got[i].Reason = ""
		}
		return want("interim responses", heads, got)
	})
}

// hints: the final answer carries X-F, and nothing of the interim responses.
func hints(final int, text string, heads ...httpHead) func(*goldenCase) {
	return func(c *goldenCase) {
		c.response(0).check = all(status(final), body(text), whole, interim(heads...), response(func(r *httpResponse) error {
			return errors.Join(
				want("X-F", []string{"1"}, header(r.Headers, "X-F")),
				want("Link", nil, header(r.Headers, "Link")), want("X-P", nil, header(r.Headers, "X-P")))
		}))
	}
}

func brokenOff(c *goldenCase) {
	c.response(0).check = all(status(200), body("one"), response(func(r *httpResponse) error {
		return want("truncated", true, r.Truncated)
	}))
}

// understoodOrFailed: 201 with the body, or an error; then the next request is
// served by whatever worker.
func understoodOrFailed(c *goldenCase) {
	c.response(0).check = either(all(status(201), body("x")), failed)
	anyWorkerNext(c)
}

// thenServed: an error, then the next request is served by whatever worker.
func thenServed(c *goldenCase) {
	c.response(0).check = failed
	anyWorkerNext(c)
}

func anyWorkerNext(c *goldenCase) {
	c.frame(1).anyWorker = true
}

// overloaded: no worker had time for the request.
var overloaded = all(status(503), response(func(r *httpResponse) error {
	if len(header(r.Headers, "Retry-After")) != 1 {
		return errors.New("no Retry-After")
	}
	return nil
}))

// queueFull: while the only worker is busy, of three further requests at least
// two are refused at once. RoadRunner counts the one at the worker too and
// refuses all; with max_queue_size 1 one may wait here, and is served then.
func queueFull(c *goldenCase) {
	const more = 3
	serve := c.Steps[len(c.Steps)-2:] // the worker's answer to c1, and c1's response
	c.Steps = append(c.Steps[:2:2], &step{Do: "overload", call: func(r *replay) error {
		type result struct {
			got *httpResponse
			err error
		}
		answered := make(chan result, more)
		for i := range more {
			w, err := r.conn(&step{Conn: fmt.Sprint("more", i)})
			if err != nil {
				return err
			}
			if err := w.send([]byte("GET /2 HTTP/1.1\r\nHost: example.test\r\n\r\n"), r.limit); err != nil {
				return err
			}
			go func() {
				got, err := w.response("GET", r.limit)
				answered <- result{got, err}
			}()
		}
		late := time.After(r.limit / 4)
		for range more - 1 {
			select {
			case a := <-answered:
				if a.err != nil {
					return a.err
				}
				if err := overloaded(a.got); err != nil {
					return err
				}
			case <-late:
				return errors.New("the queue is full, but requests are not refused at once")
			}
		}
		for _, st := range serve {
			if err := r.step(st); err != nil {
				return err
			}
		}
		select {
		case a := <-answered: // refused as well
			return errors.Join(a.err, overloaded(a.got))
		case <-r.hasFrame("w1"):
		}
		if err := r.step(&step{Do: "frame", Worker: "w1"}); err != nil {
			return err
		}
		if err := r.step(serve[0]); err != nil {
			return err
		}
		a := <-answered
		if a.err != nil {
			return a.err
		}
		return status(200)(a.got)
	}})
}

func remoteAddr(addresses ...any) func(*goldenCase) {
	return func(c *goldenCase) {
		c.frame(0).check = frameCheck(func(j *jobFrame) error {
			if !slices.Contains(addresses, j.Context["remote_addr"]) {
				return fmt.Errorf("remote_addr: want %v, got %v", addresses[0], j.Context["remote_addr"])
			}
			return nil
		})
	}
}

func rpcError(got any) error {
	a := got.(*rpcAnswer)
	if a.Closed || a.Frame.Flags&flagError == 0 {
		return fmt.Errorf("want an error, got closed: %t, %s", a.Closed, show(string(a.Result)))
	}
	return nil
}

func rpcClosed(got any) error {
	return want("closed", true, got.(*rpcAnswer).Closed)
}

// items: the answer of kv.Has, kv.MGet or kv.TTL.
func items(list ...map[string]any) check {
	return func(got any) error {
		v, err := got.(*rpcAnswer).value()
		if err != nil {
			return err
		}
		wanted := []any{}
		for _, i := range list {
			wanted = append(wanted, i)
		}
		answer, _ := v["proto"].(map[string]any)
		if d := (matcher{}).diff("items", wanted, answer["items"]); len(d) > 0 {
			return errors.New(strings.Join(d, "; "))
		}
		return nil
	}
}
