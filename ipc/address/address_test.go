package address

import (
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	for _, good := range []string{
		":8080", "127.0.0.1:0", "localhost:8080", "[::1]:8080", "[fe80::1%eth0]:80", "tcp://:6001", "tcp://example.org.:http",
		"unix:///run/rr/app/rpc.sock", "unix://rpc.sock", "unix://@abstract", "bücher.example:80", "my_host:80", "a:1",
	} {
		if err := Listen(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                       "write host:port",
		"8080":                   "write host:port",
		"localhost":              "write host:port",
		"127.0.0.1:99999":        "99999 is no port; use 1..65535",
		":-1":                    "-1 is no port",
		":nosuchservice":         "nosuchservice is no port",
		"localhost:":             "has no port; write host:port, for example localhost:8080",
		":::":                    "[::1]:8080",
		"::1:8080":               "[::1]:8080",
		"127.0.0.256:80":         "no IP address and no host name",
		"10.0.0:80":              "no IP address and no host name",
		"my host:80":             "no IP address and no host name",
		"user@host:80":           "no IP address and no host name",
		"http://127.0.0.1:8080":  `unknown scheme "http"`,
		"tcp://":                 "write host:port",
		"tcp://127.0.0.1":        "write host:port",
		"unix://":                "has no path",
		"unix:///run/":           "no path of a file",
		"unix://" + long(108):    "at most 107 bytes, and this one has 108",
		"tcp://unix://a.sock":    "no port",
		"unix:/run/f.sock":       "write unix:///run/f.sock",
		"/run/f.sock":            "write unix:///run/f.sock",
		"[::1]":                  "write host:port",
		strings.Repeat(".", 300): "write host:port",
	} {
		err := Listen(bad)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ";") {
			t.Errorf("%s: %v, want %q and what to do", bad, err, want)
		}
	}
	if err := Listen("unix://" + long(107)); err != nil {
		t.Error(err)
	}
}

func long(n int) string { return "/" + strings.Repeat("x", n-1) }

func TestDial(t *testing.T) {
	for _, good := range []string{"127.0.0.1:4318", "collector:4317", "[::1]:6379"} {
		if err := Dial(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		":4318":             "names no host; write host:port, for example 127.0.0.1:4318",
		"127.0.0.1:0":       "no server has port 0",
		":::":               "no address",
		"collector":         "no address",
		"tcp://redis:6379":  "no address",
		"127.0.0.1:notport": "notport is no port",
	} {
		if err := Dial(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

func FuzzListen(f *testing.F) {
	for _, a := range []string{":80", "tcp://[::1%lo]:1", "unix://x", ":::", "a:b:c", "[", "]:1"} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if err := Listen(a); err != nil && !strings.Contains(err.Error(), ";") {
			t.Errorf("%q: %v says not what to do", a, err)
		}
		_ = Dial(a) // does not panic
	})
}
