package ipc

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The two benchmarks say whether splice(2) and vmsplice(2) would beat the copies that
// the daemon makes. What counts is cpu-µs/op: the processor time of all three parts,
// producer, mover and consumer, which are in this process.

var spliceSizes = []int{4 << 10, 64 << 10, 1 << 20, 10 << 20}

// BenchmarkPipeToSocket is the body of an answer on its way from a worker's pipe to
// a client on TCP.
func BenchmarkPipeToSocket(b *testing.B) {
	buf := make([]byte, 1<<20)
	for _, how := range []struct {
		name string
		move func(to, from, n int) (int, error)
	}{
		{"copy", func(to, from, n int) (int, error) {
			n, err := unix.Read(from, buf[:min(n, len(buf))])
			if err == nil {
				err = writeAll(to, buf[:n])
			}
			return n, err
		}},
		{"splice", func(to, from, n int) (int, error) {
			moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE)
			return int(moved), err
		}},
	} {
		for _, size := range spliceSizes {
			b.Run(fmt.Sprintf("%s/%d", how.name, size), func(b *testing.B) {
				r, w := rawPipe(b)
				client, server := rawTCP(b)
				benchMove(b, size, w, client, func() error {
					for left := size; left > 0; {
						n, err := how.move(server, r, left)
						if err != nil {
							return err
						}
						left -= n
					}
					return nil
				})
			})
		}
	}
}

// BenchmarkMemoryToPipe is the body of a request on its way from the daemon's memory
// to a worker's pipe.
func BenchmarkMemoryToPipe(b *testing.B) {
	for _, how := range []struct {
		name string
		give func(fd int, p []byte) (int, error)
	}{
		{"write", unix.Write},
		{"vmsplice", func(fd int, p []byte) (int, error) {
			v := unix.Iovec{Base: &p[0]}
			v.SetLen(len(p))
			return unix.Vmsplice(fd, []unix.Iovec{v}, 0)
		}},
	} {
		for _, size := range spliceSizes {
			b.Run(fmt.Sprintf("%s/%d", how.name, size), func(b *testing.B) {
				r, w := rawPipe(b)
				body := make([]byte, size)
				for i := range body {
					body[i] = byte(i) // or all pages are the one of zeros
				}
				benchMove(b, size, -1, r, func() error {
					for left := body; len(left) > 0; {
						n, err := how.give(w, left)
						if err != nil {
							return err
						}
						left = left[n:]
					}
					return nil
				})
			})
		}
	}
}

// benchMove runs move beside a producer that writes size bytes to in, if that is not
// -1, and a consumer that reads them from out.
func benchMove(b *testing.B, size, in, out int, move func() error) {
	b.SetBytes(int64(size))
	produce, consumed := make(chan struct{}), make(chan error)
	defer close(produce)
	go func() {
		data, buf := make([]byte, size), make([]byte, 1<<20)
		for range produce {
			left := size
			if in >= 0 {
				go func() { consumed <- writeAll(in, data) }()
			}
			for left > 0 {
				n, err := unix.Read(out, buf)
				if err == nil && n == 0 {
					err = syscall.EPIPE
				}
				if err != nil {
					consumed <- err
					return
				}
				left -= n
			}
			consumed <- nil
		}
	}()
	before := processorTime()
	for b.Loop() {
		produce <- struct{}{}
		if err := move(); err != nil {
			b.Fatal(err)
		}
		parts := 1
		if in >= 0 {
			parts = 2
		}
		for range parts {
			if err := <-consumed; err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// rawPipe is a blocking pipe of 1 MiB, as workers have it.
func rawPipe(b *testing.B) (r, w int) {
	b.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20)
	return p[0], p[1]
}

// rawTCP is a connection over loopback, both ends blocking.
func rawTCP(b *testing.B) (client, server int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fd := func(c net.Conn) int {
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		return blocking(b, f)
	}
	return fd(c), fd(s)
}

func blocking(b *testing.B, f *os.File) int {
	b.Helper()
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		b.Fatal(err)
	}
	return fd
}

func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
