package http

import (
	"context"
	"log/slog"
	"strings"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// serverLog gives net/http's own messages RoadRunner's form. RoadRunner calls all of
// them errors of the server; what only a client has done is none, and whoever scans
// the port could fill the log with it.
type serverLog struct{ slog.Handler }

// byClients are the beginnings of messages about what clients did. A failed handshake
// of TLS may be a certificate that they do not trust, so it is shown by default.
var byClients = []struct {
	prefix string
	level  slog.Level
}{
	{"http: TLS handshake error from ", slog.LevelInfo},
	{"http2: server: error reading preface from client ", slog.LevelDebug},
	{"http2: server connection error from ", slog.LevelDebug},
	{"http2: server closing client connection: ", slog.LevelDebug},
	{"timeout waiting for SETTINGS frames from ", slog.LevelDebug},
	{"timeout waiting for PING response", slog.LevelDebug},
}

func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	text, level, title := r.Message, r.Level, "internal server error"
	for _, c := range byClients {
		if strings.HasPrefix(text, c.prefix) {
			level, title = c.level, "connection failed"
			break
		}
	}
	if !l.Enabled(ctx, level) {
		return nil
	}
	r = slog.NewRecord(r.Time, level, title, r.PC)
	r.AddAttrs(slog.String("message", text), slog.String(logkey.Logger, "http"))
	return l.Handler.Handle(ctx, r)
}
