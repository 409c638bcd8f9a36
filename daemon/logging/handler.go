package logging

import (
	"context"
	"log/slog"
	"time"
)

// handler is the slog.Handler. All handlers of one Control share its routes,
// which Reload replaces while they are in use.
type handler struct {
	control *Control
	channel string // if bound by With, else the records may bring it
	attrs   []slog.Attr
	prefix  string // "group." of WithGroup
}

// Enabled is exact for a logger with a bound channel. For others it lets
// through what any channel might want; Handle then decides.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	routes := h.control.routes.Load()
	if h.channel != "" {
		return level >= routes.find(h.channel).level
	}
	return level >= routes.lowest
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	e := entries.Get().(*entry)
	defer e.release()
	e.time, e.level, e.message, e.pc = r.Time, r.Level, r.Message, r.PC
	if e.time.IsZero() {
		e.time = time.Now()
	}
	e.name = h.channel
	e.attrs = append(e.attrs, h.attrs...)
	e.prefix = h.prefix
	r.Attrs(e.collect)
	return h.control.write(e)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	e := &entry{name: h.channel, attrs: append([]slog.Attr(nil), h.attrs...)}
	for _, a := range attrs {
		e.add(h.prefix, a)
	}
	return &handler{control: h.control, channel: e.name, attrs: e.attrs, prefix: h.prefix}
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{control: h.control, channel: h.channel, attrs: h.attrs, prefix: h.prefix + name + "."}
}
