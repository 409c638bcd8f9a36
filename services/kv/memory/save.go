package memory

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rr-systemd/rrd/services/kv"
)

// Save writes all keys that have not expired, those used longest ago first, in
// the form
//
//	count, then for each key: length, key, length, value, length, text of the
//	expiry, and, if there is a text, its time in nanoseconds since 1970
//
// with counts and lengths as unsigned and times as signed varints. Expiries are
// moments and not durations, so the time that a restart takes counts.
func (s *Storage) Save(w io.Writer) error {
	now := s.now()
	var list []*entry
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, e := range sh.items {
			if !e.passed(now.wall) {
				list = append(list, e)
			}
		}
		sh.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.used, b.used) })
	buf := binary.AppendUvarint(nil, uint64(len(list)))
	for _, e := range list {
		buf = appendBytes(buf, e.key)
		buf = appendBytes(buf, e.value)
		buf = appendBytes(buf, e.text)
		if e.text != "" {
			buf = binary.AppendVarint(buf, e.at)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	_, err := w.Write(buf) // the count, if there is nothing else
	return err
}

func appendBytes[T string | []byte](buf []byte, b T) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(b))), b...)
}

// Load reads what Save wrote and adds it. What has expired since or has no room
// any more is left out. On an error the keys before it are there.
func (s *Storage) Load(r *bufio.Reader) error {
	count, err := binary.ReadUvarint(r)
	if err != nil {
		return fmt.Errorf("cannot read saved keys: %w", unexpected(err))
	}
	for i := range count {
		item, at, err := readItem(r)
		if err != nil {
			return fmt.Errorf("cannot read saved key %d of %d: %w", i+1, count, unexpected(err))
		}
		now := s.now()
		sh := s.shard(item.Key)
		sh.mu.Lock()
		sh.load(&item, at, now)
		sh.mu.Unlock()
		s.evict(now)
	}
	return nil
}

// load is put for a time that is known in nanoseconds already.
func (sh *shard) load(item *kv.Item, at int64, now moment) {
	text := item.Expiry.Text
	if text != "" && at <= now.wall || sh.storage.max > 0 && sizeOf(item) > sh.storage.max || kv.Blank(item.Key) {
		return
	}
	item.Expiry = kv.Expiry{}
	sh.put(item, now)
	sh.schedule(sh.items[item.Key], at, text)
}

func readItem(r *bufio.Reader) (item kv.Item, at int64, err error) {
	key, err := readBytes(r)
	if err != nil {
		return item, 0, err
	}
	value, err := readBytes(r)
	if err != nil {
		return item, 0, err
	}
	text, err := readBytes(r)
	if err == nil && len(text) > 0 {
		at, err = binary.ReadVarint(r)
	}
	return kv.Item{Key: string(key), Value: value, Expiry: kv.Expiry{Text: string(text)}}, at, err
}

var errLength = errors.New("a length is impossible")

// readBytes takes memory as the bytes come, whatever the length says.
func readBytes(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > 1<<32 {
		return nil, errLength
	}
	buf := make([]byte, 0, min(n, 1<<16))
	for uint64(len(buf)) < n {
		have := len(buf)
		buf = slices.Grow(buf, int(min(n-uint64(have), 1<<20)))
		buf = buf[:min(uint64(cap(buf)), n)]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
