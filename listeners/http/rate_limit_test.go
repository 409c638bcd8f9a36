package http

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestRateLimit(t *testing.T) {
	c := Config{Middleware: []string{"rate_limit"}, MiddlewareConfig: MiddlewareConfig{RateLimit: RateLimit{Requests: 3, Per: time.Hour, Header: "X-Api-Key"}}}
	s, _ := serveWith(t, c, answering(msg(okContext, "ok")))
	for _, client := range []string{"X-Api-Key: a", "X-Api-Key: b", "X: 1"} {
		for i := range 5 {
			res := s.get(t, "/", client)
			if i < 3 && res.StatusCode != 200 || i >= 3 && res.StatusCode != 429 {
				t.Errorf("%s, request %d: %d", client, i, res.StatusCode)
			}
			if res.StatusCode == 429 {
				if wait, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || wait < 1000 || wait > 1200 {
					t.Errorf("Retry-After: %q", res.Header.Get("Retry-After"))
				}
			}
		}
	}
}

func TestRateLimiter(t *testing.T) {
	l := newRateLimiter(RateLimit{Requests: 10, Per: time.Second, Burst: 2, MaxClients: 3})
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 100 * time.Millisecond} {
		if wait := l.take("a", now); (wait - want).Abs() > time.Millisecond {
			t.Errorf("%d: %s, want %s", i, wait, want)
		}
	}
	// It is told right: after that time there is a token.
	if wait := l.take("a", now.Add(100*time.Millisecond)); wait != 0 {
		t.Errorf("%s", wait)
	}
	// The memory is bounded, and who comes often is not forgotten for strangers.
	for i := range 1000 {
		l.take(fmt.Sprint("stranger", i), now.Add(100*time.Millisecond))
		if wait := l.take("a", now.Add(100*time.Millisecond)); wait == 0 {
			t.Fatalf("forgotten after %d strangers", i)
		}
	}
	if len(l.clients) != 3 || l.recent.Len() != 3 {
		t.Errorf("%d and %d clients", len(l.clients), l.recent.Len())
	}
}

func TestRateLimitKey(t *testing.T) {
	l := newRateLimiter(RateLimit{Requests: 1})
	for addr, want := range map[string]string{
		"1.2.3.4:55": "1.2.3.4", "1.2.3.4": "1.2.3.4", "[2001:db8:0:1::7]:80": "2001:db8:0:1::", "2001:db8:0:1:2::8": "2001:db8:0:1::", "@": "@", "": "",
	} {
		if got := l.key(&http.Request{RemoteAddr: addr}); got != want {
			t.Errorf("%s: %q", addr, got)
		}
	}
}
