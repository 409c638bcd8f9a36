package http

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// zapToSlog is the logger of certmagic, which knows zap only. What it calls
// information is of use to those who look for a mistake: ours are the records
// about certificates that were obtained or could not be.
type zapToSlog struct {
	handler slog.Handler
	fields  []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c zapToSlog) Enabled(l zapcore.Level) bool {
	return c.handler.Enabled(context.Background(), slogLevel(l))
}

// With implements zapcore.Core.
func (c zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{c.handler, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c zapToSlog) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, slogLevel(e.Level), "acme: "+e.Message, 0)
	enc := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range list {
			f.AddTo(enc)
		}
	}
	for name, value := range enc.Fields {
		if name == "error" {
			name = logkey.Error
		}
		r.AddAttrs(slog.Any(name, value))
	}
	return c.handler.Handle(context.Background(), r)
}

// Sync implements zapcore.Core.
func (c zapToSlog) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l <= zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
