package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotifySocket says that NOTIFY_SOCKET holds an address that rrd cannot
// send to: neither a path nor an abstract name.
var ErrNotifySocket = errors.New("unusable NOTIFY_SOCKET")

// maxStatus bounds a status line. The manager drops any message of more than
// 4096 bytes, and nobody reads that much in `systemctl status`.
const maxStatus = 1024

// sendTimeout bounds a message to a manager that does not read.
const sendTimeout = 5 * time.Second

// Notifier tells the service manager about the service. A Notifier that is nil
// or was made without a manager does nothing and returns no error. It keeps no
// descriptor open and is safe for concurrent use.
type Notifier struct {
	addr     *unix.SockaddrUnix // nil: there is no manager to tell
	watchdog time.Duration
}

// NewNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes
// them from the environment. Call it once, before any child is started.
func NewNotifier() (*Notifier, error) {
	socket, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, v := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, fmt.Errorf("cannot clear %s: %w", v, err)
		}
	}
	n := &Notifier{}
	if socket != "" {
		// systemd 254 and later may hand "vsock:CID:PORT" to the init of a
		// virtual machine; a service never sees that.
		if (socket[0] != '/' && socket[0] != '@') || len(socket) < 2 {
			return nil, fmt.Errorf("cannot notify the service manager: %w %q, want /path or @name", ErrNotifySocket, socket)
		}
		n.addr = &unix.SockaddrUnix{Name: socket} // x/sys turns a leading @ into NUL
	}
	var err error
	if n.watchdog, err = watchdogInterval(usec, pid, os.Getpid()); err != nil {
		return nil, err
	}
	return n, nil
}

// watchdogInterval is zero when the watchdog is off or meant for another process.
func watchdogInterval(usec, pid string, self int) (time.Duration, error) {
	if usec == "" {
		return 0, nil
	}
	if pid != "" {
		p, err := strconv.Atoi(pid)
		if err != nil || p <= 0 {
			return 0, fmt.Errorf("cannot read the watchdog interval: WATCHDOG_PID=%q is not a process id", pid)
		}
		if p != self {
			return 0, nil
		}
	}
	// The largest duration in microseconds: larger values would overflow.
	const most = uint64(1<<63-1) / uint64(time.Microsecond)
	u, err := strconv.ParseUint(usec, 10, 64)
	if err != nil || u == 0 || u > most {
		return 0, fmt.Errorf("cannot read the watchdog interval: WATCHDOG_USEC=%q is not a number of microseconds", usec)
	}
	return time.Duration(u) * time.Microsecond, nil
}

// Enabled reports whether a service manager listens.
func (n *Notifier) Enabled() bool { return n != nil && n.addr != nil }

// WatchdogInterval is the time within which the manager wants to hear Watchdog,
// zero when it does not care. Send at half of it: sd_watchdog_enabled(3).
func (n *Notifier) WatchdogInterval() time.Duration {
	if !n.Enabled() {
		return 0
	}
	return n.watchdog
}

// Ready says that the service has started, or finished reloading.
func (n *Notifier) Ready(status string) error {
	return n.send("READY=1\nSTATUS="+statusLine(status), -1)
}

// Status sets the line that `systemctl status` shows.
func (n *Notifier) Status(status string) error {
	return n.send("STATUS="+statusLine(status), -1)
}

// Reloading says that the configuration is being reloaded; Ready ends that,
// whatever the outcome was. It carries the monotonic clock, which
// Type=notify-reload needs to tell this reload from an earlier one.
func (n *Notifier) Reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return fmt.Errorf("cannot read the monotonic clock: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC="+strconv.FormatInt(ts.Nano()/1000, 10), -1)
}

// Stopping says that the service is about to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1", -1) }

// Watchdog says that the service makes progress.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1", -1) }

// WatchdogTrigger makes the manager act at once as if the watchdog had run out:
// the service knows that it cannot go on.
func (n *Notifier) WatchdogTrigger() error { return n.send("WATCHDOG=trigger", -1) }

// ExtendTimeout asks for d more, from now, for the start, stop or reload that is
// under way. It has to be repeated before d is over.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send("EXTEND_TIMEOUT_USEC="+strconv.FormatInt(max(d, 0).Microseconds(), 10), -1)
}

// MainPID names the process that is the service from now on.
func (n *Notifier) MainPID(pid int) error {
	return n.send("MAINPID="+strconv.Itoa(pid), -1)
}

// Barrier waits until the manager has read all messages sent before, so that a
// process which ends right after loses none of them.
func (n *Notifier) Barrier(ctx context.Context) error {
	if !n.Enabled() {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot wait for the service manager: %w", err)
	}
	defer r.Close()
	err = n.sendConn("BARRIER=1", w)
	// The manager closes its copy when it comes to this message: end of file.
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("cannot wait for the service manager: %w", context.Cause(ctx))
	}
	return nil
}

// statusLine makes one line of valid UTF-8 of text: the manager ignores
// anything else.
func statusLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "")
	}
	return text
}
