// Package app is the RPC service "app", the logger of PHP applications: records
// on the channel "app", or text that goes to the daemon's stderr as it is.
package app

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/rr-systemd/rrd/services/app/applogger"
	"github.com/rr-systemd/rrd/services/rpc"
)

// Register adds the logger's methods to s. Records go to log, which is that of
// the channel "app"; the text of app.Log and app.LogWithContext goes to stderr,
// each message in one write. The calls wait for nothing but that write.
func Register(s *rpc.Server, log *slog.Logger, stderr io.Writer) {
	for name, level := range map[string]slog.Level{
		"app.Error":   slog.LevelError,
		"app.Warning": slog.LevelWarn,
		"app.Info":    slog.LevelInfo,
		"app.Debug":   slog.LevelDebug,
	} {
		// RoadRunner answers false to a message that it logged.
		rpc.RegisterInline(s, name, rpc.Anyone, rpc.Always, func(ctx context.Context, message *string, _ *bool) error {
			log.Log(ctx, level, *message)
			return nil
		})
		rpc.RegisterInline(s, name+"WithContext", rpc.Anyone, rpc.Always, func(ctx context.Context, e *applogger.LogEntry, _ *applogger.Response) error {
			log.LogAttrs(ctx, level, e.GetMessage(), attrs(e)...)
			return nil
		})
	}

	var mu sync.Mutex
	write := func(text string) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := io.WriteString(stderr, text)
		return err
	}
	rpc.RegisterInline(s, "app.Log", rpc.Anyone, rpc.Always, func(_ context.Context, text *string, _ *bool) error {
		return write(*text)
	})
	rpc.RegisterInline(s, "app.LogWithContext", rpc.Anyone, rpc.Always, func(_ context.Context, e *applogger.LogEntry, _ *applogger.Response) error {
		return write(text(e))
	})
}

// attrs makes each attribute a string field of the record.
func attrs(e *applogger.LogEntry) []slog.Attr {
	list := make([]slog.Attr, len(e.GetLogAttrs()))
	for i, a := range e.GetLogAttrs() {
		list[i] = slog.String(a.GetKey(), a.GetValue())
	}
	return list
}

// text is "message k:v,k:v", without a newline. RoadRunner cuts off the last
// character of it, which nobody can rely on.
func text(e *applogger.LogEntry) string {
	var b strings.Builder
	b.WriteString(e.GetMessage())
	separator := byte(' ')
	for _, a := range e.GetLogAttrs() {
		b.WriteByte(separator)
		b.WriteString(a.GetKey())
		b.WriteByte(':')
		b.WriteString(a.GetValue())
		separator = ','
	}
	return b.String()
}
