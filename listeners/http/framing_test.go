package http

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestFraming: the preface of HTTP/2 is no request.
func TestFraming(t *testing.T) {
	for name, c := range map[string]struct {
		raw, status string
		requests    int
	}{
		"preface of HTTP/2": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var rec recorder
			s := serve(t, Config{}, rec.exec())
			nc, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.WriteString(nc, c.raw); err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(nc) // a reset may follow the answer
			if text := string(b); !strings.HasPrefix(text, "HTTP/1.1 "+c.status) || strings.Count(text, "HTTP/1.1 ") != 1 || !strings.Contains(text, "Connection: close") {
				t.Errorf("%q", text)
			}
			if n := len(rec.list); n != c.requests {
				t.Errorf("%d requests reached a worker", n)
			}
		})
	}
}
