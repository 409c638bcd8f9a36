package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// slotPeer is a worker with slots, played by the test.
type slotPeer struct {
	*sharedPeer
	seq uint32
}

// slotPair makes a channel and its peer that are ready for jobs.
func slotPair(t testing.TB, half int) (*Channel, *slotPeer) {
	t.Helper()
	c, p := doorPair(t, half)
	p.write(t, goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":7,"accepts":["stop","body","shm","slots"]}`)))
	if pid := shakeHands(t, c); pid != 7 {
		t.Fatalf("pid %d", pid)
	}
	p.read(t) // the pid request
	if !c.Accepts(Slots) || c.slots == nil {
		t.Fatal("no slots")
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c, &slotPeer{sharedPeer: p}
}

func (p *slotPeer) word(at int) *uint32 { return (*uint32)(unsafe.Pointer(&p.mem[at])) }

// wait sleeps until there is an entry; false: the channel was closed.
func (p *slotPeer) wait() bool {
	seq := p.word(requestEntry + entrySeq)
	limit := unix.NsecToTimespec(int64(5 * time.Millisecond))
	for atomic.LoadUint32(seq) == p.seq {
		atomic.StoreUint32(p.word(requestEntry+entryWaits), 1)
		if atomic.LoadUint32(seq) == p.seq {
			_, _, _ = syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(seq)), 0, uintptr(p.seq), uintptr(unsafe.Pointer(&limit)), 0, 0)
		}
		atomic.StoreUint32(p.word(requestEntry+entryWaits), 0)
		fds := []unix.PollFd{{Fd: int32(p.r.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 0); err == nil && fds[0].Revents&unix.POLLHUP != 0 && fds[0].Revents&unix.POLLIN == 0 {
			return false
		}
	}
	p.seq++
	atomic.StoreUint32(p.word(requestEntry+entryMark), p.seq)
	return true
}

// entry is the job of the last wait, piped if it is in the pipe.
func (p *slotPeer) entry() (flags byte, context string, body []byte, piped bool) {
	n, part := int(*p.word(requestEntry + entryContext)), int(*p.word(requestEntry + entryPart))
	if *p.word(requestEntry + entryStream)&inPipe != 0 {
		return 0, "", nil, true
	}
	half := p.requestHalf()
	return byte(*p.word(requestEntry + entryFlags)), string(half[part : part+n]), bytes.Clone(half[:part]), false
}

// publish writes an answer's entry.
func (p *slotPeer) publish(seq, flags, stream, context, part uint32) {
	*p.word(responseEntry + entryFlags) = flags
	*p.word(responseEntry + entryStream) = stream
	*p.word(responseEntry + entryContext) = context
	*p.word(responseEntry + entryPart) = part
	atomic.StoreUint32(p.word(responseEntry+entrySeq), seq)
	if atomic.LoadUint32(p.word(responseEntry+entryWaits)) != 0 {
		_, _ = p.w.Write([]byte{0})
	}
}

// reply answers in the slot.
func (p *slotPeer) reply(flags byte, context string, body []byte) {
	half := p.responseHalf()
	copy(half[copy(half, body):], context)
	p.publish(p.seq, uint32(flags), 0, uint32(len(context)), uint32(len(body)))
}

// echoSlots answers every job with its context and body, the way it came; every
// third one by the pipe.
func (p *slotPeer) echoSlots() error {
	for p.wait() {
		flags, context, body, piped := p.entry()
		switch {
		case piped:
			context, body, _, err := p.job()
			if err != nil {
				return err
			}
			if err := p.answer(goridge.CodecJSON, 0, context, body, 0); err != nil {
				return err
			}
		case flags&goridge.Control != 0:
			return nil
		case p.seq%3 == 0:
			p.publish(p.seq, 0, inPipe, 0, 0)
			if err := p.answer(flags, 0, context, body, 0); err != nil {
				return err
			}
		default:
			p.reply(flags, context, body)
		}
	}
	return nil
}

func TestSlotsEcho(t *testing.T) {
	c, p := slotPair(t, MinHalf)
	while(t, c, p.echoSlots)
	room := c.shared.room()
	for round := range 5 {
		for i, n := range []int{0, 1, 100, minShared, room - 7, room - 6, room, room + 1, 3*room + 17} {
			body := numbered(n, byte(i+round))
			if c.Pending() {
				t.Fatal(n, "pending")
			}
			pl := &Payload{Context: []byte(`{"n":1}`), Body: body, Codec: goridge.CodecJSON, Parts: round%2 == 1}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			if fits := len(pl.Context)+n <= room && !c.slots.loose; fits != (c.FrameSize(pl) == 0) {
				t.Fatalf("%d bytes: %d of them by the pipe", n, c.FrameSize(pl))
			}
			if err := c.Send(pl); err != nil {
				t.Fatal(n, err)
			}
			context, got, err := receive(c)
			if err != nil || context != `{"n":1}` || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes: %q, %d bytes, %v", n, context, len(got), err)
			}
		}
	}
	if err := c.SendStop(); err != nil {
		t.Fatal(err)
	}
}

// After STOP the next job comes by the pipe, behind what the worker may not have read.
func TestSlotsAfterStop(t *testing.T) {
	c, p := slotPair(t, MinHalf)
	while(t, c, p.echoSlots)
	for range 20 {
		if err := c.CancelStream(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			if _, body, err := receive(c); err != nil || string(body) != "x" {
				t.Fatalf("%q, %v", body, err)
			}
		}
	}
}

func TestSlotsErrors(t *testing.T) {
	c, p := slotPair(t, MinHalf)
	send := func() {
		t.Helper()
		if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if !p.wait() {
			t.Fatal("closed")
		}
	}
	send()
	p.reply(goridge.Error, "", []byte("boom"))
	var soft *SoftError
	if _, err := c.Recv(); !errors.As(err, &soft) || soft.Text != "boom" {
		t.Fatal(err)
	}
	send()
	p.reply(0, stopOrder, nil)
	_, err := c.Recv()
	wantError(t, err, ErrWorkerStop)

	// A deadline loses nothing, and Interrupt ends a wait.
	send()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err = c.Recv()
	wantError(t, err, os.ErrDeadlineExceeded)
	_ = c.SetDeadline(time.Time{})
	interrupted := make(chan struct{})
	go func() {
		defer close(interrupted)
		c.Interrupt()
	}()
	_, err = c.Recv()
	wantError(t, err, os.ErrDeadlineExceeded)
	<-interrupted
	c.Resume()
	p.reply(0, "", []byte("late"))
	if _, body, err := receive(c); err != nil || string(body) != "late" {
		t.Fatalf("%q, %v", body, err)
	}

	// One answer too many.
	if c.Pending() {
		t.Fatal("pending")
	}
	atomic.StoreUint32(p.word(responseEntry+entryMark), 1)
	if !c.Pending() {
		t.Fatal("an answer too many is not pending")
	}
}

// A worker that writes what it should not gets one ProtocolError, and nothing else
// can be received.
func TestSlotsHostile(t *testing.T) {
	room := uint32(MinHalf - bodyOffset)
	for name, entry := range map[string][5]uint32{
		"context":       {1, 0, 0, room + 1, 0},
		"body":          {1, 0, 0, 0, room + 1},
		"sum":           {1, 0, 0, room, 1},
		"overflow":      {1, 0, 0, 0xffffffff, 0xffffffff},
		"flags":         {1, 0x100, 0, 0, 0},
		"control":       {1, 1, 0, 0, 0},
		"stream":        {1, 0, 1, 0, 0},
		"body bit":      {1, 0, 0x10, 0, 0},
		"pipe and more": {1, 0, inPipe | 1, 0, 0},
		"ahead":         {2, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := slotPair(t, MinHalf)
			if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			p.publish(entry[0], entry[1], entry[2], entry[3], entry[4])
			var broken *ProtocolError
			_, err := c.Recv()
			if !errors.As(err, &broken) || broken.Hint() == "" {
				t.Fatal(err)
			}
			if _, again := c.Recv(); again != err {
				t.Fatal(again)
			}
		})
	}
	t.Run("text", func(t *testing.T) {
		c, p := slotPair(t, MinHalf)
		if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		p.write(t, []byte("\x00\x00this is no frame"))
		var broken *ProtocolError
		if _, err := c.Recv(); !errors.As(err, &broken) {
			t.Fatal(err)
		}
	})
}

// A worker that changes everything while the daemon reads harms nobody but itself.
func TestSlotsRace(t *testing.T) {
	var stop atomic.Bool
	for range 20 {
		c, p := slotPair(t, MinHalf)
		done := make(chan struct{})
		stop.Store(false)
		go func() {
			defer close(done)
			for i := uint32(0); !stop.Load(); i++ {
				at := int(i*4) % 64
				if at == entrySeq { // else nothing is read at all
					continue
				}
				atomic.StoreUint32(p.word(responseEntry+at), i*2654435761)
				atomic.StoreUint32(p.word(responseEntry+entryPart), i)
				atomic.StoreUint32(p.word(requestEntry+at%32), i)
			}
		}()
		for seq := uint32(1); ; seq++ {
			if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			atomic.StoreUint32(p.word(responseEntry+entrySeq), seq)
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) // of an entry that says: in the pipe
			m, err := c.Recv()
			m.Release()
			var soft *SoftError
			if err != nil && !errors.As(err, &soft) {
				break
			}
			if seq == 1000 {
				break
			}
		}
		stop.Store(true)
		<-done
	}
}

// The end of the worker ends the wait at once, however it comes.
func TestSlotsWorkerEnds(t *testing.T) {
	job := &Payload{Body: []byte("x")}
	for name, end := range map[string]func(*Channel, *slotPeer){
		"closes": func(_ *Channel, p *slotPeer) { _ = p.w.Close() },
		"dies":   func(c *Channel, _ *slotPeer) { c.WorkerEnded() }, // a child of it holds the pipe
	} {
		t.Run(name, func(t *testing.T) {
			c, p := slotPair(t, MinHalf)
			if err := c.Send(job); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for atomic.LoadUint32(p.word(responseEntry+entryWaits)) == 0 {
					<-time.After(time.Millisecond)
				}
				end(c, p)
			}()
			_, err := c.Recv()
			wantError(t, err, io.EOF)
			<-ended
			if taken, known := c.Taken(); taken || !known {
				t.Error("nobody has read the job", taken, known)
			}
		})
		t.Run(name+" after its answer", func(t *testing.T) {
			c, p := slotPair(t, MinHalf)
			if err := c.Send(job); err != nil || !p.wait() {
				t.Fatal(err)
			}
			if taken, _ := c.Taken(); !taken {
				t.Error("the job was read")
			}
			p.reply(0, "", []byte("last words"))
			end(c, p)
			if _, body, err := receive(c); err != nil || string(body) != "last words" {
				t.Fatalf("%q, %v", body, err)
			}
			if err := c.Send(job); err != nil {
				t.Fatal(err)
			}
			_, err := c.Recv()
			wantError(t, err, io.EOF)
		})
		t.Run(name+" after an answer in the pipe", func(t *testing.T) {
			c, p := slotPair(t, MinHalf)
			if err := c.Send(job); err != nil || !p.wait() {
				t.Fatal(err)
			}
			p.publish(p.seq, 0, inPipe, 0, 0)
			if err := p.sharedPeer.send(0, 0, "last words", 0); err != nil {
				t.Fatal(err)
			}
			end(c, p)
			if _, body, err := receive(c); err != nil || string(body) != "last words" {
				t.Fatalf("%q, %v", body, err)
			}
		})
	}
}

// Close ends a wait, and wakes a worker that sleeps.
func TestSlotsClose(t *testing.T) {
	c, p := slotPair(t, MinHalf)
	while(t, c, p.echoSlots)
	if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Send(&Payload{Body: []byte("x")}), os.ErrClosed)
	_, err := c.Recv()
	if err == nil {
		t.Fatal("received after Close")
	}
	if c.Pending() {
		t.Fatal("pending after Close")
	}
}

func TestSlotsAllocateNothing(t *testing.T) {
	c, p := slotPair(t, MinHalf)
	job := &Payload{Context: []byte("ctx"), Body: []byte("body")}
	var m Message
	once := func() {
		if err := c.Send(job); err != nil {
			t.Fatal(err)
		}
		p.seq++
		p.reply(0, "context", job.Body)
		if err := c.RecvInto(&m); err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
	if n := testing.AllocsPerRun(300, once); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSlots(b *testing.B) {
	for _, n := range []int{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, p := slotPair(b, DefaultHalf)
			done := make(chan error, 1)
			go func() { done <- p.echoSlots() }()
			_ = c.SetDeadline(time.Time{})
			job := &Payload{Context: numbered(100, 1), Body: numbered(n, 2)}
			var m Message
			for b.Loop() {
				if err := c.Send(job); err != nil {
					b.Fatal(err)
				}
				if err := c.RecvInto(&m); err != nil {
					b.Fatal(err)
				}
				m.Release()
			}
			_ = c.Close()
			<-done
		})
	}
}
