package memory

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
)

// entry is a key in a shard. value is never changed, only replaced, so that
// readers may keep it.
type entry struct {
	key   string
	value []byte
	text  string // of the expiry; "" for none
	at    int64  // the expiry, nanoseconds since 1970
	place int    // in the heap of expiries; -1 if not there

	// In a list by use, if the storage has a bound.
	used       int64
	prev, next *entry
}

// overhead is what an entry takes beside its bytes: itself, its place in the map
// and in the heap, and the rounding of the allocator (measured, see the test).
const overhead = 208

func sizeOf(item *kv.Item) int64 {
	return int64(len(item.Key)+len(item.Value)+len(item.Expiry.Text)) + overhead
}

func (e *entry) size() int64 { return int64(len(e.key)+len(e.value)+len(e.text)) + overhead }

func (e *entry) passed(wall int64) bool { return e.text != "" && e.at <= wall }

// shard is a part of the keys. All methods but init and clear are called with mu
// held.
type shard struct {
	storage *Storage

	mu    sync.Mutex
	items map[string]*entry
	due   expiries
	// The key used last, and the one used longest ago.
	first, last *entry

	// Read without the lock: when last was used, and when the next key expires;
	// math.MaxInt64 for none.
	oldest, next atomic.Int64

	_ [64]byte // the next shard has cache lines of its own
}

func (sh *shard) init(s *Storage) {
	sh.storage = s
	sh.items = make(map[string]*entry)
	sh.oldest.Store(math.MaxInt64)
	sh.next.Store(math.MaxInt64)
}

// find returns the entry of a key that has not expired.
func (sh *shard) find(key string, now moment) *entry {
	e := sh.items[key]
	if e != nil && e.passed(now.wall) {
		sh.drop(e)
		sh.storage.expired.Add(1)
		return nil
	}
	return e
}

// use is find for a call that reads the key.
func (sh *shard) use(key string, now moment) *entry {
	e := sh.find(key, now)
	if e != nil && sh.storage.max > 0 {
		sh.touch(e, now.used)
	}
	return e
}

// put writes an item.
func (sh *shard) put(item *kv.Item, now moment) {
	at := nanoseconds(item.Expiry.At)
	e := sh.items[item.Key]
	if !item.Expiry.Never() && at <= now.wall {
		if e != nil {
			sh.drop(e)
		}
		return
	}
	if e == nil {
		e = &entry{key: item.Key, place: -1}
		sh.items[e.key] = e
		sh.storage.bytes.Add(e.size())
		if sh.storage.max > 0 {
			sh.push(e, now.used)
		}
	} else if sh.storage.max > 0 {
		sh.touch(e, now.used)
	}
	sh.storage.bytes.Add(int64(len(item.Value) - len(e.value)))
	e.value = item.Value
	sh.schedule(e, at, item.Expiry.Text)
}

// expire gives a key another expiry.
func (sh *shard) expire(key string, x kv.Expiry, now moment) {
	e := sh.find(key, now)
	switch at := nanoseconds(x.At); {
	case e == nil:
	case at <= now.wall:
		sh.drop(e)
	default:
		sh.schedule(e, at, x.Text)
	}
}

// schedule sets when an entry expires; never, if text is empty.
func (sh *shard) schedule(e *entry, at int64, text string) {
	sh.storage.bytes.Add(int64(len(text) - len(e.text)))
	e.at, e.text = at, text
	switch {
	case text != "" && e.place < 0:
		heap.Push(&sh.due, e)
	case text != "":
		heap.Fix(&sh.due, e.place)
	case e.place >= 0:
		heap.Remove(&sh.due, e.place)
	default:
		return
	}
	sh.announce()
}

// announce tells when the next key expires.
func (sh *shard) announce() {
	next := int64(math.MaxInt64)
	if len(sh.due) > 0 {
		next = sh.due[0].at
	}
	if sh.next.Swap(next) == math.MaxInt64 && next != math.MaxInt64 {
		select {
		case sh.storage.wake <- struct{}{}:
		default:
		}
	}
}

// drop removes an entry.
func (sh *shard) drop(e *entry) {
	sh.storage.bytes.Add(-e.size())
	delete(sh.items, e.key)
	if e.place >= 0 {
		heap.Remove(&sh.due, e.place)
		sh.announce()
	}
	if sh.storage.max > 0 {
		sh.unlink(e)
	}
}

// sweep drops up to limit expired entries and returns how many it were.
func (sh *shard) sweep(wall int64, limit int) int {
	n := 0
	for ; n < limit && len(sh.due) > 0 && sh.due[0].passed(wall); n++ {
		sh.drop(sh.due[0])
	}
	sh.storage.expired.Add(uint64(n))
	return n
}

func (sh *shard) clear() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var size int64
	for _, e := range sh.items {
		size += e.size()
	}
	sh.storage.bytes.Add(-size)
	sh.items, sh.due = make(map[string]*entry), nil
	sh.first, sh.last = nil, nil
	sh.oldest.Store(math.MaxInt64)
	sh.next.Store(math.MaxInt64)
}

// The list by use.

func (sh *shard) push(e *entry, used int64) {
	e.used, e.prev, e.next = used, nil, sh.first
	if sh.first != nil {
		sh.first.prev = e
	}
	sh.first = e
	if sh.last == nil {
		sh.last = e
		sh.oldest.Store(used)
	}
}

func (sh *shard) unlink(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		sh.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
		return
	}
	sh.last = e.prev
	oldest := int64(math.MaxInt64)
	if sh.last != nil {
		oldest = sh.last.used
	}
	sh.oldest.Store(oldest)
}

func (sh *shard) touch(e *entry, used int64) {
	sh.unlink(e)
	sh.push(e, used)
}

// nanoseconds since 1970, at the nearest that fits.
func nanoseconds(t time.Time) int64 {
	switch seconds := t.Unix(); {
	case seconds >= math.MaxInt64/1_000_000_000:
		return math.MaxInt64 - 1 // MaxInt64 means never in shard.next
	case seconds < 0:
		return 0 // past
	}
	return t.UnixNano()
}

// expiries is a heap by time.
type expiries []*entry

func (x expiries) Len() int           { return len(x) }
func (x expiries) Less(i, j int) bool { return x[i].at < x[j].at }
func (x expiries) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].place, x[j].place = i, j
}

func (x *expiries) Push(e any) {
	e.(*entry).place = len(*x)
	*x = append(*x, e.(*entry))
}

func (x *expiries) Pop() any {
	last := len(*x) - 1
	e := (*x)[last]
	(*x)[last] = nil
	*x = (*x)[:last]
	e.place = -1
	return e
}
