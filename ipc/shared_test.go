package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// echo answers every job with its context and body.
func (p *sharedPeer) echo(part int) error {
	for {
		context, body, _, err := p.job()
		if err != nil {
			return err
		}
		if err := p.answer(goridge.CodecJSON, 0, context, body, part); err != nil {
			return err
		}
	}
}

// while runs the worker beside the test until the channel is closed.
func while(t *testing.T, c *Channel, worker func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- worker() }()
	t.Cleanup(func() {
		_ = c.Close()
		if err := <-done; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.EPIPE) {
			t.Error("the worker:", err)
		}
	})
}

func TestSharedEcho(t *testing.T) {
	for _, test := range []struct{ half, part int }{{MinHalf, 0}, {MinHalf, 1000}, {DefaultHalf, 0}} {
		t.Run(fmt.Sprint(test.half, " ", test.part), func(t *testing.T) {
			c, p := sharedPair(t, test.half)
			while(t, c, func() error { return p.echo(test.part) })
			room := c.shared.room()
			for i, n := range []int{0, 1, minShared - 1, minShared, room - 1, room, room + 1, 3*room + 17} {
				for _, parts := range []bool{false, true} {
					body := numbered(n, byte(i))
					for name, pl := range map[string]Payload{
						"memory": {Body: body},
						"file":   {File: bytes.NewReader(body), FileSize: int64(n)},
					} {
						pl.Context, pl.Codec, pl.Parts = []byte(`{"n":1}`), goridge.CodecJSON, parts
						_ = c.SetDeadline(time.Now().Add(time.Minute))
						if err := c.Send(&pl); err != nil {
							t.Fatal(n, name, err)
						}
						context, got, err := receive(c)
						if err != nil || context != `{"n":1}` || !bytes.Equal(got, body) {
							t.Fatalf("%d bytes, %s: %q, %d bytes, %v", n, name, context, len(got), err)
						}
					}
				}
			}
		})
	}
}

func TestSharedStream(t *testing.T) {
	c, p := sharedPair(t, MinHalf)
	first, second := numbered(200_000, 1), numbered(70_000, 2)
	while(t, c, func() error {
		for {
			if _, _, _, err := p.job(); err != nil {
				return err
			}
			if err := p.answer(0, goridge.StreamBit, "head", first, 0); err != nil {
				return err
			}
			if err := p.send(0, goridge.StreamBit, "small", 0); err != nil {
				return err
			}
			if err := p.answer(0, 0, "", second, 0); err != nil {
				return err
			}
		}
	})
	want := append(append(bytes.Clone(first), "small"...), second...)
	for _, parts := range []bool{true, false} {
		if err := c.Send(&Payload{Body: []byte("x"), Parts: parts}); err != nil {
			t.Fatal(err)
		}
		context, body, err := receive(c)
		if err != nil || context != "head" || !bytes.Equal(body, want) {
			t.Fatalf("%q, %d bytes, %v", context, len(body), err)
		}
	}
}

// A deadline in the middle of an answer loses nothing.
func TestSharedDeadline(t *testing.T) {
	for _, parts := range []bool{false, true} {
		c, p := sharedPair(t, MinHalf)
		if err := c.Send(&Payload{Body: []byte("x"), Parts: parts}); err != nil {
			t.Fatal(err)
		}
		body := numbered(300_000, 3)
		n := copy(p.responseHalf(), body[:60_000])
		if err := p.send(0, goridge.SharedBit, "ctx", 3, uint32(n), uint32(len(body)-n)); err != nil {
			t.Fatal(err)
		}
		var got []byte
		var m Message
		for at := n; ; {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			err := c.RecvInto(&m)
			if err == nil {
				got = append(got, m.Body...)
				more := m.Stream
				m.Release()
				if !more {
					break
				}
				continue
			}
			wantError(t, err, os.ErrDeadlineExceeded)
			n = copy(p.responseHalf(), body[at:])
			at += n
			if err := p.send(0, goridge.SharedBit, "", 0, uint32(n), uint32(len(body)-at)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("parts %v: %d bytes differ", parts, len(got))
		}
	}
}

// A worker that answers without having asked for the whole body gets no more of it,
// and the channel goes on.
func TestSharedAnswersEarly(t *testing.T) {
	c, p := sharedPair(t, MinHalf)
	if err := p.send(0, 0, "early", 5); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(&Payload{Body: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv()
	if err != nil || string(m.Context) != "early" {
		t.Fatal(m, err)
	}
	m.Release()
	p.read(t) // the job

	// Within a stream it can ask later, and learns that there is no more.
	if err := p.send(0, goridge.StreamBit, "early", 5); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(&Payload{Body: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	if m, err = c.Recv(); err != nil || !m.Stream {
		t.Fatal(m, err)
	}
	m.Release()
	p.read(t)
	if err := p.send(0, goridge.BodyBit|goridge.SharedBit, "", 0); err != nil {
		t.Fatal(err)
	}
	if err := p.send(0, 0, "", 0); err != nil {
		t.Fatal(err)
	}
	if m, err = c.Recv(); err != nil || m.Stream {
		t.Fatal(m, err)
	}
	m.Release()
	if f := p.read(t); f.Stream != goridge.BodyBit|goridge.StopBit || f.Options != 1 {
		t.Errorf("got %+v", f.Header)
	}
}

func TestSharedUpload(t *testing.T) {
	c, p := sharedPair(t, MinHalf)
	body := numbered(300_000, 9)
	while(t, c, func() error {
		for {
			_, _, stream, err := p.job()
			if err != nil {
				return err
			}
			if stream != goridge.BodyBit {
				return fmt.Errorf("job with stream byte %#x", stream)
			}
			var got []byte
			for end := false; !end; {
				if err := p.send(0, goridge.BodyBit|goridge.SharedBit, "", 50_000); err != nil {
					return err
				}
				f, err := p.frame()
				switch {
				case err != nil:
					return err
				case f.Stream == goridge.BodyBit|goridge.SharedBit|goridge.StreamBit && f.Options == 3 && f.Option[1] <= 50_000:
					got = append(got, p.requestHalf()[:f.Option[1]]...)
				case f.Stream == goridge.BodyBit && f.Options == 1:
					end = true
				default:
					return fmt.Errorf("part %+v", f.Header)
				}
			}
			if err := p.answer(0, 0, "ctx", got, 0); err != nil {
				return err
			}
		}
	})
	if err := c.Send(&Payload{Context: []byte("{}"), Upload: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	_, got, err := receive(c)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// What a worker may not send: each is one ProtocolError, and the channel is over.
func TestSharedImpossible(t *testing.T) {
	const room = MinHalf - bodyOffset
	type frame struct {
		flags, stream byte
		payload       string
		options       []uint32
	}
	o := func(o ...uint32) []uint32 { return o }
	for name, frames := range map[string][]frame{
		"part longer than the half":    {{0, goridge.SharedBit, "", o(0, room+1, 0)}},
		"part of 4 GiB":                {{0, goridge.SharedBit, "", o(0, math.MaxUint32, 0)}},
		"body longer than 4 GiB":       {{0, goridge.SharedBit, "c", o(1, 10, math.MaxUint32-10)}},
		"context longer than payload":  {{0, goridge.SharedBit, "ab", o(3, 10, 0)}},
		"context shorter than payload": {{0, goridge.SharedBit, "ab", o(1, 10, 0)}},
		"no options":                   {{0, goridge.SharedBit, "", nil}},
		"one option":                   {{0, goridge.SharedBit, "ab", o(2)}},
		"four options":                 {{0, goridge.SharedBit, "", o(0, 10, 0, 0)}},
		"error by shared memory":       {{goridge.Error, goridge.SharedBit, "", o(0, 10, 0)}},
		"control by shared memory":     {{goridge.Control, goridge.SharedBit, "", o(0, 10, 0)}},
		"empty part with a rest":       {{0, goridge.SharedBit, "", o(0, 0, 10)}},
		"rest that does not end":       {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit, "", o(0, 10, 100)}},
		"rest that grows":              {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit, "", o(0, 10, 91)}},
		"rest that shrinks too fast":   {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit, "", o(0, 10, 10)}},
		"rest that stops":              {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit, "", o(0, 0, 100)}},
		"context in the middle":        {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit, "x", o(1, 10, 90)}},
		"frame in the middle":          {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, 0, "x", o(1)}},
		"error in the middle":          {{0, goridge.SharedBit, "", o(0, 10, 100)}, {goridge.Error, 0, "boom", nil}},
		"question in the middle":       {{0, goridge.SharedBit, "", o(0, 10, 100)}, {0, goridge.SharedBit | goridge.BodyBit, "", o(0)}},
		"question for nothing":         {{0, goridge.SharedBit | goridge.BodyBit, "", o(0)}},
		"question with a payload":      {{0, goridge.SharedBit | goridge.BodyBit, "x", o(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, parts := range []bool{false, true} {
				c, p := sharedPair(t, MinHalf)
				if err := c.Send(&Payload{Body: make([]byte, 5000), Parts: parts}); err != nil {
					t.Fatal(err)
				}
				for _, f := range frames {
					if err := p.send(f.flags, f.stream, f.payload, f.options...); err != nil {
						t.Fatal(err)
					}
				}
				_, _, err := receive(c)
				var broken *ProtocolError
				if !errors.As(err, &broken) {
					t.Fatalf("parts %v: %v", parts, err)
				}
				if _, again := c.Recv(); again != err {
					t.Errorf("then %v", again)
				}
			}
		})
	}
}

// A worker that dies in any step is an end of file, never a body that is too short.
func TestSharedDies(t *testing.T) {
	body := numbered(200_000, 5)
	var stream []byte
	stream = append(stream, goridge.AppendFrame(nil, 0, goridge.SharedBit, []byte("ctx"), 3, 60_000, 140_000)...)
	stream = append(stream, goridge.AppendFrame(nil, 0, goridge.SharedBit, nil, 0, 60_000, 80_000)...)
	for n := range len(stream) {
		c, p := sharedPair(t, MinHalf)
		if err := c.Send(&Payload{Body: body[:5000], Parts: n%2 == 0}); err != nil {
			t.Fatal(err)
		}
		p.write(t, stream[:n])
		_ = p.w.Close()
		_, _, err := receive(c)
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if err != want {
			t.Fatalf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

// A worker that dies while it takes the body has read of the job.
func TestSharedDiesWhileItTakes(t *testing.T) {
	c, p := sharedPair(t, MinHalf)
	if err := p.send(0, goridge.BodyBit|goridge.SharedBit, "", 0); err != nil {
		t.Fatal(err)
	}
	_ = p.w.Close()
	wantError(t, c.Send(&Payload{Body: make([]byte, 1<<20)}), io.ErrUnexpectedEOF)
	if !c.Heard() {
		t.Error("it has asked")
	}

	c, p = sharedPair(t, MinHalf)
	_ = p.w.Close()
	if err := c.Send(&Payload{Body: make([]byte, 1<<20)}); err != io.EOF || c.Heard() {
		t.Errorf("%v, heard %v", err, c.Heard())
	}
}

// The size of a segment cannot be changed, whoever tries.
func TestSegmentIsSealed(t *testing.T) {
	s, fd, err := NewSegment(MinHalf)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	defer s.Close()
	size := int64(controlSize + 2*MinHalf)
	for _, n := range []int64{0, size - 1, size + 1} {
		wantError(t, unix.Ftruncate(fd, n), unix.EPERM)
	}
	if n, err := unix.Pwrite(fd, make([]byte, 100), size); err == nil {
		t.Errorf("%d bytes were written behind the end", n)
	}
	if n, err := unix.Pwrite(fd, make([]byte, 100), size-50); err != nil && !errors.Is(err, unix.EPERM) || n > 50 {
		t.Errorf("%d bytes were written over the end, %v", n, err)
	}
	wantError(t, unix.Fallocate(fd, 0, 0, size+1), unix.EPERM)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	wantError(t, err, unix.EPERM)
	// Holes are allowed, and harmless: they read as zeros.
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size); err != nil {
		t.Fatal(err)
	}
	s.prepare(MinHalf - bodyOffset)
	copy(s.request(10), "0123456789")
	for _, b := range s.response(MinHalf - bodyOffset) {
		if b != 0 {
			t.Fatal("not a zero")
		}
	}
	for _, half := range []int{0, MinHalf - HalfStep, MinHalf + 1, MaxHalf + HalfStep} {
		if _, _, err := NewSegment(half); err == nil {
			t.Errorf("halves of %d bytes", half)
		}
	}
}

// Close in the middle of a copy unmaps afterwards.
func TestSegmentOutlivesItsUsers(t *testing.T) {
	s, fd, err := NewSegment(MinHalf)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if !s.hold() {
		t.Fatal("closed")
	}
	s.Close()
	s.Close()
	s.request(100)[5] = 1 // would be a fault
	if s.hold() {
		t.Error("held after Close")
	}
	s.release()
	if s.holds.Load() != 0 {
		t.Errorf("%d holds", s.holds.Load())
	}
}

func TestAnnouncement(t *testing.T) {
	if got := Announcement(65536); got != "v=1,ctl=3,shm=4,half=65536,slots=1" {
		t.Error(got)
	}
	if got := Announcement(0); got != "v=1,ctl=3" {
		t.Error(got)
	}
}

func TestConfig(t *testing.T) {
	var c Config
	c.Defaults()
	if c.Validate() != nil || c.Shared() != DefaultHalf {
		t.Errorf("%+v", c)
	}
	if c.Shm = "OFF"; c.Validate() != nil || c.Shared() != 0 {
		t.Errorf("%+v", c)
	}
	for _, bad := range []Config{{"on", DefaultHalf}, {ShmAuto, 1}, {ShmAuto, MinHalf + 1}, {ShmAuto, MaxHalf * 2}} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), ": write ") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
