package golden_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// better says, for every recording of a mistake of RoadRunner (upstream_bug),
// what rrd does instead. Each entry changes the steps of its case: usually it
// replaces what a step expects by a check. A recorded mistake without an entry
// fails the test.
var better = map[string]func(*goldenCase){
	// Malformed forms are the client's fault, and its answer must not tell of
	// our insides.
	"http-chunked-bad-size":        refused,
	"http-form-conflict-list-tree": refused,
	"http-form-conflict-deep":      refused,
	"http-form-semicolon":          refused,
	"http-form-type-param-bad":     refused,
	"http-form-query-semicolon":    refused,
	"http-multipart-truncated":     refused,
	"http-multipart-bad-query":     refused,
	"http-multipart-no-body":       refused,
	"http-internal-code-form":      refused,
	"http-headers-form-error": func(c *goldenCase) {
		c.response(0).check = all(status(400), response(func(r *httpResponse) error {
			return want("X-Powered-By", []string{"rr"}, header(r.Headers, "X-Powered-By"))
		}))
	},

	// Nothing of a form is lost.
	"http-form-object-list-merge": func(c *goldenCase) {
		c.frame(0).check = tree(`{"a":[{"b":"1"},{"c":"2"}]}`, `{"a":{"0":{"b":"1"},"1":{"c":"2"}}}`)
	},
	"http-form-invalid-utf8":      latin1(`{"a":"ÿþx"}`),
	"http-form-invalid-utf8-key":  latin1(`{"ÿ":"1"}`),
	"http-multipart-invalid-utf8": latin1(`{"a":"ÿþ"}`),
	"http-form-delete":            func(c *goldenCase) { c.frame(0).check = tree(`{"a":"1","b":["2"]}`) },
	"http-form-get":               func(c *goldenCase) { c.frame(0).check = tree(`{"a":"1","b":["2"]}`) },
	// A type that merely contains the name of the form type is no form.
	"http-form-type-contains": func(c *goldenCase) { c.frame(0).check = rawBody("a=1") },
	"http-form-type-suffix":   func(c *goldenCase) { c.frame(0).check = rawBody("a=1") },

	// Interim responses: all of them, their headers not on the final answer,
	// the final status as the worker said. A worker that never gives a final
	// status has failed.
	"http-status-103-final": func(c *goldenCase) { c.response(0).check = failed },
	"http-status-101-final": func(c *goldenCase) { c.response(0).check = failed },
	"http-early-hints":      hints(200, "done", head(103, "Link", "</a.css>; rel=preload")),
	"http-early-hints-404":  hints(404, "gone", head(103, "Link", "</a.css>")),
	"http-early-hints-several": hints(200, "done",
		head(100), head(102, "X-P", "1"), head(103, "Link", "</a>")),
	"http-early-hints-stream": hints(200, "onetwo", head(103, "Link", "</a>")),
	"http-early-hints-head":   hints(200, "", head(103, "Link", "</a>")),
	"http-sendfile-early-hints-404": func(c *goldenCase) {
		c.response(0).check = all(status(404), body("done"), interim(head(103, "Link", "</a>")))
	},

	// A Content-Length that does not fit the body must not cut it silently:
	// either the body comes whole or the answer is an error.
	"http-length-shorter-than-body": func(c *goldenCase) {
		c.response(0).check = either(all(status(200), whole, body("hello")), all(failed, whole))
	},
	"http-sendfile-length": func(c *goldenCase) { c.response(0).check = all(status(200), whole, body("file content")) },

	"http-trailer-stream": func(c *goldenCase) {
		c.response(0).check = all(status(200), body("ab"), response(func(r *httpResponse) error {
			return want("trailers", [][2]string{{"X-T", "tv"}}, r.Trailers)
		}))
	},
	"http-trailer-forbidden": func(c *goldenCase) {
		c.response(0).check = all(status(200), body("body"), response(func(r *httpResponse) error {
			return want("trailer Content-Length", nil, header(r.Trailers, "Content-Length"))
		}))
	},

	// A stream that broke off is seen to have broken off.
	"http-stream-error-mid":   brokenOff,
	"http-stream-exit-mid":    brokenOff,
	"http-stream-garbage-mid": brokenOff,

	// An answer in JSON is as good as one in protobuf. An answer that is
	// neither is an error, not an empty 200; whether the worker stays is not
	// said.
	"http-odd-json-answer": func(c *goldenCase) {
		c.response(0).check = all(status(201), body("hello"), response(func(r *httpResponse) error {
			return want("X-J", []string{"1"}, header(r.Headers, "X-J"))
		}))
	},
	"http-odd-flags-0-proto":        understoodOrFailed,
	"http-odd-flags-proto-and-json": understoodOrFailed,
	"http-odd-control-flag":         thenServed,
	"http-odd-stop-with-body":       thenServed,

	// An answer too many is never given to the next client: the worker that
	// sent it is replaced. Both answers go out in one write, so that the second
	// is there when the first is read.
	"http-odd-extra-answer": func(c *goldenCase) {
		one, stale := c.nth("answer", 0), c.nth("answer", 1)
		one.with = stale
		c.Steps = slices.DeleteFunc(c.Steps, func(s *step) bool { return s == stale })
		c.frame(1).Worker, c.nth("answer", 1).Worker = "next", "next"
		c.response(1).check = all(status(200), body("two"))
	},

	// Overload is 503 with advice when to come back.
	"http-queue-full":     queueFull,
	"http-no-free-worker": func(c *goldenCase) { c.response(0).check = overloaded },

	"http-cors-preflight-list-space": func(c *goldenCase) {
		c.response(0).check = all(status(200), response(func(r *httpResponse) error {
			return errors.Join(
				want("Access-Control-Allow-Origin", []string{"http://b.test"}, header(r.Headers, "Access-Control-Allow-Origin")),
				want("Access-Control-Allow-Methods", []string{"GET"}, header(r.Headers, "Access-Control-Allow-Methods")))
		}))
	},
	"http-static-weak-other": func(c *goldenCase) {
		c.response(0).check = all(status(200), body("body{}"), response(func(r *httpResponse) error {
			tag := header(r.Headers, "Etag")
			if len(tag) != 1 || !strings.HasPrefix(tag[0], `W/"`) || tag[0] == `W/"2258748658"` {
				return fmt.Errorf("ETag %q: want a weak one that is not made of the name alone", tag)
			}
			return nil
		}))
	},

	// The client's address: from the right over the trusted subnets, and only
	// what is an address.
	"http-proxy-xff-two":           remoteAddr("5.6.7.8"),
	"http-proxy-xff-garbage":       remoteAddr("127.0.0.1"),
	"http-proxy-xff-two-lines":     remoteAddr("2.2.2.2"),
	"http-proxy-xff-ipv6-port":     remoteAddr("2001:db8::1"),
	"http-proxy-real-ip-list":      remoteAddr("127.0.0.1", "2.2.2.2"),
	"http-proxy-forwarded-several": remoteAddr("2.2.2.2"),
	"http-proxy-forwarded-hidden":  remoteAddr("127.0.0.1"),

	"http-metrics-implicit-status": func(c *goldenCase) {
		c.nth("response", 1).check = response(func(r *httpResponse) error {
			if !strings.Contains(r.Body, `status="200"`) || strings.Contains(r.Body, `status="-1"`) {
				return fmt.Errorf("no metric with status 200, or one with -1: %q", r.Body)
			}
			return nil
		})
	},
	"status-jobs-without-plugin": func(c *goldenCase) {
		c.response(0).check = response(func(r *httpResponse) error {
			if r.None || r.Truncated {
				return errors.New("no answer")
			}
			return nil
		})
	},

	// What would crash RoadRunner gets an error, or loses its connection.
	"rpc-error-method-length-too-big":  func(c *goldenCase) { c.rpc(0).check = either(rpcClosed, rpcError) },
	"rpc-lock-ttl-negative":            func(c *goldenCase) { c.rpc(0).check = rpcError },
	"rpc-metrics-add-negative-counter": func(c *goldenCase) { c.rpc(0).check = rpcError },

	// KV: Set writes all or nothing, a time in the past is past, a new time is
	// reported and never touches the value, a missing key stays missing.
	"rpc-kv-mem-set-bad-ttl-second-item":  func(c *goldenCase) { c.rpc(2).check = items() },
	"rpc-kv-bolt-set-bad-ttl":             func(c *goldenCase) { c.rpc(2).check = items() },
	"rpc-kv-bolt-set-bad-ttl-second-item": func(c *goldenCase) { c.rpc(2).check = items() },
	"rpc-kv-mem-set-past":                 func(c *goldenCase) { c.rpc(2).check = items() },
	"rpc-kv-bolt-set-past":                func(c *goldenCase) { c.rpc(2).check = items() },
	"rpc-kv-mem-mexpire": func(c *goldenCase) {
		c.rpc(3).check = items(map[string]any{"key": "a", "value": "v"})
	},
	"rpc-kv-mem-mexpire-has-ttl": func(c *goldenCase) {
		c.rpc(4).check = items(map[string]any{"key": "a", "timeout": "2099-01-02T03:04:05+00:00"})
	},
	"rpc-kv-mem-mexpire-missing": func(c *goldenCase) {
		c.rpc(2).check, c.rpc(3).check = items(), items()
	},
	"rpc-kv-bolt-overwrite-drops-ttl": func(c *goldenCase) { c.rpc(3).check = items() },

	"rpc-service-create-empty-name": func(c *goldenCase) {
		c.rpc(0).check = rpcError
		c.rpc(1).Expect.(map[string]any)["proto"] = map[string]any{"services": []any{"base"}}
		c.rpc(2).check = rpcError
	},
	"rpc-jobs-declare-unknown-driver": func(c *goldenCase) { c.rpc(0).check = rpcError },
	"cli-reset-unknown": func(c *goldenCase) {
		c.nth("cli", 0).check = func(got any) error {
			r := got.(*cliResult)
			if r.Exit == 0 || !strings.Contains(r.Stderr, "nope") || strings.Contains(r.Stderr, "plugin reset: [nope]") {
				return fmt.Errorf("want a failure that names nope, got exit %d, stderr %q", r.Exit, r.Stderr)
			}
			return nil
		}
	},
}

// The steps of a case, by kind and number.

func (c *goldenCase) nth(do string, n int) *step {
	for _, s := range c.Steps {
		if s.Do == do {
			if n == 0 {
				return s
			}
			n--
		}
	}
	panic(fmt.Sprintf("%s has no further step %s", c.ID, do))
}

func (c *goldenCase) response(n int) *step { return c.nth("response", n) }
func (c *goldenCase) frame(n int) *step    { return c.nth("frame", n) }
func (c *goldenCase) rpc(n int) *step      { return c.nth("rpc", n) }

// Checks.

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
