package ipc

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quickCall is the longest transfer, in bytes, of which the scheduler is not told.
//
// None of these calls blocks, but a write is often the moment in which the kernel
// runs the worker that waited for it instead of us. The runtime takes a thread that
// is gone like that for one that hangs: its monitor, which looks every 20 µs then,
// gives the processor to another thread, and both are woken in vain. With small
// transfers that costs more than it can win; a large one copies for a while, and
// other goroutines may use the processor meanwhile.
const quickCall = 64 << 10

// readFD is read(2). fd does not block.
func readFD(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	var r uintptr
	if base := unsafe.Pointer(unsafe.SliceData(p)); len(p) <= quickCall {
		r, _, errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(base), uintptr(len(p)))
	} else {
		r, _, errno = unix.Syscall(unix.SYS_READ, fd, uintptr(base), uintptr(len(p)))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// writeFD is writev(2). fd does not block.
func writeFD(fd uintptr, vec []unix.Iovec) (n int, errno syscall.Errno) {
	length := 0
	for i := range vec {
		length += int(vec[i].Len)
	}
	var r uintptr
	if base := unsafe.Pointer(unsafe.SliceData(vec)); length <= quickCall {
		r, _, errno = unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(base), uintptr(len(vec)))
	} else {
		r, _, errno = unix.Syscall(unix.SYS_WRITEV, fd, uintptr(base), uintptr(len(vec)))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// UnreadFD is how many bytes wait in a pipe or socket, 0 if the kernel does not
// tell (FIONREAD).
func UnreadFD(fd uintptr) int {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, unix.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}
