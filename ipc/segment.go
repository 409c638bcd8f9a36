package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Layout of a segment: a control page, then the half that the daemon writes (the
// bodies of jobs), then the half that the worker writes (the bodies of answers).
const (
	controlSize = 4096
	// bodyOffset is where a body lies in its half. Not at 0: copying between two
	// places that are equal modulo 4 KiB is 15 to 25 times slower on Zen, and PHP's
	// large strings have their bytes at 24 in a page.
	bodyOffset = 24

	segmentMagic   = "RRS1"
	segmentVersion = 1
)

// Bounds and default of the size of a half, in bytes. It is a multiple of
// HalfStep.
const (
	MinHalf     = 64 << 10
	MaxHalf     = 64 << 20
	DefaultHalf = 256 << 10 // stays in the processor's cache; larger ones were not clearly faster and cost memory
	HalfStep    = 4096
)

// Segment is memory that is shared with one worker. It is charged to who touches a
// page first: the request half to the daemon, the response half to the worker.
// What is never touched costs nothing. The kernel refuses to change its size, so
// reading and writing it cannot fault, whatever the worker does. The worker is not
// trusted with anything else: at any time all bytes may be different.
type Segment struct {
	mem    []byte
	half   int
	filled int // bytes of the request half that were touched once

	holds atomic.Int32 // 1 for the owner, 1 for each copy that is under way
	freed atomic.Bool
}

// NewSegment makes a segment and the descriptor with which a worker maps it, which
// is the caller's.
func NewSegment(half int) (s *Segment, fd int, err error) {
	if half < MinHalf || half > MaxHalf || half%HalfStep != 0 {
		return nil, -1, fmt.Errorf("cannot make shared memory with halves of %d bytes: want a multiple of %d from %d to %d", half, HalfStep, MinHalf, MaxHalf)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make shared memory for a worker: %w", err)
			if fd >= 0 {
				_ = unix.Close(fd)
			}
			s, fd = nil, -1
		}
	}()
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err = unix.MemfdCreate("rr-worker", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("rr-worker", flags)
	}
	if err != nil {
		return nil, -1, os.NewSyscallError("memfd_create", err)
	}
	size := controlSize + 2*half
	if err = unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fd, os.NewSyscallError("ftruncate", err)
	}
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, fd, os.NewSyscallError("fcntl", err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fd, os.NewSyscallError("mmap", err)
	}
	copy(mem, segmentMagic)
	binary.LittleEndian.PutUint32(mem[4:], segmentVersion)
	binary.LittleEndian.PutUint32(mem[8:], uint32(half))
	s = &Segment{mem: mem, half: half}
	s.holds.Store(1)
	return s, fd, nil
}

// room is the largest part that one half holds, in bytes.
func (s *Segment) room() int { return s.half - bodyOffset }

// request is where a part of n bytes for the worker lies, response where one of its
// own lies. The caller holds the segment.
func (s *Segment) request(n int) []byte {
	at := controlSize + bodyOffset
	return s.mem[at : at+n : at+n]
}

func (s *Segment) response(n int) []byte {
	at := controlSize + s.half + bodyOffset
	return s.mem[at : at+n : at+n]
}

// prepare makes sure that the first n bytes of the request half exist. One call
// for all pages takes a fraction of the time of a fault for each.
func (s *Segment) prepare(n int) {
	if n += bodyOffset; n <= s.filled {
		return
	}
	from, to := s.filled&^(HalfStep-1), (n+HalfStep-1)&^(HalfStep-1)
	// A kernel that cannot (before 5.14) leaves it to the faults.
	_ = unix.Madvise(s.mem[controlSize+from:controlSize+to], unix.MADV_POPULATE_WRITE)
	s.filled = to
}

// hold keeps the mapping until release; false: it is gone.
func (s *Segment) hold() bool {
	for {
		n := s.holds.Load()
		if n == 0 || s.freed.Load() {
			return false
		}
		if s.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *Segment) release() {
	if s.holds.Add(-1) == 0 {
		_ = unix.Munmap(s.mem)
	}
}

// Close unmaps the memory as soon as no copy is under way. It is idempotent, and
// does nothing for nil.
func (s *Segment) Close() {
	if s != nil && !s.freed.Swap(true) {
		s.release()
	}
}
