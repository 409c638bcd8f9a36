package ipc

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// TestMain fails if a test leaves a goroutine or a descriptor behind.
func TestMain(m *testing.M) {
	r, w, _ := os.Pipe() // the poller's own descriptors exist from here on
	_, _ = r.Close(), w.Close()
	before := openFiles()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
		if after := openFiles(); after > before {
			println("descriptors before", before, "after", after)
			code = 1
		}
	}
	os.Exit(code)
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// peer is the worker's side of a channel, played by the test.
type peer struct{ r, w *os.File }

func (p *peer) close() { _, _ = p.r.Close(), p.w.Close() }

// pipePair makes a channel and its peer over two pipes.
func pipePair(t testing.TB) (*Channel, *peer) {
	t.Helper()
	fromWorker, workerOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	workerIn, toWorker, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewChannel(fromWorker, toWorker)
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, c, &peer{workerIn, workerOut})
}

// socketPair makes a channel and its peer over a unix socket.
func socketPair(t testing.TB) (*Channel, *peer) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetNonblock(fds[1], true)
	other := os.NewFile(uintptr(fds[1]), "worker")
	c, err := NewSocketChannel(os.NewFile(uintptr(fds[0]), "channel")) // in blocking mode on purpose
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, c, &peer{other, other})
}

// tcpPair makes a channel and its peer over TCP.
func tcpPair(t testing.TB) (*Channel, *peer) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := func(c net.Conn, err error) *os.File {
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	other := file(net.Dial("tcp4", l.Addr().String()))
	c, err := NewSocketChannel(file(l.Accept()))
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, c, &peer{other, other})
}

func finish(t testing.TB, c *Channel, p *peer) (*Channel, *peer) {
	t.Cleanup(func() {
		_ = c.Close()
		p.close()
	})
	// No test waits for ever.
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c, p
}

var pairs = []struct {
	name string
	make func(testing.TB) (*Channel, *peer)
}{{"pipes", pipePair}, {"unix", socketPair}, {"tcp", tcpPair}}

// onAll runs the test over each kind of descriptor.
func onAll(t *testing.T, f func(*testing.T, *Channel, *peer)) {
	for _, k := range pairs {
		t.Run(k.name, func(t *testing.T) {
			c, p := k.make(t)
			f(t, c, p)
		})
	}
}

// write sends bytes as the worker.
func (p *peer) write(t testing.TB, b []byte) {
	t.Helper()
	if _, err := p.w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// read receives one frame as the worker.
func (p *peer) read(t testing.TB) goridge.Frame {
	t.Helper()
	_ = p.r.SetReadDeadline(time.Now().Add(time.Minute))
	head := make([]byte, goridge.HeaderSize)
	if _, err := io.ReadFull(p.r, head); err != nil {
		t.Fatal(err)
	}
	h, err := goridge.ParseHeader(head)
	if err != nil {
		t.Fatal(err)
	}
	frame := append(head, make([]byte, h.Size()-goridge.HeaderSize+int(h.Length))...)
	if _, err := io.ReadFull(p.r, frame[goridge.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	f, _, err := goridge.ParseFrame(frame)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// answerFrame is a result as a worker sends it.
func answerFrame(stream byte, context, body string) []byte {
	return goridge.AppendFrame(nil, goridge.CodecProto, stream, []byte(context+body), uint32(len(context)))
}

// lockedBuffer collects a process's stderr.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// phpWorker starts PHP with the arguments, display_errors on and no error log,
// as a fresh installation without php.ini has it.
func phpWorker(t testing.TB, args ...string) (*Channel, *exec.Cmd) {
	t.Helper()
	fromWorker, workerOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	workerIn, toWorker, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("php", append([]string{"-d", "display_errors=1", "-d", "log_errors=0", "-d", "short_open_tag=0"}, args...)...)
	cmd.Dir = "testdata"
	cmd.Stdin, cmd.Stdout = workerIn, workerOut
	stderr := new(lockedBuffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = workerIn.Close(), workerOut.Close()
	c, err := NewChannel(fromWorker, toWorker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && stderr.String() != "" {
			t.Logf("php %s: %s", filepath.Base(args[0]), stderr)
		}
	})
	return c, cmd
}

// wantError fails unless err is target.
func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}
