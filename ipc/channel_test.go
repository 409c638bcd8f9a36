package ipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
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

// The worker dies after n bytes of its answer, for every n.
func TestEveryByteBoundary(t *testing.T) {
	answer := answerFrame(0, `{"status":200}`, "hello")
	for _, k := range pairs {
		t.Run(k.name, func(t *testing.T) {
			for n := range len(answer) + 1 {
				c, p := k.make(t)
				p.write(t, answer[:n])
				p.close()
				m, err := c.Recv()
				switch {
				case n == len(answer):
					if err != nil || string(m.Body) != "hello" {
						t.Fatal(m, err)
					}
					m.Release()
					_, err = c.Recv()
					wantError(t, err, io.EOF)
				case n == 0:
					if err != io.EOF {
						t.Fatalf("nothing sent: %v, want io.EOF", err)
					}
				default:
					if err != io.ErrUnexpectedEOF {
						t.Fatalf("after %d bytes: %v, want io.ErrUnexpectedEOF", n, err)
					}
				}
				if _, again := c.Recv(); again == nil {
					t.Fatal("Recv succeeded on a broken channel")
				}
				_ = c.Close()
			}
		})
	}
}

// The answer comes in single bytes: nothing is lost and nothing is misread.
func TestSingleBytes(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		frames := append(answerFrame(1, "first", "body"), answerFrame(0, "second", "BODY")...)
		go func() {
			for i := range frames {
				if _, err := p.w.Write(frames[i : i+1]); err != nil {
					return
				}
				runtime.Gosched()
			}
		}()
		for _, want := range []string{"body", "BODY"} {
			m, err := c.Recv()
			if err != nil || string(m.Body) != want {
				t.Fatal(m, err)
			}
			m.Release()
		}
	})
}

// A deadline interrupts Recv anywhere in a frame without losing bytes.
func TestDeadlineResumes(t *testing.T) {
	answer := answerFrame(0, "ctx", "hello")
	for n := range len(answer) {
		c, p := pipePair(t)
		p.write(t, answer[:n])
		_ = c.SetDeadline(time.Now().Add(2 * time.Millisecond))
		_, err := c.Recv()
		wantError(t, err, os.ErrDeadlineExceeded)
		if c.Pending() != (n > 0) {
			t.Errorf("after %d bytes: Pending is %v", n, c.Pending())
		}
		_ = c.SetDeadline(time.Time{})
		p.write(t, answer[n:])
		m, err := c.Recv()
		if err != nil || string(m.Body) != "hello" {
			t.Fatalf("after %d bytes: %+v, %v", n, m, err)
		}
		m.Release()
		_ = c.Close()
		p.close()
	}
}

func TestDeadlineOfSend(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		result := make(chan error, 1)
		go func() { result <- c.Send(&Payload{Body: make([]byte, 32<<20)}) }()
		if _, err := io.ReadFull(p.r, make([]byte, 100)); err != nil { // a part was written
			t.Fatal(err)
		}
		c.t.interrupt() // what the runtime does when the deadline has come
		err := <-result
		wantError(t, err, os.ErrDeadlineExceeded)
		// Anything else would be taken for the rest of the job.
		_ = c.t.clearDeadline()
		if again := c.SendStop(); again != err {
			t.Errorf("then SendStop says %v", again)
		}
	})
	// Nothing was written: the channel is as good as before.
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		_ = c.SetDeadline(time.Now().Add(-time.Second))
		wantError(t, c.Send(&Payload{Body: []byte("job")}), os.ErrDeadlineExceeded)
		_ = c.SetDeadline(time.Time{})
		if err := c.SendStop(); err != nil {
			t.Fatal(err)
		}
		if f := p.read(t); string(f.Payload) != stopOrder {
			t.Errorf("the worker got %+v", f)
		}
	})
}

// A worker that announces 4 GiB and sends nothing, or little, costs little.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	c, p := pipePair(t)
	p.write(t, goridge.AppendHeader(nil, goridge.CodecProto, 0, 0xffffffff, 0))
	p.write(t, make([]byte, 1000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := c.Recv()
	wantError(t, err, os.ErrDeadlineExceeded)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func TestProtocolErrors(t *testing.T) {
	control := goridge.AppendFrame(nil, goridge.Control|goridge.CodecProto, 0, []byte("x"), 0)
	tooLong := binary.LittleEndian.AppendUint32([]byte{0x1e, 0, 0, 0, 0, 0}, crc32.ChecksumIEEE([]byte{0x1e, 0, 0, 0, 0, 0}))
	for _, test := range []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"no option", goridge.AppendFrame(nil, 0, 0, []byte("x")), "options length should be equal 1 (body offset)"},
		{"two options", goridge.AppendFrame(nil, 0, 0, []byte("x"), 1, 1), "options length should be equal 1 (body offset)"},
		{"context longer than payload", goridge.AppendFrame(nil, 0, 0, []byte("abc"), 4), "bad payload"},
		{"context of 4 GiB", goridge.AppendFrame(nil, 0, 0, []byte("abc"), 0xffffffff), "bad payload"},
		{"control flag", control, "unexpected CONTROL flag"},
		{"header length 14", append(tooLong, 0, 0), "13 words"},
		{"bad checksum", []byte("\x14\x80\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00body"), "https://docs.roadrunner.dev/error-codes/stdout-crc"},
		{"text", []byte("PHP Warning: something is wrong here"), "invalid message: PHP Warning: something is wrong here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, p := pipePair(t)
			p.write(t, test.bytes) // and stays open and silent
			start := time.Now()
			_, err := c.Recv()
			var broken *ProtocolError
			if !errors.As(err, &broken) || !strings.Contains(broken.Error(), test.reason) {
				t.Fatalf("error %v, want %q", err, test.reason)
			}
			if !bytes.Equal(broken.Received, test.bytes) {
				t.Errorf("received %q, want %q", broken.Received, test.bytes)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if _, again := c.Recv(); again != err {
				t.Errorf("the second Recv says %v", again)
			}
		})
	}
}

func TestGarbageIsBounded(t *testing.T) {
	c, p := pipePair(t)
	go func() { // a worker that never stops printing
		for {
			if _, err := p.w.WriteString("spam spam spam\n"); err != nil {
				return
			}
		}
	}()
	start := time.Now()
	_, err := c.Recv()
	var broken *ProtocolError
	if !errors.As(err, &broken) {
		t.Fatal(err)
	}
	if len(broken.Received) > maxReceived || len(broken.Error()) > 2*maxQuoted || time.Since(start) > 5*time.Second {
		t.Errorf("%d bytes kept, %d bytes of text, after %v", len(broken.Received), len(broken.Error()), time.Since(start))
	}
}

// The deadline of the caller also ends the wait for more garbage, and is in
// force again afterwards.
func TestGarbageKeepsTheDeadline(t *testing.T) {
	c, p := pipePair(t)
	at := time.Now().Add(time.Hour)
	_ = c.SetDeadline(at)
	p.write(t, []byte("some text of no frame"))
	if _, err := c.Recv(); err == nil {
		t.Fatal("no error")
	}
	if !c.t.deadline.Equal(at) {
		t.Errorf("deadline is %v", c.t.deadline)
	}
}

func TestPending(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		if c.Pending() {
			t.Fatal("pending at the start")
		}
		p.write(t, append(answerFrame(0, "c", "answer"), answerFrame(0, "c", "one too many")...))
		m, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
		if !c.Pending() {
			t.Fatal("the second answer is not noticed in the buffer")
		}
		if m, err = c.Recv(); err != nil {
			t.Fatal(err)
		}
		m.Release()
		if c.Pending() {
			t.Fatal("pending after everything was read")
		}
		p.write(t, []byte("x"))
		until(t, c.Pending)
	})
}

// until polls a condition.
func until(t testing.TB, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the condition did not become true")
		}
	}
}

func TestSendToClosedChannel(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		p.close()
		until(t, func() bool { // TCP learns it from the answer to the first packet
			err := c.Send(&Payload{Body: []byte("job")})
			if err == nil {
				return false
			}
			wantError(t, err, ErrWorkerGone)
			return true
		})
		wantError(t, c.SendStop(), ErrWorkerGone)
		wantError(t, c.CancelStream(), ErrWorkerGone)
		if !errors.Is(c.SendStop(), syscall.EPIPE) {
			t.Error("the cause is not there")
		}
	})
}

// Close ends a blocked Recv and a blocked Send.
func TestClose(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		for _, call := range []func() error{
			func() error { _, err := c.Recv(); return err },
		} {
			result := make(chan error, 1)
			go func() { result <- call() }()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			wantError(t, <-result, os.ErrClosed)
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		wantError(t, c.Send(&Payload{Body: []byte("x")}), os.ErrClosed)
		wantError(t, c.SetDeadline(time.Now()), os.ErrClosed)
		if c.Pending() {
			t.Error("a closed channel has nothing pending")
		}
	})
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		result := make(chan error, 1)
		go func() { result <- c.Send(&Payload{Body: make([]byte, 64<<20)}) }()
		if _, err := io.ReadFull(p.r, make([]byte, 100)); err != nil { // Send is under way
			t.Fatal(err)
		}
		_ = c.Close()
		wantError(t, <-result, os.ErrClosed)
	})
}

func TestNewChannelTakesTheFiles(t *testing.T) {
	regular := func() *os.File {
		f, err := os.Create(t.TempDir() + "/file")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f := regular()
	if _, err := NewChannel(r, f); err == nil {
		t.Fatal("a regular file was accepted")
	}
	for _, f := range []*os.File{r, f} {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open", f.Name())
		}
	}
	if _, err := NewSocketChannel(regular()); err == nil {
		t.Fatal("a regular file was accepted")
	}
	if _, err := NewChannel(nil, nil); err == nil {
		t.Fatal("nil was accepted")
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
