package http

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// A name of http.middleware leads to the constructor of that name, in order.
func TestMiddlewareRegistry(t *testing.T) {
	mark := func(name string) middlewareConstructor {
		return func(Config, Environment) (Middleware, error) {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Add("X-Order", name)
					next.ServeHTTP(w, r)
				})
			}, nil
		}
	}
	middlewares["inner"], middlewares["outer"] = mark("inner"), mark("outer")
	middlewares["broken"] = func(Config, Environment) (Middleware, error) { return nil, errors.New("no key") }
	t.Cleanup(func() {
		for _, name := range []string{"inner", "outer", "broken"} {
			delete(middlewares, name)
		}
	})

	c := Config{Middleware: []string{"inner", "unknown", "outer", "inner"}}
	list, err := NewMiddleware(c, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, c, answering(msg(okContext, "ok")), func(o *Options) { o.Middleware = list })
	if res := s.dial(t).do("GET", plainGet, ""); strings.Join(res.Header["X-Order"], " ") != "outer inner" {
		t.Errorf("%q", res.Header["X-Order"])
	}
	if _, err := NewMiddleware(Config{Middleware: []string{"broken"}}, Environment{}); err == nil || !strings.Contains(err.Error(), `"broken": no key`) {
		t.Errorf("%v", err)
	}
	if HasMiddleware("unknown") || !HasMiddleware("inner") {
		t.Error("names are not told apart")
	}
}
