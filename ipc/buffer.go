package ipc

import (
	"math/bits"
	"sync"
)

// buffer is a pooled byte slice. A channel holds one only while it has unread
// bytes; a waiting worker costs no memory.
type buffer struct {
	b     []byte // len == cap == size of the class
	class int    // index into pools, -1 for a buffer that is not pooled
}

// Buffers come in size classes with four steps to a power of two (4, 5, 6, 7,
// 8, 10, 12, ... KiB), so that at most a quarter is wasted; a class per power
// of two would waste up to half of a big body.
const (
	minClassBits = 12 // 4 KiB
	maxClassBits = 26 // 64 MiB; what is larger is rare and left to the garbage collector
	numClasses   = (maxClassBits-minClassBits)*4 + 1
)

var pools [numClasses]sync.Pool

// classOf returns the smallest class that holds n bytes and the class's size;
// class -1 means that no class is large enough.
func classOf(n int) (class, size int) {
	if n <= 1<<minClassBits {
		return 0, 1 << minClassBits
	}
	if n > 1<<maxClassBits {
		return -1, n
	}
	// 2^k < n <= 2^(k+1), and step is a quarter of 2^k.
	k := bits.Len(uint(n-1)) - 1
	step := 1 << (k - 2)
	steps := (n - 1<<k + step - 1) / step
	return (k-minClassBits)*4 + steps, 1<<k + steps*step
}

// newBuffer returns a buffer of at least n bytes with undefined contents.
func newBuffer(n int) *buffer {
	class, size := classOf(n)
	if class >= 0 {
		if b, ok := pools[class].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{b: make([]byte, size), class: class}
}

// free gives b back. The caller keeps no reference into it.
func (b *buffer) free() {
	if b != nil && b.class >= 0 {
		pools[b.class].Put(b)
	}
}
