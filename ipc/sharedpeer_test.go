package ipc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// sharedPeer is the worker's side of a channel with all descriptors, played by the
// test.
type sharedPeer struct {
	peer            // r: stdin, w: the control pipe
	stdout *os.File // what the log gets
	mem    []byte   // a mapping of its own
	half   int
}

// doorPair makes a channel and its peer that have not shaken hands.
func doorPair(t testing.TB, half int) (*Channel, *sharedPeer) {
	t.Helper()
	file := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	out, outW := file()
	inR, in := file()
	ctl, ctlW := file()
	seg, fd, err := NewSegment(half)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(fd, 0, controlSize+2*half, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewWorkerChannel(Pipes{Stdout: out, Stdin: in, Control: ctl, Segment: seg})
	if err != nil {
		t.Fatal(err)
	}
	p := &sharedPeer{peer: peer{inR, ctlW}, stdout: outW, mem: mem, half: half}
	t.Cleanup(func() {
		if out, _ := c.Stdout(); out != nil {
			_ = out.Close()
		}
		_ = c.Close()
		p.close()
		_ = p.stdout.Close()
		_ = unix.Munmap(mem)
	})
	return c, p
}

// sharedPair makes a channel and its peer that are ready for jobs.
func sharedPair(t testing.TB, half int) (*Channel, *sharedPeer) {
	t.Helper()
	c, p := doorPair(t, half)
	p.write(t, goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":7,"accepts":["stop","body","shm"]}`)))
	if pid := shakeHands(t, c); pid != 7 {
		t.Fatalf("pid %d", pid)
	}
	if f := p.read(t); f.Flags != goridge.Control|goridge.CodecJSON {
		t.Fatalf("%+v instead of the pid request", f.Header)
	}
	if !c.Accepts(SharedMemory) {
		t.Fatal("no shared memory")
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c, p
}

func (p *sharedPeer) requestHalf() []byte  { return p.mem[controlSize+bodyOffset : controlSize+p.half] }
func (p *sharedPeer) responseHalf() []byte { return p.mem[controlSize+p.half+bodyOffset:] }

// frame receives one frame; io.EOF ends the worker.
func (p *sharedPeer) frame() (f goridge.Frame, err error) {
	head := make([]byte, goridge.HeaderSize)
	if _, err := io.ReadFull(p.r, head); err != nil {
		return f, err
	}
	h, err := goridge.ParseHeader(head)
	if err != nil {
		return f, err
	}
	frame := append(head, make([]byte, h.Size()-goridge.HeaderSize+int(h.Length))...)
	if _, err := io.ReadFull(p.r, frame[goridge.HeaderSize:]); err != nil {
		return f, err
	}
	f, _, err = goridge.ParseFrame(frame)
	return f, err
}

func (p *sharedPeer) send(flags, stream byte, payload string, options ...uint32) error {
	_, err := p.w.Write(goridge.AppendFrame(nil, flags, stream, []byte(payload), options...))
	return err
}

var errNoJob = errors.New("no job")

// job receives a job with all of its body.
func (p *sharedPeer) job() (context string, body []byte, stream byte, err error) {
	f, err := p.frame()
	for err == nil && f.Stream&(goridge.StopBit|goridge.PongBit) != 0 {
		f, err = p.frame() // meant for an answer that is over
	}
	if err != nil {
		return "", nil, 0, err
	}
	if f.Flags&goridge.Control != 0 {
		return "", nil, 0, errNoJob
	}
	n := int(f.Option[0])
	if f.Stream&goridge.SharedBit == 0 {
		return string(f.Payload[:n]), f.Payload[n:], f.Stream, nil
	}
	if f.Options != 3 || n != len(f.Payload) {
		return "", nil, 0, fmt.Errorf("job %+v", f.Header)
	}
	context = string(f.Payload)
	for {
		body = append(body, p.requestHalf()[:f.Option[1]]...)
		if f.Option[2] == 0 {
			return context, body, f.Stream, nil
		}
		if err := p.send(0, goridge.BodyBit|goridge.SharedBit, "", 0); err != nil {
			return "", nil, 0, err
		}
		for {
			if f, err = p.frame(); err != nil {
				return "", nil, 0, err
			}
			if f.Stream&goridge.BodyBit != 0 {
				break
			}
		}
		if f.Stream != goridge.BodyBit|goridge.SharedBit || f.Options != 3 || f.Flags != 0 {
			return "", nil, 0, fmt.Errorf("part %+v", f.Header)
		}
	}
}

// answer sends a frame whose body goes by the response half in parts of the given
// size, 0 for as large as possible.
func (p *sharedPeer) answer(flags, stream byte, context string, body []byte, part int) error {
	if part == 0 || part > len(p.responseHalf()) {
		part = len(p.responseHalf())
	}
	for first := true; first || len(body) > 0; first = false {
		n := copy(p.responseHalf()[:part], body)
		body = body[n:]
		bits := stream | goridge.SharedBit
		if len(body) > 0 || stream&goridge.StreamBit != 0 {
			bits |= goridge.PingBit
		}
		if err := p.send(flags, bits, context, uint32(len(context)), uint32(n), uint32(len(body))); err != nil {
			return err
		}
		context = ""
		if bits&goridge.PingBit == 0 {
			continue
		}
		for {
			f, err := p.frame()
			if err != nil {
				return err
			}
			if f.Stream&goridge.PongBit != 0 {
				break
			}
		}
	}
	return nil
}

// numbered is a body in which every byte has its own place.
func numbered(n int, seed byte) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i)*0x9E3779B97F4A7C15+uint64(seed))
	}
	return b[:n]
}

// receive collects an answer.
func receive(c *Channel) (context string, body []byte, err error) {
	for first := true; ; first = false {
		var m Message
		if err := c.RecvInto(&m); err != nil {
			return context, body, err
		}
		if first {
			context = string(m.Context)
		}
		body = append(body, m.Body...)
		more, left := m.Stream, m.Left
		m.Release()
		if !more {
			if left != 0 {
				return "", nil, fmt.Errorf("%d bytes are missing", left)
			}
			return context, body, nil
		}
	}
}

// within is a context that ends the test instead of letting it wait for ever.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
