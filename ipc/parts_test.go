package ipc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// accept is a handshake with a worker that names abilities.
func accept(t *testing.T, c *Channel, p *peer, abilities string) {
	t.Helper()
	p.write(t, goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":1,"accepts":`+abilities+`}`)))
	if _, err := c.Handshake(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	p.read(t)
}

func TestAbilities(t *testing.T) {
	c, p := pipePair(t)
	accept(t, c, p, `["body","unknown"]`)
	if !c.Accepts(AskBody) || c.Accepts(StopEarly) {
		t.Error(c.accepts)
	}
	other, _ := pipePair(t)
	if err := other.Send(&Payload{Context: []byte("{}"), Upload: strings.NewReader("x")}); !errors.Is(err, ErrNoUpload) {
		t.Errorf("%v", err)
	}
}

// A long frame comes in parts that make up the whole, a short one at once.
func TestParts(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		long := strings.Repeat("0123456789abcdef", 100_000)
		for _, stream := range []byte{0, goridge.StreamBit} {
			if err := c.Send(&Payload{Context: []byte("{}"), Parts: true}); err != nil {
				t.Fatal(err)
			}
			p.read(t)
			go func() {
				_, _ = p.w.Write(append(answerFrame(stream, "head", long), answerFrame(0, "", "next")...))
			}()
			var got bytes.Buffer
			for {
				m, err := c.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if got.Len() == 0 != (string(m.Context) == "head") {
					t.Errorf("context %q after %d bytes", m.Context, got.Len())
				}
				got.Write(m.Body)
				if int64(got.Len())+m.Left != int64(len(long)) || m.Last != (stream == 0) || m.Stream != (stream != 0 || m.Left > 0) {
					t.Fatalf("%d of %d, %d left, stream %v, last %v", got.Len(), len(long), m.Left, m.Stream, m.Last)
				}
				left := m.Left
				m.Release()
				if left == 0 {
					break
				}
			}
			if got.String() != long {
				t.Error("another body")
			}
			m, err := c.Recv()
			if err != nil || string(m.Body) != "next" || m.Stream || m.Left != 0 {
				t.Fatalf("%+v %v", m, err)
			}
			m.Release()
		}
	})
}

// A worker in the middle of its last frame gets no STOP: it would find it before its
// next job.
func TestCancelStreamInAFrame(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		long := strings.Repeat("x", 1<<20)
		for _, stream := range []byte{0, goridge.StreamBit} {
			if err := c.Send(&Payload{Context: []byte("{}"), Parts: true}); err != nil {
				t.Fatal(err)
			}
			p.read(t)
			written := make(chan struct{})
			go func() {
				defer close(written)
				_, _ = p.w.Write(answerFrame(stream, "head", long))
				if stream != 0 {
					_, _ = p.w.Write(answerFrame(0, "", ""))
				}
			}()
			for first, more := true, true; more; first = false {
				m, err := c.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if first {
					if err := c.CancelStream(); err != nil {
						t.Fatal(err)
					}
				}
				more = m.Stream
				m.Release()
			}
			<-written
			if err := c.Send(&Payload{Context: []byte("next")}); err != nil {
				t.Fatal(err)
			}
			f := p.read(t)
			if stop := f.Stream&goridge.StopBit != 0; stop != (stream != 0) {
				t.Errorf("a frame with stream bits %d: STOP %v", stream, stop)
			} else if stop {
				f = p.read(t)
			}
			if string(f.Payload) != "next" {
				t.Fatalf("the worker got %+v", f)
			}
			p.write(t, answerFrame(0, "", "ok"))
			m, err := c.Recv()
			if err != nil || string(m.Body) != "ok" {
				t.Fatal(m, err)
			}
			m.Release()
		}
	})
}

// A body from a file is the same frame as one from memory.
func TestSendFile(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		body := strings.Repeat("0123456789abcdef", 50_000)
		done := make(chan error, 1)
		go func() {
			done <- c.Send(&Payload{Codec: goridge.CodecJSON, Context: []byte("{}"), File: strings.NewReader(body + "more"), FileSize: int64(len(body))})
		}()
		f := p.read(t)
		if err := <-done; err != nil || string(f.Payload) != "{}"+body || f.Option[0] != 2 || f.Flags != goridge.CodecJSON {
			t.Errorf("%d bytes, %v", len(f.Payload), err)
		}
		// A file that is too short leaves a frame cut off: nothing more is sent.
		go func() { _, _ = io.Copy(io.Discard, p.r) }()
		err := c.Send(&Payload{Context: []byte("{}"), File: strings.NewReader("short"), FileSize: 100})
		if err == nil || c.Send(&Payload{Context: []byte("{}")}) == nil {
			t.Errorf("%v", err)
		}
	})
}

type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("the client has gone")
	}
	return n, err
}

// The worker gets a body part by part as it asks, its end, or that it broke off.
func TestUpload(t *testing.T) {
	for _, tt := range []struct {
		body io.Reader
		end  byte
	}{
		{strings.NewReader("hello"), goridge.BodyBit},
		{broken{strings.NewReader("hello")}, goridge.BodyBit | goridge.StopBit},
	} {
		c, p := pipePair(t)
		accept(t, c, p, `["body"]`)
		if err := c.Send(&Payload{Context: []byte("{}"), Upload: tt.body}); err != nil {
			t.Fatal(err)
		}
		if job := p.read(t); job.Stream != goridge.BodyBit || string(job.Payload) != "{}" {
			t.Errorf("%+v", job)
		}
		answer := make(chan *Message, 1)
		go func() {
			m, err := c.Recv()
			if err != nil {
				t.Error(err)
			}
			answer <- m
		}()
		for _, want := range []struct {
			bits byte
			text string
		}{{goridge.BodyBit | goridge.StreamBit, "hel"}, {goridge.BodyBit | goridge.StreamBit, "lo"}, {tt.end, ""}, {tt.end, ""}} {
			p.write(t, goridge.AppendHeader(nil, 0, goridge.BodyBit, 0, 3))
			if f := p.read(t); f.Stream != want.bits || string(f.Payload) != want.text || f.Options != 1 {
				t.Errorf("%+v, want %+v", f, want)
			}
		}
		p.write(t, answerFrame(0, "{}", "thanks"))
		if m := <-answer; string(m.Body) != "thanks" {
			t.Errorf("%q", m.Body)
		}
	}
	// Asked without a body in parts.
	c, p := pipePair(t)
	if err := c.Send(&Payload{Context: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	p.write(t, goridge.AppendHeader(nil, 0, goridge.BodyBit, 0, 3))
	var protocol *ProtocolError
	if _, err := c.Recv(); !errors.As(err, &protocol) {
		t.Errorf("%v", err)
	}
}
