package pool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/pool/worker"
)

// testHalf makes bodies of many parts cheap.
const testHalf = ipc.MinHalf

func sharedSpec() worker.Spec {
	return worker.Spec{
		Argv: []string{"/proc/self/exe"}, Half: testHalf,
		Env: []string{"POOL_TEST_SHARED=1", "GOMAXPROCS=2", "GORACE=atexit_sleep_ms=0"},
	}
}

// sharedMain is this binary as a worker with a control pipe and shared memory. It
// echoes bodies. What the context of a job says it does first; see hostile.
type sharedMain struct {
	mem      []byte
	req, res []byte
	ask      string // what to do when the next part has to be asked for
}

func sharedWorker() {
	if got := os.Getenv(ipc.AnnounceEnv); got != ipc.Announcement(testHalf) {
		fmt.Fprintln(os.Stderr, "announced:", got)
		os.Exit(3)
	}
	mem, err := unix.Mmap(ipc.SegmentFD, 0, 4096+2*testHalf, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	w := &sharedMain{mem: mem, req: mem[4096+24 : 4096+testHalf], res: mem[4096+testHalf+24:]}
	for {
		f := w.read()
		switch {
		case f.Flags&goridge.Control != 0 && bytes.Contains(f.Payload, []byte("stop")):
			return
		case f.Flags&goridge.Control != 0:
			w.send(goridge.Control, 0, fmt.Sprintf(`{"pid":%d,"accepts":["body","shm"]}`, os.Getpid()))
		case f.Stream&(goridge.StopBit|goridge.PongBit) != 0:
		default:
			w.serve(f)
		}
	}
}

// read returns the next frame; without one the worker ends.
func (w *sharedMain) read() goridge.Frame {
	frame := make([]byte, goridge.HeaderSize)
	if _, err := io.ReadFull(os.Stdin, frame); err != nil {
		os.Exit(0)
	}
	h, err := goridge.ParseHeader(frame)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	frame = append(frame, make([]byte, h.Size()-len(frame)+int(h.Length))...)
	if _, err := io.ReadFull(os.Stdin, frame[goridge.HeaderSize:]); err != nil {
		os.Exit(0)
	}
	f, _, _ := goridge.ParseFrame(frame)
	return f
}

func (w *sharedMain) send(flags, stream byte, payload string, options ...uint32) {
	w.raw(goridge.AppendFrame(nil, flags, stream, []byte(payload), options...))
}

func (w *sharedMain) raw(b []byte) {
	if _, err := unix.Write(ipc.ControlFD, b); err != nil {
		os.Exit(0)
	}
}

// part sends a frame whose body is said to lie in shared memory.
func (w *sharedMain) part(stream byte, context string, part, rest uint32) {
	w.send(0, goridge.SharedBit|stream, context, uint32(len(context)), part, rest)
}

func (w *sharedMain) pong() {
	for w.read().Stream&goridge.PongBit == 0 {
	}
}

func (w *sharedMain) serve(f goridge.Frame) {
	n := f.Option[0]
	context, body := string(f.Payload[:n]), bytes.Clone(f.Payload[n:])
	order, rest, _ := strings.Cut(context, " ")
	if order == "take" && rest == "0" {
		os.Exit(0)
	}
	for asked := 1; f.Stream&goridge.SharedBit != 0; asked++ {
		body = append(body, w.req[:f.Option[1]]...)
		if f.Option[2] == 0 {
			break
		}
		w.send(0, goridge.BodyBit|goridge.SharedBit, "", 0)
		if order == "take" && rest == fmt.Sprint(asked) {
			os.Exit(0)
		}
		f = w.read()
	}
	if w.hostile(order, rest, body) {
		return
	}
	if len(body) < 8<<10 {
		w.send(0, 0, context+string(body), uint32(len(context)))
		return
	}
	for first := true; first || len(body) > 0; first = false {
		n := copy(w.res[:1+rand.IntN(len(w.res))], body)
		if body = body[n:]; len(body) == 0 {
			w.part(0, context, uint32(n), 0)
			return
		}
		w.part(goridge.PingBit, context, uint32(n), uint32(len(body)))
		w.pong()
		context = ""
	}
}

// hostile does what no worker should; true: it was the answer, or the lack of one.
func (w *sharedMain) hostile(order, rest string, body []byte) bool {
	const room = testHalf - 24
	switch order {
	case "resize":
		for _, size := range []int64{0, 4096, 4096 + 2*testHalf + 1} {
			if err := unix.Ftruncate(ipc.SegmentFD, size); !errors.Is(err, unix.EPERM) {
				w.send(goridge.Error, 0, fmt.Sprint("ftruncate: ", err))
				return true
			}
		}
		if n, err := unix.Pwrite(ipc.SegmentFD, []byte("x"), 4096+2*testHalf); err == nil {
			w.send(goridge.Error, 0, fmt.Sprint("pwrite: ", n))
			return true
		}
		if err := unix.Fallocate(ipc.SegmentFD, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096+2*testHalf); err != nil {
			w.send(goridge.Error, 0, fmt.Sprint("fallocate: ", err))
			return true
		}
		return false
	case "scribble": // from now on
		go func() {
			for i := byte(0); ; i++ {
				for j := range w.mem {
					w.mem[j] = i
				}
			}
		}()
		return false
	case "long":
		w.part(0, "", room+1, 0)
	case "longest":
		w.part(0, "", 1<<32-1, 0)
	case "overflow":
		w.part(0, "", room, 1<<32-1)
	case "offset":
		w.send(0, goridge.SharedBit, "ab", 1<<31, 10, 0)
	case "endless":
		for {
			w.part(goridge.PingBit, "", 10, 1<<20)
			w.pong()
		}
	case "empty":
		w.part(0, "", 0, 1<<20)
	case "unbegun": // a further part of nothing, then a part that promises more than there is
		w.part(0, "", 10, 10)
		w.part(0, "", 10, 10)
	case "twice": // in one write: the second is there when the first is read
		answer := goridge.AppendFrame(nil, 0, goridge.SharedBit, []byte("ctx"), 3, 9000, 0)
		w.raw(append(answer, answer...))
	case "question":
		w.send(0, goridge.BodyBit|goridge.SharedBit, "", 0)
	case "short": // the answer ends after so many bytes of its two frames
		var n int
		fmt.Sscan(rest, &n)
		answer := goridge.AppendFrame(nil, 0, goridge.SharedBit, []byte("ctx"), 3, room, 100)
		answer = goridge.AppendFrame(answer, 0, goridge.SharedBit, nil, 0, 100, 0)
		w.raw(answer[:n])
		os.Exit(0)
	case "killed":
		w.part(0, "ctx", room, 100)
		_ = unix.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "print":
		fmt.Print(string(body))
		return false
	default:
		return false
	}
	return true
}
