package ipc

import (
	"testing"

	"pgregory.net/rapid"
)

// A class holds what was asked for, wastes at most a quarter, and is the only
// one of its size.
func TestBufferClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 1<<maxClassBits), rapid.IntRange(0, 1<<16)).Draw(t, "n")
		class, size := classOf(n)
		if class < 0 || class >= numClasses || size < n || n > 1<<minClassBits && size > n+n/4+1 {
			t.Fatalf("%d bytes: class %d of %d bytes", n, class, size)
		}
		if again, same := classOf(size); again != class || same != size {
			t.Fatalf("%d bytes: class %d of %d bytes, but its size gives class %d of %d", n, class, size, again, same)
		}
	})
	last := 0
	for n, class := 0, 0; n < 1<<maxClassBits; class++ {
		got, size := classOf(n + 1)
		if got != class || size <= last {
			t.Fatalf("%d bytes: class %d of %d bytes after %d of %d", n+1, got, size, class-1, last)
		}
		n, last = size, size
	}
	if class, size := classOf(1<<maxClassBits + 1); class != -1 || size != 1<<maxClassBits+1 {
		t.Errorf("a huge buffer is of class %d with %d bytes", class, size)
	}
	if class, _ := classOf(1 << maxClassBits); class != numClasses-1 {
		t.Errorf("the largest class is %d of %d", class, numClasses)
	}
}
