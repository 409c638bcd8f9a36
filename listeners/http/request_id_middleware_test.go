package http

import (
	"strings"
	"testing"
)

func TestRequestIDMiddleware(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      MiddlewareConfig
		header string // that the client sends
		taken  bool
	}{
		{"trusted", MiddlewareConfig{}, "X-Request-Id: abc", true},
		{"insane", MiddlewareConfig{}, "X-Request-Id: a b", false},
		{"long", MiddlewareConfig{}, "X-Request-Id: " + strings.Repeat("x", 200), false},
		{"none", MiddlewareConfig{RequestID: RequestID{Trust: "none"}}, "X-Request-Id: abc", false},
		{"proxies", MiddlewareConfig{RequestID: RequestID{Trust: "proxies"}, TrustedSubnets: []string{"127.0.0.0/8"}}, "X-Request-Id: abc", true},
		{"not a proxy", MiddlewareConfig{RequestID: RequestID{Trust: "proxies"}, TrustedSubnets: []string{"10.0.0.0/8"}}, "X-Request-Id: abc", false},
		{"another field", MiddlewareConfig{RequestID: RequestID{Header: "x-trace"}}, "X-Trace: abc", true},
		{"missing", MiddlewareConfig{}, "X: 1", false},
	} {
		var rec recorder
		s, _ := serveWith(t, Config{Middleware: []string{"request_id"}, MiddlewareConfig: tt.c}, rec.exec())
		name := "X-Request-Id"
		if tt.c.RequestID.Header != "" {
			name = "X-Trace"
		}
		id := s.get(t, "/", tt.header).Header.Get(name)
		if id == "" || (id == "abc") != tt.taken {
			t.Errorf("%s: %q", tt.name, id)
		}
		p := rec.last(t)
		if p.ID != id || !strings.Contains(string(p.Context), `"`+name+`":["`+id+`"]`) {
			t.Errorf("%s: the client got %q, the worker %q and %s", tt.name, id, p.ID, p.Context)
		}
		if again := s.get(t, "/").Header.Get(name); again == id {
			t.Errorf("%s: %q twice", tt.name, again)
		}
	}
}
