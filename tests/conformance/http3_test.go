//go:build conformance

package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestHTTP3: two clients get pages and their uploads back, and what breaks the
// protocol ends the connection with the code that RFC 9114 wants.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const section = "HTTP/3"
	note(section, "| case | result |", "|---|---|")
	body := strings.Repeat("0123456789abcdef", 1<<16)
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}}
	defer tr.Close()
	res, err := (&http.Client{Transport: tr, Timeout: limit}).Post("https://"+s.udp+"/echo", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(b) != body || err != nil {
		t.Errorf("quic-go: %d bytes %v", len(b), err)
	}
	note(section, "| quic-go: 1 MiB up and down | passed |")

	s.write("upload", body)
	ip, port, _ := net.SplitHostPort(s.udp)
	out := command(t, s.dir, "", "gtlsclient", "--exit-on-all-streams-close", "--quiet", "--timeout=20s", "--download="+s.dir, "--data=upload", ip, port, "https://127.0.0.1/echo")
	if b, err := os.ReadFile(s.path("echo")); err != nil || string(b) != body {
		t.Errorf("gtlsclient: %d bytes %v %s", len(b), err, out)
	}
	note(section, "| ngtcp2's gtlsclient: 1 MiB up and down | passed |")

	for _, c := range []struct {
		name    string
		control []byte // on a stream of one direction
		request []byte // on a request stream
		want    http3.ErrCode
	}{
		{"first frame of the control stream is not SETTINGS", []byte{0, 7, 1, 0}, nil, http3.ErrCodeMissingSettings},
		{"DATA before HEADERS", nil, []byte{0, 1, 'x'}, http3.ErrCodeFrameUnexpected},
		{"SETTINGS on a request stream", nil, []byte{4, 0}, http3.ErrCodeFrameUnexpected},
	} {
		conn, err := quic.DialAddr(t.Context(), s.udp, &tls.Config{RootCAs: s.roots, NextProtos: []string{"h3"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.control != nil {
			str, err := conn.OpenUniStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = str.Write(c.control)
		}
		if c.request != nil {
			str, err := conn.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = str.Write(c.request)
		}
		ctx, cancel := context.WithTimeout(conn.Context(), limit)
		<-ctx.Done()
		cancel()
		var app *quic.ApplicationError
		if err := context.Cause(conn.Context()); !errors.As(err, &app) || app.ErrorCode != quic.ApplicationErrorCode(c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else {
			note(section, "| "+c.name+" | closed with "+c.want.String()+" |")
		}
		_ = conn.CloseWithError(0, "")
	}
	if body, err := get("https://"+s.tls+"/after", s.roots); err != nil || !strings.HasPrefix(body, "/after") {
		t.Errorf("afterwards: %q %v", body, err)
	}
}
