package files

import (
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Polynomials (reversed form) of RoadRunner's ETags.
const (
	StaticPolynomial = 0x48D90782 // of its middleware static
	FiberPolynomial  = 0xD5828281 // of fiber, which its file server uses
)

// maxTags bounds the memory of remembered tags, about 100 bytes each.
const maxTags = 4096

// settled is the age of a change after which another one is sure to have another
// time: the kernel's clock for files ticks every few milliseconds.
const settled = time.Second

// Tags makes ETags of files. A strong one needs the whole content, so it is
// remembered until the file changes.
type Tags struct {
	table *crc32.Table

	mu    sync.Mutex
	known map[version]uint32
}

// NewTags returns tags with a checksum of that polynomial.
func NewTags(polynomial uint32) *Tags { return &Tags{table: crc32.MakeTable(polynomial)} }

// version is a file in one of its states. The inode's change time cannot be
// set back, unlike the modification time.
type version struct {
	dev, ino  uint64
	size      int64
	sec, nsec int64
}

// Of returns RoadRunner's tag, the length and the checksum of the content:
// `"10-3632233996"`, or W/ and that for a weak one. A file without content has
// none (""). The position in the file stays.
func (t *Tags) Of(f *os.File, info fs.FileInfo, weak bool) (string, error) {
	if info.Size() == 0 {
		return "", nil
	}
	sum, err := t.sum(f, info)
	if err != nil {
		return "", err
	}
	var tag []byte
	if weak {
		tag = append(tag, "W/"...)
	}
	return string(appendTag(tag, info.Size(), sum)), nil
}

func appendTag(dst []byte, size int64, sum uint32) []byte {
	dst = strconv.AppendInt(append(dst, '"'), size, 10)
	dst = strconv.AppendUint(append(dst, '-'), uint64(sum), 10)
	return append(dst, '"')
}

func (t *Tags) sum(f *os.File, info fs.FileInfo) (uint32, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return t.checksum(f, info.Size())
	}
	v := version{uint64(stat.Dev), stat.Ino, stat.Size, stat.Ctim.Sec, stat.Ctim.Nsec}
	t.mu.Lock()
	sum, known := t.known[v]
	t.mu.Unlock()
	if known {
		return sum, nil
	}
	sum, err := t.checksum(f, info.Size())
	if err != nil {
		return 0, err
	}
	if time.Since(time.Unix(v.sec, v.nsec)) < settled {
		return sum, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTags {
		t.known = make(map[version]uint32) // simple, and as good as an order for so few
	}
	t.known[v] = sum
	return sum, nil
}

func (t *Tags) checksum(f *os.File, size int64) (uint32, error) {
	h := crc32.New(t.table)
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, err
	}
	return h.Sum32(), nil
}
