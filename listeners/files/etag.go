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

// polynomial is that of RoadRunner's and fiber's ETags (reversed form).
var polynomial = crc32.MakeTable(0x48D90782)

// maxTags bounds the memory of remembered tags, about 100 bytes each.
const maxTags = 4096

// settled is the age of a change after which another one is sure to have another
// time: the kernel's clock for files ticks every few milliseconds.
const settled = time.Second

// Tags makes ETags of files. A strong one needs the whole content, so it is
// remembered until the file changes.
type Tags struct {
	mu    sync.Mutex
	known map[version]uint32
}

// version is a file in one of its states. The inode's change time cannot be
// set back, unlike the modification time.
type version struct {
	dev, ino  uint64
	size      int64
	sec, nsec int64
}

// Strong returns RoadRunner's tag, the length and the checksum of the content:
// `"10-3632233996"`. A file without content has none (""). The file is read
// from its begin and left there.
func (t *Tags) Strong(f *os.File, info fs.FileInfo) (string, error) {
	if info.Size() == 0 {
		return "", nil
	}
	sum, err := t.sum(f, info)
	if err != nil {
		return "", err
	}
	return string(appendTag(nil, info.Size(), sum)), nil
}

// Weak returns a weak tag with the same parts.
func (t *Tags) Weak(f *os.File, info fs.FileInfo) (string, error) {
	tag, err := t.Strong(f, info)
	if tag != "" {
		tag = "W/" + tag
	}
	return tag, err
}

func appendTag(dst []byte, size int64, sum uint32) []byte {
	dst = strconv.AppendInt(append(dst, '"'), size, 10)
	dst = strconv.AppendUint(append(dst, '-'), uint64(sum), 10)
	return append(dst, '"')
}

func (t *Tags) sum(f *os.File, info fs.FileInfo) (uint32, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return checksum(f, info.Size())
	}
	v := version{uint64(stat.Dev), stat.Ino, stat.Size, stat.Ctim.Sec, stat.Ctim.Nsec}
	t.mu.Lock()
	sum, known := t.known[v]
	t.mu.Unlock()
	if known {
		return sum, nil
	}
	sum, err := checksum(f, info.Size())
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

func checksum(f *os.File, size int64) (uint32, error) {
	h := crc32.New(polynomial)
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, err
	}
	return h.Sum32(), nil
}
