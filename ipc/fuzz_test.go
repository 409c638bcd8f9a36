package ipc

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

func fuzzSeeds(f *testing.F) {
	for _, b := range [][]byte{
		nil,
		answerFrame(0, "ctx", "body"),
		append(answerFrame(goridge.StreamBit, "ctx", "one"), answerFrame(goridge.PingBit, "", "two")...),
		answerFrame(0, stopOrder, ""),
		append(goridge.AppendFrame(nil, goridge.Error, 0, []byte("boom")), answerFrame(0, "", "next")...),
		goridge.AppendHeader(nil, goridge.CodecProto, 0, 0xffffffff, 0),
		goridge.AppendHeader(nil, goridge.CodecProto, 0, 0xffffffff, 0xffffffff),
		goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":1}`)),
		goridge.AppendFrame(nil, 0, 0, []byte("x"), 1, 1),
		[]byte("Could not open input file: x.php\n"),
		[]byte("<b>Fatal error</b>"),
		[]byte("\xef\xbb\xbf"),
	} {
		f.Add(b, uint16(7))
	}
}

// deliver sends b as the worker, in two writes, and closes.
func deliver(p *peer, b []byte, cut uint16) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		at := min(int(cut), len(b))
		_, _ = p.w.Write(b[:at])
		_, _ = p.w.Write(b[at:])
		_ = p.w.Close()
	}()
	return done
}

// checkBroken: an error that ends a channel is one of the documented ones and
// is bounded.
func checkBroken(t *testing.T, err error) {
	t.Helper()
	var broken *ProtocolError
	switch {
	case errors.As(err, &broken):
		if len(broken.Received) > maxReceived || len(broken.Error()) > 8*maxQuoted {
			t.Fatalf("unbounded: %d bytes, text of %d", len(broken.Received), len(broken.Error()))
		}
	case err == io.EOF, err == io.ErrUnexpectedEOF:
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.Fatal("it hangs")
	default:
		t.Fatalf("undocumented error %v", err)
	}
}

// FuzzRecv gives any bytes as a worker's output. Every frame that the codec
// finds in them must come out as it is, the rest as an error.
func FuzzRecv(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		c, p := pipePair(t)
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		done := deliver(p, b, cut)
		defer func() {
			_ = c.Close()
			<-done
		}()
		streaming := false
		for rest := b; ; {
			frame, size, parseErr := goridge.ParseFrame(rest)
			m, err := c.Recv()
			var soft *SoftError
			switch {
			case err == nil:
				if parseErr != nil || frame.Options != 1 || frame.Flags&(goridge.Control|goridge.Error) != 0 ||
					string(m.Context)+string(m.Body) != string(frame.Payload) || len(m.Context) != int(frame.Option[0]) {
					t.Fatalf("received %+v of %+v, %v", m, frame, parseErr)
				}
				streaming = m.Stream
				m.Release()
			case errors.As(err, &soft):
				if parseErr != nil || frame.Flags&goridge.Error == 0 || soft.Text != string(frame.Payload) {
					t.Fatalf("soft error %q of %+v, %v", soft.Text, frame, parseErr)
				}
				streaming = false
			case errors.Is(err, ErrWorkerStop):
				if streaming || string(frame.Payload) != stopOrder {
					t.Fatalf("stop of %+v, %v", frame, parseErr)
				}
			default:
				checkBroken(t, err)
				if parseErr == nil && frame.Options == 1 && frame.Flags&goridge.Control == 0 && frame.Option[0] <= frame.Length {
					t.Fatalf("%v, but there is a frame %+v", err, frame)
				}
				return
			}
			rest = rest[size:]
		}
	})
}

// FuzzHandshake gives any bytes as the answer to the pid request.
func FuzzHandshake(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		c, p := pipePair(t)
		done := deliver(p, b, cut)
		defer func() {
			_ = c.Close()
			<-done
		}()
		pid, err := c.Handshake(t.Context(), 1)
		switch {
		case err == nil:
			if frame, _, parseErr := goridge.ParseFrame(b); parseErr != nil || frame.Flags&goridge.Control == 0 || pid <= 0 ||
				!strings.Contains(strings.ToLower(string(frame.Payload)), "pid") && !strings.Contains(string(frame.Payload), `\u`) {
				t.Fatalf("pid %d from % x", pid, b)
			}
		default:
			checkBroken(t, err)
		}
	})
}
