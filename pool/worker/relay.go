package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

const (
	// relayHandshake bounds one connection's handshake, so that a stranger who
	// connects and says nothing does not hold a descriptor for ever.
	relayHandshake = 60 * time.Second
	// relayUnclaimed is how long an answered connection waits for the worker
	// it belongs to; fork returns a moment before or after the child connects.
	relayUnclaimed = 5 * time.Second
	// relayPending bounds connections in their handshake.
	relayPending = 1024
)

// Relay is a listening socket that workers connect to instead of using stdin
// and stdout (RR_RELAY=tcp://host:port or unix://path). A worker is recognised
// by the process id that it answers in the handshake, so a command that changes
// the process id (sh -c, sudo, docker) never becomes ready. One Relay can serve
// several pools.
type Relay struct {
	l      net.Listener
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	waiting map[int]chan *ipc.Channel
	arrived map[int]*arrival
}

type arrival struct {
	ch    *ipc.Channel
	timer *time.Timer
}

// ListenRelay listens at tcp://host:port or unix://path. A socket file that is
// already there is replaced. The caller must Close it.
func ListenRelay(address string) (*Relay, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || rest == "" || scheme != "tcp" && scheme != "unix" {
		return nil, fmt.Errorf("cannot use relay %q: invalid DSN (tcp://:6001, unix://file.sock)", address)
	}
	if scheme == "unix" {
		if err := removeStale(rest); err != nil {
			return nil, fmt.Errorf("cannot use relay %q: %w", address, err)
		}
	}
	l, err := net.Listen(scheme, rest)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for workers at relay %q: %w", address, err)
	}
	if scheme == "unix" {
		if err := os.Chmod(rest, 0o666); err != nil {
			l.Close()
			return nil, fmt.Errorf("cannot open relay socket %s to the workers: %w", rest, err)
		}
	}
	r := &Relay{
		l:       l,
		slots:   make(chan struct{}, relayPending),
		waiting: make(map[int]chan *ipc.Channel),
		arrived: make(map[int]*arrival),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.accept)
	return r, nil
}

// Addr is the address listened at.
func (r *Relay) Addr() net.Addr { return r.l.Addr() }

// Close stops listening. Workers that are connected keep their connection.
func (r *Relay) Close() error {
	r.cancel()
	err := r.l.Close()
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, a := range r.arrived {
		a.timer.Stop()
		a.ch.Close()
		delete(r.arrived, pid)
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept runs until Close. Errors of one connection, and a shortage of
// descriptors, do not end it.
func (r *Relay) accept() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			if r.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-r.ctx.Done():
			}
			continue
		}
		select {
		case r.slots <- struct{}{}:
		case <-r.ctx.Done():
			c.Close()
			return
		}
		r.wg.Go(func() {
			defer func() { <-r.slots }()
			r.greet(c)
		})
	}
}

// greet does the handshake of one connection and files the channel by pid.
func (r *Relay) greet(c net.Conn) {
	peer := peerPID(c)
	ch, err := socketChannel(c)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, relayHandshake)
	defer cancel()
	pid, err := ch.Handshake(ctx, os.Getpid())
	if err != nil || peer != 0 && pid != peer {
		ch.Close()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		w <- ch // buffered
		return
	}
	if r.ctx.Err() != nil || r.arrived[pid] != nil {
		ch.Close()
		return
	}
	a := &arrival{ch: ch}
	a.timer = time.AfterFunc(relayUnclaimed, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.arrived[pid] == a {
			delete(r.arrived, pid)
			ch.Close()
		}
	})
	r.arrived[pid] = a
}

// peerPID is the process at the other end of a unix socket, 0 if the kernel
// does not tell. It keeps others from posing as a worker; the socket file is
// open to everybody, because workers may run as another user.
func peerPID(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0
	}
	rc, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = rc.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// socketChannel takes the descriptor out of the net package, which has no
// single-writev, allocation-free path.
func socketChannel(c net.Conn) (*ipc.Channel, error) {
	defer c.Close()
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("relay connection has no descriptor")
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	if err := rc.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	return ipc.NewSocketChannel(os.NewFile(uintptr(fd), "relay")) // still non-blocking
}

// wait returns the channel of the worker pid.
func (r *Relay) wait(ctx context.Context, pid int, gone <-chan struct{}) (*ipc.Channel, error) {
	r.mu.Lock()
	if a, ok := r.arrived[pid]; ok {
		delete(r.arrived, pid)
		a.timer.Stop()
		r.mu.Unlock()
		return a.ch, nil
	}
	w := make(chan *ipc.Channel, 1)
	r.waiting[pid] = w
	r.mu.Unlock()
	var err error
	select {
	case ch := <-w:
		return ch, nil
	case <-gone:
		err = io.EOF
	case <-ctx.Done():
		err = fmt.Errorf("worker %d did not connect to the relay: %w", pid, ctx.Err())
	case <-r.ctx.Done():
		err = errors.New("the relay is closed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, pid)
	select {
	case ch := <-w: // connected at the last moment
		ch.Close()
	default:
	}
	return nil, err
}

// removeStale removes a socket file on which nobody listens any more, which the
// kernel tells by refusing the connection. RoadRunner removes any file there,
// and so cuts off a server that still runs.
func removeStale(path string) error {
	if st, err := os.Lstat(path); err != nil || st.Mode().Type() != os.ModeSocket {
		return nil // listening says what is wrong with it
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s; stop it or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot tell whether %s is in use: %w; remove it or choose another path", path, err)
	}
	return os.Remove(path)
}
