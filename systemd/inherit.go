package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is SD_LISTEN_FDS_START: inherited descriptors begin here.
const firstFD = 3

// maxFDs bounds LISTEN_FDS against nonsense; the kernel's own limit for one
// message of descriptors is far below.
const maxFDs = 1 << 16

// UnknownName is the name of every inherited descriptor when the manager gave
// none (LISTEN_FDNAMES unset), as in sd_listen_fds_with_names(3).
const UnknownName = "unknown"

// ErrSocketKind says that an inherited descriptor is not what its name was
// asked for: a datagram socket where a listener is needed, a plain file, a
// stream socket that does not listen.
var ErrSocketKind = errors.New("wrong kind of descriptor")

// Inherited holds the descriptors that the service manager passed, until each
// has been taken by its name. The order in which descriptors arrive is not
// stable, so there is no access by position.
//
// It is not safe for concurrent use.
type Inherited struct {
	files []named
}

type named struct {
	name string
	file *os.File
}

// Inherit takes over the descriptors of LISTEN_FDS and removes the variables
// from the environment. All descriptors become close-on-exec. There are none
// when the variables are unset or LISTEN_PID names another process. Call it
// once, before any child is started.
//
// When the variables contradict each other or the open descriptors, the error
// names the variable and no descriptor stays open.
func Inherit() (*Inherited, error) {
	env := listenEnv{
		pid:   os.Getenv("LISTEN_PID"),
		fds:   os.Getenv("LISTEN_FDS"),
		names: os.Getenv("LISTEN_FDNAMES"),
	}
	_, env.named = os.LookupEnv("LISTEN_FDNAMES")
	for _, v := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, fmt.Errorf("cannot clear %s: %w", v, err)
		}
	}
	names, err := env.parse(os.Getpid())
	if err != nil {
		return nil, err
	}
	return adopt(names)
}

// listenEnv is the text of the variables.
type listenEnv struct {
	pid, fds, names string
	named           bool // LISTEN_FDNAMES is set
}

// parse returns the name of each descriptor that is meant for process self.
func (e listenEnv) parse(self int) ([]string, error) {
	if e.pid == "" || e.fds == "" {
		return nil, nil
	}
	pid, err := strconv.Atoi(e.pid)
	if err != nil || pid <= 0 {
		return nil, fmt.Errorf("cannot use inherited sockets: LISTEN_PID=%q is not a process id", e.pid)
	}
	if pid != self {
		return nil, nil
	}
	n, err := strconv.Atoi(e.fds)
	if err != nil || n < 0 || n > maxFDs {
		return nil, fmt.Errorf("cannot use inherited sockets: LISTEN_FDS=%q is not a number from 0 to %d", e.fds, maxFDs)
	}
	if n == 0 {
		return nil, nil
	}
	if !e.named {
		return slices.Repeat([]string{UnknownName}, n), nil
	}
	names := strings.Split(e.names, ":")
	if len(names) != n {
		return nil, fmt.Errorf("cannot use inherited sockets: LISTEN_FDNAMES=%q has %d names for LISTEN_FDS=%d", e.names, len(names), n)
	}
	return names, nil
}

// adopt makes files of the descriptors firstFD, firstFD+1, ...
func adopt(names []string) (*Inherited, error) {
	in := &Inherited{files: make([]named, 0, len(names))}
	var errs error
	for i, name := range names {
		fd := firstFD + i
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags|unix.FD_CLOEXEC)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("cannot use inherited socket %q: descriptor %d of LISTEN_FDS=%d: %w", name, fd, len(names), err))
			continue
		}
		in.files = append(in.files, named{name, os.NewFile(uintptr(fd), name)})
	}
	if errs != nil {
		return nil, errors.Join(errs, in.Close())
	}
	return in, nil
}

// Names lists what has not been taken yet, sorted, each name once.
func (in *Inherited) Names() []string {
	var names []string
	for _, f := range in.files {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Has reports whether a descriptor of this name has not been taken yet.
func (in *Inherited) Has(name string) bool {
	return slices.ContainsFunc(in.files, func(f named) bool { return f.name == name })
}

// Files takes all descriptors of one name, in the order of their numbers, which
// is the order of the Listen lines within one socket unit. The caller closes
// them. There are none if the name is unknown or was taken before.
func (in *Inherited) Files(name string) []*os.File {
	var taken []*os.File
	in.files = slices.DeleteFunc(in.files, func(f named) bool {
		if f.name == name {
			taken = append(taken, f.file)
		}
		return f.name == name
	})
	return taken
}

// Listeners takes all listening stream sockets of one name: TCP and unix, in
// the order of Files. The file of a unix socket stays when such a listener is
// closed: it belongs to the socket unit. The error is ErrSocketKind when one of
// them is something else; then all of that name are closed.
func (in *Inherited) Listeners(name string) ([]net.Listener, error) {
	return convert(in.Files(name), func(f *os.File) (net.Listener, error) {
		if err := check(f, unix.SOCK_STREAM); err != nil {
			return nil, err
		}
		return net.FileListener(f)
	})
}

// PacketConns takes all datagram sockets of one name, as Listeners does.
func (in *Inherited) PacketConns(name string) ([]net.PacketConn, error) {
	return convert(in.Files(name), func(f *os.File) (net.PacketConn, error) {
		if err := check(f, unix.SOCK_DGRAM); err != nil {
			return nil, err
		}
		return net.FilePacketConn(f)
	})
}

// Close closes what nobody has taken. It may be called again.
func (in *Inherited) Close() error {
	var errs error
	for _, f := range in.files {
		errs = errors.Join(errs, f.file.Close())
	}
	in.files = nil
	return errs
}

// closer is the part of net.Listener and net.PacketConn that convert needs.
type closer interface{ Close() error }

// convert turns files into sockets. The net package duplicates the descriptor,
// so the file is closed in any case.
func convert[S closer](files []*os.File, socket func(*os.File) (S, error)) ([]S, error) {
	var (
		out  []S
		errs error
	)
	for _, f := range files {
		s, err := socket(f)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("cannot use inherited socket %q: %w", f.Name(), err))
		} else {
			out = append(out, s)
		}
		errs = errors.Join(errs, f.Close())
	}
	if errs == nil {
		return out, nil
	}
	for _, s := range out {
		errs = errors.Join(errs, s.Close())
	}
	return nil, errs
}

// check makes sure that f is a socket of the type, and that it listens if that
// is a stream.
func check(f *os.File, want int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var kind, listens int
	cerr := raw.Control(func(fd uintptr) {
		if kind, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			listens, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		}
	})
	switch {
	case cerr != nil:
		return cerr
	case errors.Is(err, unix.ENOTSOCK):
		return fmt.Errorf("%w: it is not a socket", ErrSocketKind)
	case err != nil:
		return err
	case kind != want && want == unix.SOCK_STREAM:
		return fmt.Errorf("%w: not a stream socket, write ListenStream= in its socket unit", ErrSocketKind)
	case kind != want:
		return fmt.Errorf("%w: not a datagram socket, write ListenDatagram= in its socket unit", ErrSocketKind)
	case want == unix.SOCK_STREAM && listens == 0:
		return fmt.Errorf("%w: the socket does not listen, write Accept=no in its socket unit", ErrSocketKind)
	}
	return nil
}
