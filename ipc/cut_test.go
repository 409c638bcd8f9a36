package ipc

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

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
		c.interrupter()() // what the runtime does when the deadline has come
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

// A worker that has ended reads no more, also if a child of it holds its pipe.
func TestWorkerEndedEndsSend(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		result := make(chan error, 1)
		go func() { result <- c.Send(&Payload{Body: make([]byte, 32<<20)}) }()
		if _, err := io.ReadFull(p.r, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		c.WorkerEnded()
		wantError(t, <-result, ErrWorkerGone)
	})
	onAll(t, func(t *testing.T, c *Channel, _ *peer) {
		c.WorkerEnded()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		wantError(t, c.Send(&Payload{Body: []byte("job")}), ErrWorkerGone)
		_ = c.SetDeadline(time.Time{})
		wantError(t, c.SendStop(), ErrWorkerGone)
		_, err := c.Recv()
		wantError(t, err, io.EOF)
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
