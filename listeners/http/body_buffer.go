package http

import (
	"math/bits"
	"sync"
)

// Buffers for bodies that are too large to stay with an exchange. They come in
// size classes with four steps to a power of two, so that at most a quarter is
// wasted, and are shared by all requests, so that a burst of uploads does not
// allocate each anew. The collector takes back what is not used.
const (
	minClassBits = 18 // 256 KiB
	maxClassBits = 26 // 64 MiB; what is larger is rare
)

var bodyBuffers [(maxClassBits - minClassBits) * 4]sync.Pool // *[]byte

// bodyClass returns the smallest class that holds n bytes and its size; -1 for
// a size that is not pooled.
func bodyClass(n int) (class, size int) {
	if n <= 1<<minClassBits || n > 1<<maxClassBits {
		return -1, n
	}
	k := bits.Len(uint(n-1)) - 1 // 2^k < n <= 2^(k+1)
	step := 1 << (k - 2)
	steps := (n - 1<<k + step - 1) / step // 1..4
	return (k-minClassBits)*4 + steps - 1, 1<<k + steps*step
}

// newBody returns an empty buffer for at least n bytes.
func newBody(n int) []byte {
	class, size := bodyClass(n)
	if class >= 0 {
		if b, ok := bodyBuffers[class].Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

// freeBody gives a buffer of newBody back and returns what the exchange keeps.
func freeBody(b []byte) []byte {
	if class, size := bodyClass(cap(b)); class >= 0 && size == cap(b) {
		empty := b[:0] // not b itself, which would be on the heap in every call
		bodyBuffers[class].Put(&empty)
		return nil
	}
	return kept(b)
}
