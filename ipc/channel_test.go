package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

func TestExchange(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		for i := range 3 {
			if err := c.Send(&Payload{Codec: goridge.CodecJSON, Context: []byte(`{"n":1}`), Body: []byte("question")}); err != nil {
				t.Fatal(err)
			}
			f := p.read(t)
			if f.Flags != goridge.CodecJSON || f.Stream != 0 || f.Options != 1 || f.Option[0] != 7 || string(f.Payload) != `{"n":1}question` {
				t.Fatalf("the worker got %+v", f)
			}
			p.write(t, answerFrame(0, "ctx", fmt.Sprint("answer ", i)))
			m, err := c.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if m.Flags != goridge.CodecProto || m.Stream || string(m.Context) != "ctx" || string(m.Body) != fmt.Sprint("answer ", i) {
				t.Fatalf("received %+v", m)
			}
			m.Release()
			m.Release()
			if m.Body != nil || m.Context != nil {
				t.Fatal("a released message still has data")
			}
			if c.Pending() {
				t.Fatal("pending after a whole exchange")
			}
			if c.in != nil {
				t.Fatal("an idle channel holds a buffer")
			}
		}
	})
}

// PHP's pipe relay fails if it does not get the whole header with one fread. A
// pipe in packet mode shows what one write was.
func TestSendIsOneWrite(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_DIRECT); err != nil {
		t.Fatal(err)
	}
	in, out := os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "out")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewChannel(r, out)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, &peer{in, w})
	buf := make([]byte, 8192)
	one := func(what string, want []byte) {
		t.Helper()
		if n, err := in.Read(buf); err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%s: the first read gave %d bytes (% x), %v; want %d", what, n, buf[:n], err, len(want))
		}
	}
	for _, p := range []*Payload{
		{Context: []byte("context"), Body: []byte("body")},
		{Codec: goridge.CodecRaw, Context: []byte("context")},
		{Codec: goridge.CodecProto, Body: bytes.Repeat([]byte("b"), 3000)},
	} {
		if err := c.Send(p); err != nil {
			t.Fatal(err)
		}
		one("job", goridge.AppendFrame(nil, p.Codec, 0, append(bytes.Clone(p.Context), p.Body...), uint32(len(p.Context))))
	}
	if err := c.SendStop(); err != nil {
		t.Fatal(err)
	}
	one("stop order", goridge.AppendFrame(nil, 9, 0, []byte(`{"stop":true}`)))
	if err := c.CancelStream(); err != nil {
		t.Fatal(err)
	}
	one("stream stop", goridge.AppendFrame(nil, 0, goridge.StopBit, nil))
}

func TestPipeIsEnlarged(t *testing.T) {
	c, p := pipePair(t)
	for name, f := range map[string]*os.File{"worker's input": c.t.w, "worker's output": c.t.r} {
		size, err := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		if limit, _ := os.ReadFile("/proc/sys/fs/pipe-max-size"); strings.TrimSpace(string(limit)) == "1048576" && size != pipeSize {
			t.Errorf("%s: %d bytes", name, size)
		}
	}
	_ = p
}

func TestEmptyPayloadIsRefused(t *testing.T) {
	c, _ := pipePair(t)
	wantError(t, c.Send(&Payload{Codec: goridge.CodecJSON, ID: "x"}), ErrEmptyPayload)
}

// A frame of every size class, in both directions, byte for byte.
func TestSizes(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		for _, size := range []int{0, 1, 4 << 10, readSize - 17, readSize - 16, readSize - 15, readSize + 1, 300_000, 1<<20 + 5, 5 << 20, 17<<20 + 3} {
			body := make([]byte, size)
			_, _ = random.Read(body)
			echoed := make(chan error, 1)
			go func() {
				frame := make([]byte, goridge.HeaderSize+goridge.OptionSize+3+size)
				_, err := io.ReadFull(p.r, frame)
				if err == nil {
					_, err = p.w.Write(frame)
				}
				echoed <- err
			}()
			if err := c.Send(&Payload{Context: []byte("ctx"), Body: body}); err != nil {
				t.Fatal(err)
			}
			m, err := c.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if err := <-echoed; err != nil {
				t.Fatal(err)
			}
			if string(m.Context) != "ctx" || !bytes.Equal(m.Body, body) {
				t.Fatalf("%d bytes: the answer differs", size)
			}
			if limit := max(size+size/4+8192, readSize); cap(m.buf.b) > limit {
				t.Errorf("%d bytes are in a buffer of %d", size, cap(m.buf.b))
			}
			m.Release()
		}
	})
}

// Many frames that arrive with one read keep apart, also when all are held.
func TestBurst(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		var all []byte
		const n = 2000
		for i := range n {
			stream := goridge.StreamBit
			if i == n-1 {
				stream = 0
			}
			all = append(all, answerFrame(stream, fmt.Sprint("c", i), strings.Repeat(fmt.Sprint(i, " "), i%50))...)
		}
		done := make(chan error, 1)
		go func() {
			_, err := p.w.Write(all)
			done <- err
		}()
		var held []*Message
		for i := range n {
			m, err := c.Recv()
			if err != nil {
				t.Fatal(i, err)
			}
			if m.Stream != (i < n-1) {
				t.Fatal(i, "stream", m.Stream)
			}
			held = append(held, m)
		}
		for i, m := range held {
			if string(m.Context) != fmt.Sprint("c", i) || string(m.Body) != strings.Repeat(fmt.Sprint(i, " "), i%50) {
				t.Fatalf("message %d became %q %q", i, m.Context, m.Body)
			}
			m.Release()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if c.Pending() {
			t.Error("something is left over")
		}
	})
}

// Frames of all sizes follow each other without a pause, cut into any pieces.
func TestMixedSizes(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		random := rand.New(rand.NewPCG(1, 2))
		body := make([]byte, 3<<20)
		for i := range body {
			body[i] = byte(i * 7)
		}
		sizes := make([]int, 300)
		for i := range sizes {
			switch random.IntN(8) {
			case 0:
				sizes[i] = random.IntN(len(body))
			case 1:
				sizes[i] = readSize - 20 + random.IntN(10)
			default:
				sizes[i] = random.IntN(20_000)
			}
		}
		want := slices.Clone(sizes)
		done := make(chan error, 1)
		go func() {
			for rest := []byte(nil); ; {
				for len(rest) < 100_000 && len(sizes) > 0 {
					rest = append(rest, goridge.AppendFrame(nil, goridge.CodecProto, goridge.StreamBit, body[:sizes[0]], 0)...)
					sizes = sizes[1:]
				}
				if len(rest) == 0 {
					done <- nil
					return
				}
				n := min(len(rest), 1+random.IntN(90_000))
				if _, err := p.w.Write(rest[:n]); err != nil {
					done <- err
					return
				}
				rest = rest[n:]
			}
		}()
		for i, size := range want {
			_ = c.SetDeadline(time.Now().Add(time.Minute)) // for each: all together may take long
			m, err := c.Recv()
			if err != nil {
				t.Fatal(i, err)
			}
			if !bytes.Equal(m.Body, body[:size]) {
				t.Fatalf("frame %d of %d bytes differs", i, size)
			}
			m.Release()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// What a consumer appends to a part of a message goes elsewhere.
func TestAppendDoesNotOverwrite(t *testing.T) {
	c, p := pipePair(t)
	p.write(t, append(answerFrame(1, "ctx", "body"), answerFrame(0, "ctx", "next")...))
	m, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Context, "XXXX"...)
	_ = append(m.Body, bytes.Repeat([]byte("X"), 20)...)
	if string(m.Body) != "body" {
		t.Errorf("body became %q", m.Body)
	}
	next, err := c.Recv()
	if err != nil || string(next.Body) != "next" {
		t.Errorf("the next frame became %+v, %v", next, err)
	}
	m.Release()
	next.Release()
}

func TestSoftError(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		for _, text := range []string{"boom", "", strings.Repeat("long ", 40_000)} {
			for _, frame := range [][]byte{
				goridge.AppendFrame(nil, goridge.Error, 0, []byte(text)),
				goridge.AppendFrame(nil, goridge.Error|goridge.CodecProto, 0, []byte(text), 1, 2),
			} {
				go func() { _, _ = p.w.Write(frame) }()
				_, err := c.Recv()
				var soft *SoftError
				if !errors.As(err, &soft) || soft.Text != text {
					t.Fatalf("%.20q: error %.100v", text, err)
				}
			}
		}
		p.write(t, answerFrame(0, "ctx", "alive"))
		m, err := c.Recv()
		if err != nil || string(m.Body) != "alive" {
			t.Fatal(m, err)
		}
		m.Release()
	})
}

func TestWorkerAsksToBeStopped(t *testing.T) {
	c, p := pipePair(t)
	p.write(t, answerFrame(0, `{"stop":true}`, ""))
	_, err := c.Recv()
	wantError(t, err, ErrWorkerStop)
	// Only exactly this, and only as the first frame of an answer.
	for _, frames := range [][]byte{
		answerFrame(0, `{"stop":true}`, "x"),
		answerFrame(0, `{"stop": true}`, ""),
		answerFrame(0, ``, `{"stop":true}`),
	} {
		p.write(t, frames)
		m, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
	p.write(t, append(answerFrame(1, "ctx", ""), answerFrame(0, `{"stop":true}`, "")...))
	for range 2 {
		m, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
}

func TestPing(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		recv := func(frame []byte) {
			t.Helper()
			p.write(t, frame)
			m, err := c.Recv()
			if err != nil {
				t.Fatal(err)
			}
			m.Release()
		}
		const ping = goridge.StreamBit | goridge.PingBit
		send := func() {
			t.Helper()
			if err := c.Send(&Payload{Body: []byte("job")}); err != nil {
				t.Fatal(err)
			}
			if f := p.read(t); string(f.Payload) != "job" {
				t.Fatalf("instead of the job the worker got %+v", f)
			}
		}
		pong := func() {
			t.Helper()
			if f := p.read(t); f.Flags != 0 || f.Stream != goridge.PongBit || f.Options != 0 || len(f.Payload) != 0 {
				t.Fatalf("instead of PONG the worker got %+v", f)
			}
		}
		send()
		recv(answerFrame(goridge.PingBit, "c", "first and only frame: no PONG"))
		send()
		recv(answerFrame(ping, "c", "first frame: no PONG"))
		recv(answerFrame(ping, "", "second"))
		pong()
		recv(answerFrame(goridge.StreamBit, "", "third without PING"))
		recv(answerFrame(goridge.PingBit, "", "last"))
		pong()
		send() // no PONG was in the way
	})
}

// until polls a condition.
func until(t testing.TB, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the condition did not become true")
		}
	}
}

func TestNoAllocation(t *testing.T) {
	c, p := pipePair(t)
	payload := &Payload{Codec: goridge.CodecJSON, Context: []byte("context"), Body: make([]byte, 1000)}
	answer := answerFrame(0, "ctx", strings.Repeat("x", 1000))
	buf := make([]byte, 8192)
	var m Message
	if n := testing.AllocsPerRun(200, func() {
		if err := c.Send(payload); err != nil {
			t.Fatal(err)
		}
		if _, err := p.r.Read(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := p.w.Write(answer); err != nil {
			t.Fatal(err)
		}
		if err := c.RecvInto(&m); err != nil {
			t.Fatal(err)
		}
		m.Release()
		if c.Pending() {
			t.Fatal("pending")
		}
	}); n > 0 && !raceEnabled {
		t.Errorf("%v allocations for an exchange", n)
	}
}
