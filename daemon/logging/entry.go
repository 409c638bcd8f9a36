package logging

import (
	"log/slog"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// entry is one record ready to be written, and the buffer it is written to.
// Entries are pooled: a record costs no allocation of its own.
type entry struct {
	time    time.Time
	level   slog.Level
	name    string // the channel
	message string
	pc      uintptr
	attrs   []slog.Attr

	prefix  string               // of the handler's group, for add
	collect func(slog.Attr) bool // e.add bound once; a closure per record would allocate
	buf     []byte
}

var entries = sync.Pool{New: func() any {
	e := &entry{attrs: make([]slog.Attr, 0, 16), buf: make([]byte, 0, 1024)}
	e.collect = func(a slog.Attr) bool { e.add(e.prefix, a); return true }
	return e
}}

func (e *entry) release() {
	const most = 64 << 10 // one huge record shall not stay in memory for ever
	if cap(e.buf) > most || cap(e.attrs) > 256 {
		return
	}
	clear(e.attrs)
	e.attrs, e.buf = e.attrs[:0], e.buf[:0]
	e.name, e.message, e.prefix = "", "", ""
	entries.Put(e)
}

// add flattens groups and takes the channel's name out of the attributes.
func (e *entry) add(prefix string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix = prefix + a.Key + "."
		}
		for _, sub := range a.Value.Group() {
			e.add(prefix, sub)
		}
		return
	}
	if a.Key == "" && a.Value.Kind() == slog.KindAny && a.Value.Any() == nil {
		return // the zero Attr, which slog asks to ignore
	}
	if prefix == "" && a.Key == logkey.Logger && a.Value.Kind() == slog.KindString {
		e.name = a.Value.String()
		return
	}
	if prefix != "" {
		a.Key = prefix + a.Key
	}
	e.attrs = append(e.attrs, a)
}
