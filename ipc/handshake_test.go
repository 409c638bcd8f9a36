package ipc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

func control(flags byte, payload string) []byte {
	return goridge.AppendFrame(nil, flags, 0, []byte(payload))
}

func TestHandshake(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		for _, flags := range []byte{goridge.Control, goridge.Control | goridge.CodecJSON} {
			p.write(t, control(flags, `{"pid":4711}`))
			pid, err := c.Handshake(t.Context(), 1234)
			if err != nil || pid != 4711 {
				t.Fatal(pid, err)
			}
			if f := p.read(t); f.Flags != goridge.Control|goridge.CodecJSON || f.Options != 0 || string(f.Payload) != `{"pid":1234}` {
				t.Fatalf("pid request %+v", f)
			}
		}
		if !c.t.deadline.IsZero() {
			t.Error("the handshake's deadline is still set")
		}
	})
}

// The texts are RoadRunner's; monitoring matches them.
func TestHandshakeErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer []byte
		text   string
		hint   string
		is     error
	}{
		{"exit", nil, "EOF", "", io.EOF},
		{"dies in the header", control(goridge.Control, `{"pid":1}`)[:7], "unexpected EOF", "", io.ErrUnexpectedEOF},
		{"dies in the payload", control(goridge.Control, `{"pid":1}`)[:15], "unexpected EOF", "", io.ErrUnexpectedEOF},
		{"not JSON", control(goridge.Control, "hello"), "invalid character 'h' looking for beginning of value", `{"pid":N}`, nil},
		{"empty", control(goridge.Control, ""), "unexpected end of JSON input", "", nil},
		{"error frame", control(goridge.Error, "boot failed"), "unexpected response, header is missing, no CONTROL flag", "boot failed", nil},
		{"result", answerFrame(0, "ctx", "body"), "unexpected response, header is missing, no CONTROL flag", "result", nil},
		{"pid 0", control(goridge.Control, `{"pid":0}`), "pid should be greater than 0", "", nil},
		{"negative pid", control(goridge.Control, `{"pid":-3}`), "pid should be greater than 0", "", nil},
		{"no pid", control(goridge.Control, `{}`), "pid should be greater than 0", "", nil},
		{"too long", goridge.AppendHeader(nil, goridge.Control, 0, 1<<30), "1073741824 bytes", "", nil},
		{"text", []byte("Could not open input file: x.php\n"),
			"validation failed on the message sent to STDOUT, see: https://docs.roadrunner.dev/error-codes/stdout-crc, invalid message: Could not open input file: x.php",
			"server.command", goridge.ErrCRC},
		{"short text", []byte("hi\n"),
			"validation failed on the message sent to STDOUT, see: https://docs.roadrunner.dev/error-codes/stdout-crc, invalid message: hi",
			"echo", io.ErrUnexpectedEOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, p := pipePair(t)
			p.write(t, test.answer)
			p.close()
			_, err := c.Handshake(t.Context(), 1)
			if err == nil || !strings.Contains(err.Error(), test.text) || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %q", err, test.text)
			}
			var broken *ProtocolError
			if test.hint != "" && (!errors.As(err, &broken) || !strings.Contains(broken.Hint(), test.hint)) {
				t.Errorf("hint %q, want %q", hintOf(err), test.hint)
			}
		})
	}
}

func hintOf(err error) string {
	var broken *ProtocolError
	if errors.As(err, &broken) {
		return broken.Hint()
	}
	return ""
}

func TestHandshakeDeadline(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := c.Handshake(ctx, 1)
		wantError(t, err, context.DeadlineExceeded)
		if !c.t.deadline.IsZero() {
			t.Error("the deadline is still set")
		}
	})
}

func TestHandshakeCancel(t *testing.T) {
	c, p := pipePair(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.ReadFull(p.r, make([]byte, 12)) // the handshake is under way
		cancel()
	}()
	_, err := c.Handshake(ctx, 1)
	wantError(t, err, context.Canceled)
	_, err = c.Handshake(ctx, 1)
	wantError(t, err, context.Canceled)
	// Nothing is broken: a later answer is still taken.
	p.write(t, control(goridge.Control, `{"pid":5}`))
	if pid, err := c.Handshake(t.Context(), 1); err != nil || pid != 5 {
		t.Error(pid, err)
	}
}

// A few bytes of text, then silence until the deadline: the text is shown.
func TestHandshakeDeadlineShowsText(t *testing.T) {
	c, p := pipePair(t)
	p.write(t, []byte("debug\n"))
	_, err := c.Handshake(dueIn{t.Context(), -time.Second}, 1)
	wantError(t, err, context.DeadlineExceeded)
	if !strings.Contains(err.Error(), "invalid message: debug") || !strings.Contains(hintOf(err), "echo") {
		t.Errorf("error %v, hint %q", err, hintOf(err))
	}
}
