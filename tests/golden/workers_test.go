package golden_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// remoteWorker is one worker process, played by the test through the
// remoteworker program. Its fields are guarded by the server's mutex.
type remoteWorker struct {
	s    *server
	conn net.Conn
	pid  int
	argv []string
	env  []string

	pending   []byte   // bytes of the daemon that are not yet a whole frame
	frames    []*frame // frames that no step has looked at
	handshake *frame   // the pid request
	stop      *frame   // the stop order
	garbage   error    // the daemon sent something that is no frame
	dead      bool     // the process has ended
}

// jobFrame is a frame that a step looks at.
type jobFrame struct {
	*frame
	Worker  *remoteWorker
	Context map[string]any
	Body    string
	Files   []any
}

// acceptWorkers serves the unix socket on which the workers report.
func (s *server) acceptWorkers() {
	for {
		c, err := s.control.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.serveWorker(c) })
	}
}

func (s *server) serveWorker(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	kind, content, err := readRecord(r)
	var hello struct {
		PID  int
		Argv []string
		Env  []string
	}
	if err != nil || kind != 'H' || json.Unmarshal(content, &hello) != nil {
		return
	}
	w := &remoteWorker{s: s, conn: c, pid: hello.PID, argv: hello.Argv, env: hello.Env}
	s.update(func() { s.workers = append(s.workers, w) })
	for {
		kind, content, err := readRecord(r)
		if err != nil {
			break
		}
		if kind == 'D' {
			s.update(func() { w.receive(content) })
		}
	}
	s.update(func() { w.dead = true })
}

func readRecord(r io.Reader) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	content := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, content)
	return head[0], content, err
}

// receive takes bytes of the daemon. It is called with the server's mutex held.
func (w *remoteWorker) receive(data []byte) {
	w.pending = append(w.pending, data...)
	for w.garbage == nil {
		f, n, err := parseFrame(w.pending)
		if errors.Is(err, errShortFrame) {
			return
		}
		if err != nil {
			w.garbage = err
			return
		}
		w.pending = w.pending[n:]
		w.frame(f)
	}
}

// frame answers the handshake and obeys the stop order unless the case says
// otherwise; every other frame is kept for a step.
func (w *remoteWorker) frame(f *frame) {
	if w.s.handshake == "manual" || f.Flags&flagControl == 0 {
		w.frames = append(w.frames, f)
		return
	}
	var order struct {
		PID  int
		Stop bool
	}
	_ = json.Unmarshal(f.Payload, &order)
	switch {
	case order.Stop:
		w.stop = f
		if w.s.handshake != "ignore-stop" {
			_ = w.write('X', []byte("0"))
		}
	case order.PID != 0 && w.handshake == nil:
		w.handshake = f
		answer := fmt.Appendf(nil, `{"pid":%d}`, w.pid)
		_ = w.write('D', appendFrame(nil, flagControl, 0, nil, answer))
	default:
		w.frames = append(w.frames, f)
	}
}

// write tells the worker process what to do.
func (w *remoteWorker) write(kind byte, content []byte) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(stepLimit))
	_, err := w.conn.Write(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(content))), content...))
	return err
}

func (w *remoteWorker) exit(code int) error { return w.write('X', []byte(strconv.Itoa(code))) }
