//go:build race

package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// rawIO goes through syscall, which tells the race detector that what is read from a
// socket comes after what was done before it was written: tests rely on it.
func rawIO(trap, fd uintptr, p []byte) (n int, errno syscall.Errno) {
	var err error
	if trap == unix.SYS_READ {
		n, err = syscall.Read(int(fd), p)
	} else {
		n, err = syscall.Write(int(fd), p)
	}
	errno, _ = err.(syscall.Errno)
	return n, errno
}
