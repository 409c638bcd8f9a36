package http

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		match    Match
		yes, not []string // METHOD URL [NAME:VALUE]
	}{
		{Match{}, []string{"GET http://a/", "OPTIONS http://b/x"}, nil},
		{Match{Path: []string{"/api/"}}, []string{"GET http://a/api", "GET http://a/api/", "GET http://a/%61pi/x"}, []string{"GET http://a/apis", "GET http://a/", "GET http://a/x/api"}},
		{Match{Path: []string{"/"}}, []string{"GET http://a/", "GET http://a/x"}, nil},
		{Match{Path: []string{"/files/*.pdf", "/v?/**"}}, []string{"GET http://a/files/a.pdf", "GET http://a/v1/x/y"}, []string{"GET http://a/files/x/a.pdf", "GET http://a/files/a.pdf/", "GET http://a/v12/x", "GET http://a/files/axpdf"}},
		{Match{Path: []string{"**.json"}}, []string{"GET http://a/x/y.json"}, []string{"GET http://a/x/y.xml"}},
		{Match{Host: []string{"shop.test", "*.Api.test"}}, []string{"GET http://SHOP.test:8080/", "GET http://x.api.test/", "GET http://shop.test./"}, []string{"GET http://api.test/", "GET http://xshop.test/", "GET http://shop.test.evil/"}},
		{Match{Method: []string{"post", "PUT"}}, []string{"POST http://a/", "PUT http://a/"}, []string{"GET http://a/"}},
		{Match{Header: map[string]string{"x-kind": "slow*", "accept": "*"}}, []string{"GET http://a/ X-Kind:slow-1 Accept:x"}, []string{"GET http://a/ X-Kind:fast Accept:x", "GET http://a/ X-Kind:slow"}},
		{Match{Host: []string{"a"}, Path: []string{"/x"}, Method: []string{"GET"}}, []string{"GET http://a/x"}, []string{"GET http://b/x", "POST http://a/x", "GET http://a/y"}},
	} {
		m := newMatcher(&tt.match)
		check := func(list []string, want bool) {
			for _, text := range list {
				f := strings.Fields(text)
				r := httptest.NewRequest(f[0], f[1], nil)
				for _, field := range f[2:] {
					name, value, _ := strings.Cut(field, ":")
					r.Header.Add(name, value)
				}
				if got := m.matches(r); got != want {
					t.Errorf("%+v: %s: %v", tt.match, text, got)
				}
			}
		}
		check(tt.yes, true)
		check(tt.not, false)
	}
}

func TestRouteMistakes(t *testing.T) {
	for _, tt := range []struct {
		routes []Route
		want   string
	}{
		{[]Route{{}, {Match: Match{Path: []string{"/a"}}}}, "http.routes[0].match: is empty and matches every request"},
		{[]Route{{Match: Match{Path: []string{"api"}}}}, `http.routes[0].match.path: "api" matches no path: begin it with /`},
		{[]Route{{Match: Match{Host: []string{"a.*"}}}}, `http.routes[0].match.host: "a.*" is no host name`},
		{[]Route{{Match: Match{Host: []string{"a:80"}}}}, `http.routes[0].match.host: "a:80" is no host name`},
		{[]Route{{Match: Match{Method: []string{"GE T"}}}}, `http.routes[0].match.method: "GE T" is no method`},
		{[]Route{{Match: Match{Header: map[string]string{"a b": "*"}}}}, `http.routes[0].match.header: "a b" is no name`},
		{[]Route{{Priority: "urgent"}}, `http.routes[0].priority: unknown priority "urgent": use high, normal or low`},
		{[]Route{{Timeout: 5}}, "http.routes[0].timeout: 5ns is no time to wait"},
		{[]Route{{AllocateTimeout: -time.Second}}, "http.routes[0].allocate_timeout: -1s is no time"},
		{[]Route{{MaxQueueSize: -1}}, "http.routes[0].max_queue_size: cannot be negative"},
		{[]Route{{MaxRequestSize: 5000}}, "http.routes[0].max_request_size: 5000 MiB do not fit"},
	} {
		c := Config{Routes: tt.routes}
		c.Defaults()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	c := Config{Routes: []Route{{Pool: "slow"}}}
	if err := c.CheckPools([]string{"slower", "fast"}); err == nil || err.Error() != `http.routes[0].pool: unknown pool "slow": write one of http.pools (fast, slower), or nothing for http.pool` {
		t.Error(err)
	}
	if err := c.CheckPools(nil); err == nil || !strings.HasSuffix(err.Error(), "add it to http.pools, with {} for the defaults") {
		t.Error(err)
	}
	for _, name := range []string{"", "a/b", "..", "-a", "a b", "ä", strings.Repeat("a", 64), "http", "pool"} {
		if err := c.CheckPools([]string{"slow", name}); err == nil || !strings.HasPrefix(err.Error(), "http.pools."+name+": ") {
			t.Errorf("%q: %v", name, err)
		}
	}
	c.Routes[0].Pool = "SLOW"
	c.Defaults()
	if err := c.CheckPools([]string{"slow", "2-b_c"}); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Config: c, Listeners: nil}); err == nil {
		t.Error("no error")
	}
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// The first route that matches decides pool and limits; a reload replaces them.
func TestRoutes(t *testing.T) {
	var last ipc.Payload
	named := func(name string) execFunc {
		return func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
			last = *p
			return &frames{list: []*ipc.Message{msg(okContext, name)}}, nil
		}
	}
	c := Config{HTTP2: HTTP2{H2C: true}, Routes: []Route{
		{Match: Match{Path: []string{"/health"}}, Priority: "high"},
		{Match: Match{Path: []string{"/reports"}, Method: []string{"GET"}}, Pool: "slow", Priority: "low", Timeout: time.Minute, AllocateTimeout: time.Second, MaxQueueSize: 3},
		{Match: Match{Path: []string{"/reports"}}, Pool: "slow", MaxRequestSize: 1},
	}}
	var log logBuffer
	s := serve(t, c, named("main"), log.use, func(o *Options) { o.Pools = map[string]ipc.Executor{"slow": named("slow"), "other": named("other")} })
	for _, h2 := range []bool{false, true} {
		client := s.client(t, h2)
		get := func(path string) string {
			res, err := client.Get(s.url + path)
			if err != nil {
				t.Fatal(err)
			}
			return readAll(t, res)
		}
		if got := get("/x"); got != "main" || last.Priority != ipc.Normal || last.Line != nil {
			t.Errorf("%q %+v", got, last)
		}
		if got := get("/health"); got != "main" || last.Priority != ipc.High {
			t.Errorf("%q %+v", got, last)
		}
		if got := get("/reports/1"); got != "slow" || last.Priority != ipc.Low || last.TTL != time.Minute || last.Wait != time.Second || last.Line == nil {
			t.Errorf("%q %+v", got, last)
		}
		res, err := client.Post(s.url+"/reports", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20+1)))
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, res); res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Error(res.StatusCode)
		}
		if res, err = client.Post(s.url+"/", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20+1))); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, res); got != "main" {
			t.Errorf("%d %q", res.StatusCode, got)
		}
	}
	waitFor(t, "the pool in the log", func() bool { return log.count(`"pool":"http.slow"`) > 0 })
	c.Routes = []Route{{Pool: "other"}}
	c.Defaults()
	s.SetRoutes(&c)
	if res := s.dial(t).do("GET", plainGet, ""); res.text != "other" {
		t.Errorf("%q", res.text)
	}
}
