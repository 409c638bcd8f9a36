package golden_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

	// An answer too many that is there before the next request is not given to
	// it: the worker that sent it is replaced. Both answers go out in one write,
	// so that the second is there when the first is read.
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
