package http

import (
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/pool"
)

func TestProxyIPParser(t *testing.T) {
	trusted := []string{"127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"}
	for _, tt := range []struct {
		peer    string
		headers []string // NAME: VALUE
		want    string   // "" for the peer
	}{
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.2.3.4, 5.6.7.8"}, "5.6.7.8"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.2.3.4,5.6.7.8,10.1.1.1"}, "5.6.7.8"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 10.2.2.2, 10.1.1.1"}, "10.2.2.2"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"}, "2.2.2.2"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.2.3.4:555"}, "1.2.3.4"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: [2001:db8::1]:80"}, "2001:db8::1"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: ::ffff:1.2.3.4"}, "1.2.3.4"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: unknown"}, ""},
		{"127.0.0.1:1", []string{"X-Forwarded-For: 1.2.3.4, <script>"}, ""},
		{"127.0.0.1:1", []string{"X-Forwarded-For: <script>, 10.1.1.1"}, "10.1.1.1"},
		{"127.0.0.1:1", []string{"X-Forwarded-For: fe80::1%eth0"}, ""},
		{"127.0.0.1:1", []string{"X-Forwarded-For: "}, ""},
		{"127.0.0.1:1", []string{"X-Real-Ip: 3.3.3.3"}, "3.3.3.3"},
		{"127.0.0.1:1", []string{"X-Real-Ip: 1.1.1.1, 2.2.2.2"}, ""},
		{"127.0.0.1:1", []string{"Forwarded: for=8.8.8.8"}, "8.8.8.8"},
		{"127.0.0.1:1", []string{"Forwarded: for=1.1.1.1, for=2.2.2.2"}, "2.2.2.2"},
		{"127.0.0.1:1", []string{`Forwarded: proto=https;FOR="[2001:db8:cafe::17]:4711";by=10.0.0.1`}, "2001:db8:cafe::17"},
		{"127.0.0.1:1", []string{"Forwarded: for=_hidden"}, ""},
		{"127.0.0.1:1", []string{"Forwarded: for=unknown, for=host.test"}, ""},
		{"127.0.0.1:1", []string{"Forwarded: for=1.1.1.1;", "Forwarded: for=10.9.9.9"}, "1.1.1.1"},
		{"127.0.0.1:1", []string{`Forwarded: for="1.1.1.1`}, ""},
		{"127.0.0.1:1", []string{"X-Real-Ip: 3.3.3.3", "X-Forwarded-For: 2.2.2.2", "Forwarded: for=1.1.1.1"}, "1.1.1.1"},
		{"127.0.0.1:1", []string{"X-Real-Ip: 3.3.3.3", "X-Forwarded-For: 2.2.2.2"}, "2.2.2.2"},
		{"127.0.0.1:1", []string{"True-Client-Ip: 7.7.7.7", "X-Forwarded-For: 2.2.2.2"}, "2.2.2.2"},
		{"127.0.0.1:1", []string{"True-Client-Ip: 7.7.7.7", "Cf-Connecting-Ip: 6.6.6.6"}, "7.7.7.7"},
		{"127.0.0.1:1", []string{"Cf-Connecting-Ip: 6.6.6.6"}, "6.6.6.6"},
		{"127.0.0.1:1", []string{"Forwarded: proto=https", "X-Forwarded-For: 2.2.2.2", "Cf-Connecting-Ip: 6.6.6.6"}, "6.6.6.6"},
		{"[2001:db8:1::5]:1", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"[::ffff:127.0.0.1]:1", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"8.8.4.4:1", []string{"X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.1.1.1"}, ""},
		{"127.0.0.1:1", nil, ""},
		{"@", []string{"X-Forwarded-For: 1.2.3.4"}, ""},
		{"", []string{"X-Forwarded-For: 1.2.3.4"}, ""},
		{"127.0.0.1", []string{"X-Forwarded-For: 1.2.3.4"}, ""}, // set by a proxy_ip_parser before
	} {
		p, err := newTrustedProxies(trusted, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		for _, h := range tt.headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Add(name, value)
		}
		if got, ok := p.client(r); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s %v: %q, want %q", tt.peer, tt.headers, got, tt.want)
		}
	}
}

func TestTrustedHeaders(t *testing.T) {
	p, err := newTrustedProxies([]string{"unix", "::ffff:10.0.0.0/104"}, []string{"x-real-ip", "X-FORWARDED-FOR"})
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Header: http.Header{"Forwarded": {"for=1.1.1.1"}, "X-Forwarded-For": {"2.2.2.2"}, "X-Real-Ip": {"3.3.3.3"}}}
	for _, peer := range []string{"@", "", "/run/x.sock", "10.1.2.3:1"} {
		r.RemoteAddr = peer
		if got, ok := p.client(r); got != "3.3.3.3" || !ok {
			t.Errorf("%q: %q", peer, got)
		}
	}
	r.RemoteAddr = "11.0.0.1:1"
	if got, ok := p.client(r); ok {
		t.Errorf("%q", got)
	}
}

func TestForwarded(t *testing.T) {
	for value, want := range map[string][]string{
		"":                                    nil,
		"for=a":                               {"a"},
		"for=a,for=b ,  for = c":              {"a", "b", "c"},
		`for="a\"b, c";by=x, for=d`:           {`a"b, c`, "d"},
		"by=x;;proto=y":                       nil,
		",,for=a,,":                           {"a"},
		"for=a;x":                             {""},
		`for="a`:                              {""},
		`for="a"b, for=c`:                     {""},
		"for=a, nonsense, for=b":              {"a", ""},
		"FOR=1.1.1.1;for=2.2.2.2":             {"2.2.2.2"},
		"for=":                                {""},
		"secret=x;host=\"a;b\";For=\"[::1]\"": {"[::1]"},
	} {
		if got := forwardedFor(nil, []string{value}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

// FuzzForwarded: whatever a client sends, the result is an address, and a value
// that the trusted proxy has appended decides.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"for=1.1.1.1", `for="[::1]:80";by=a`, `for="a\`, ",;=", "1.2.3.4, unknown", "for=a;for=b,,"} {
		f.Add(s)
	}
	p, err := newTrustedProxies([]string{"10.0.0.0/8"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for name, appended := range map[string]string{"Forwarded": "for=9.9.9.9", "X-Forwarded-For": "9.9.9.9"} {
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{name: {value}}}
			if got, ok := p.client(r); ok {
				if a, err := netip.ParseAddr(got); err != nil || a.Zone() != "" {
					t.Errorf("%s: %q gives %q", name, value, got)
				}
			}
			// A proxy adds a line of its own: an open quote before cannot swallow it.
			r.Header[name] = []string{value, appended}
			if got, _ := p.client(r); got != "9.9.9.9" {
				t.Errorf("%s: %q then %q gives %q", name, value, appended, got)
			}
		}
	})
}

// With a real worker: PHP gets the client's address and the headers as they were.
func TestPHPProxy(t *testing.T) {
	c := Config{Middleware: []string{"proxy_ip_parser"}, MiddlewareConfig: MiddlewareConfig{TrustedSubnets: []string{"127.0.0.0/8"}}}
	list, err := NewMiddleware(c, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	s := servePHP(t, c, pool.Config{NumWorkers: 1}, func(o *Options) { o.Middleware = list })
	res := s.get(t, "/show", "X-Forwarded-For: 6.6.6.6, 2001:db8::7")
	if !strings.Contains(res.text, `"remoteAddr":"2001:db8::7"`) || !strings.Contains(res.text, `"X-Forwarded-For":["6.6.6.6, 2001:db8::7"]`) {
		t.Errorf("%s", res.text)
	}
}
