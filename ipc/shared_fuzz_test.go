package ipc

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// FuzzRecvShared gives any bytes as the output of a worker that shares memory. What
// it delivers is never longer than what was announced and never from outside of the
// response half.
func FuzzRecvShared(f *testing.F) {
	part := func(stream byte, context string, options ...uint32) []byte {
		return goridge.AppendFrame(nil, 0, goridge.SharedBit|stream, []byte(context), options...)
	}
	for _, b := range [][]byte{
		nil,
		part(0, "ctx", 3, 9000, 0),
		append(part(0, "ctx", 3, 9000, 100), part(0, "", 0, 100, 0)...),
		append(part(goridge.StreamBit, "ctx", 3, 60000, 0), answerFrame(0, "", "end")...),
		part(0, "", 0, 0xffffffff, 0), part(0, "", 0, 1, 0xffffffff), part(0, "", 0, 0, 1), part(0, "a", 2, 1, 1),
		part(goridge.PingBit, "", 0, 5, 5), part(goridge.BodyBit, "", 0), part(goridge.BodyBit, "", 0xffffffff),
		append(part(0, "", 0, 10, 300000), answerFrame(0, "", "x")...),
		answerFrame(0, "ctx", "body"),
	} {
		for _, parts := range []bool{false, true} {
			f.Add(b, uint16(13), parts)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, parts bool) {
		c, p := sharedPair(t, MinHalf)
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		for i := range p.mem {
			p.mem[i] = 'S' // seen only if it leaks from elsewhere
		}
		half := p.mem[controlSize+MinHalf+bodyOffset:]
		for i := range half {
			half[i] = 'r'
		}
		drained := make(chan struct{})
		go func() { // PONGs, parts
			defer close(drained)
			_, _ = io.Copy(io.Discard, p.r)
		}()
		if err := c.Send(&Payload{Context: []byte("c"), Body: make([]byte, minShared), Parts: parts}); err != nil {
			t.Fatal(err)
		}
		done := deliver(&p.peer, b, cut)
		defer func() {
			_ = c.Close()
			<-done
			<-drained
		}()
		total := 0
		for {
			m, err := c.Recv()
			var soft *SoftError
			switch {
			case errors.As(err, &soft), errors.Is(err, ErrWorkerStop):
				continue
			case err != nil:
				checkBroken(t, err)
				return
			}
			if total += len(m.Body); m.Left < 0 || m.Left > 0 && !m.Stream || len(m.Body) > 2*len(b)*MinHalf {
				t.Fatalf("%d bytes, %d left, stream %v", len(m.Body), m.Left, m.Stream)
			}
			for _, x := range m.Body {
				if x == 'S' && len(m.Body) > len(b) {
					t.Fatal("a byte from outside of the response half")
				}
			}
			m.Release()
		}
	})
}

// FuzzDoors gives any bytes as what a worker prints before it answers on its control
// pipe, or does not. The handshake ends in either case, and no output is lost.
func FuzzDoors(f *testing.F) {
	for _, text := range []string{"", "x", "hello from the application\n", oldAnswer, "hi" + oldAnswer, oldAnswer[:11], "\x13\x09"} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, answers bool) {
		c, p := doorPair(t, MinHalf)
		if len(text) > plainPipe {
			return
		}
		if _, err := p.stdout.Write(text); err != nil {
			t.Fatal(err)
		}
		if answers {
			p.write(t, []byte(newAnswer))
		}
		_, _ = p.w.Close(), p.stdout.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := c.Handshake(ctx, 1)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it hangs")
		}
		if !answers {
			return
		}
		out, got := c.Stdout()
		if err != nil || out == nil {
			t.Fatalf("the answer was not seen: %v", err)
		}
		rest, err := io.ReadAll(out)
		_ = out.Close()
		if string(got)+string(rest) != string(text) || err != nil {
			t.Fatalf("output %q and %q, want %q", got, rest, text)
		}
	})
}
