package endpoint_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/services/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(l net.Listener) (string, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}}
	r, err := c.Get("http://x/")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// It answers on all of its sockets until the context ends, and finishes an answer
// that is under way then.
func TestRun(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case begun <- struct{}{}:
			<-end
		default:
		}
		_, _ = io.WriteString(w, "page")
	})
	a, b := listen(t), listen(t)
	s := endpoint.New(endpoint.Options{Listeners: []net.Listener{a, b}, Handler: slow, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for _, l := range []net.Listener{a, b} {
		if text, err := get(l); text != "page" || err != nil {
			t.Errorf("%s: %q %v", l.Addr(), text, err)
		}
	}
	last := make(chan string, 1)
	go func() {
		text, _ := get(a)
		last <- text
	}()
	<-begun
	cancel()
	close(end)
	if text := <-last; text != "page" {
		t.Errorf("the answer under way: %q", text)
	}
	if err := errors.Join(<-ended, s.Close()); err != nil {
		t.Error(err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	l := listen(t)
	s := endpoint.New(endpoint.Options{Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler)})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := get(l); err == nil {
		t.Error("the socket is open")
	}
}

// A listener that fails ends the server with its error.
func TestBrokenListener(t *testing.T) {
	l := listen(t)
	s := endpoint.New(endpoint.Options{Listeners: []net.Listener{l, listen(t)}, Log: slog.New(slog.DiscardHandler)})
	l.Close()
	if err := s.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}
