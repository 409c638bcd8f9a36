package rpc_test

import (
	"encoding/hex"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
)

// pairs is a listener of socket pairs.
type pairs struct {
	conns chan net.Conn
	once  sync.Once
}

func (p *pairs) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pairs) Close() error {
	p.once.Do(func() { close(p.conns) })
	return nil
}

func (*pairs) Addr() net.Addr { return &net.UnixAddr{Name: "pair", Net: "unix"} }

func socketPair(t *testing.T) (near, far *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(file) // duplicates it
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// FuzzServer: whatever a client sends, the server answers in frames or hangs
// up. The seeds are the recorded requests, in all codecs.
func FuzzServer(f *testing.F) {
	table, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Split(line, "\t"); len(fields) == 4 {
			request, err := hex.DecodeString(fields[2])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(request[min(1, len(request)):][0], request)
		}
	}
	l := &pairs{conns: make(chan net.Conn)}
	s := rpc.New(rpc.Options{Listeners: []net.Listener{l}, MaxPayload: 1 << 20})
	registerAll(s)
	ended := make(chan error, 1)
	ctx := f.Context()
	go func() { ended <- s.Run(ctx) }()
	f.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	f.Fuzz(func(t *testing.T, flags byte, data []byte) {
		// A changed byte makes the checksum wrong: with it put right, other
		// codecs and lengths get past the header.
		if len(data) >= 12 {
			data[1] = flags
			data = append(recrc(data[:12]), data[12:]...)
		}
		near, far := socketPair(t)
		defer near.Close()
		l.conns <- far
		var writing sync.WaitGroup
		defer writing.Wait()
		writing.Go(func() {
			_, _ = near.Write(data)
			_ = near.CloseWrite()
		})
		r := wire.NewReader(near, 0)
		for {
			answer, err := r.Next()
			if err != nil {
				if err == io.ErrUnexpectedEOF {
					t.Fatal("half an answer")
				}
				return
			}
			answer.Release()
		}
	})
}
