package http

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

const (
	levelDebug = slog.LevelDebug
	levelInfo  = slog.LevelInfo
	levelWarn  = slog.LevelWarn
	levelError = slog.LevelError
)

func requestID(e *exchange) slog.Attr       { return slog.String(logkey.RequestID, e.id) }
func attrError(err error) slog.Attr         { return slog.Any(logkey.Error, err) }
func attrInt(key string, n int64) slog.Attr { return slog.Int64(key, n) }
func attrElapsed(d time.Duration) slog.Attr { return slog.Int64(logkey.Elapsed, d.Milliseconds()) }
func attrStart(t time.Time) slog.Attr       { return slog.Time("start", t) }

// timeLocal is the layout of RoadRunner's time_local.
const timeLocal = "02/Jan/06:15:04:05 -0700"

var oneLine = strings.NewReplacer("\r", "", "\n", "")

// logRequest writes the line of a request; access_logs chooses the longer form.
// Names and messages are RoadRunner's.
func (h *handler) logRequest(e *exchange, r *http.Request) {
	log := e.route.log
	if !log.Enabled(r.Context(), levelInfo) {
		return
	}
	elapsed := time.Since(e.start)
	if !h.cfg.AccessLogs {
		log.LogAttrs(r.Context(), levelInfo, "http log",
			slog.Int("status", e.status),
			slog.String("method", r.Method),
			slog.String("URI", r.RequestURI),
			slog.String("URL", r.URL.String()),
			slog.String("remote_address", r.RemoteAddr),
			slog.Int64("read_bytes", e.reader.read),
			slog.Int64("write_bytes", e.written),
			attrStart(e.start),
			attrElapsed(elapsed),
			requestID(e))
		return
	}
	log.LogAttrs(r.Context(), levelInfo, "http access log",
		slog.Int64("read_bytes", e.reader.read),
		slog.Int64("write_bytes", e.written),
		slog.Int("status", e.status),
		slog.String("method", r.Method),
		slog.String("URI", r.RequestURI),
		slog.String("URL", r.URL.String()),
		slog.String("remote_address", r.RemoteAddr),
		slog.String("query", oneLine.Replace(r.URL.RawQuery)),
		slog.Int64("content_len", r.ContentLength),
		slog.String("host", r.Host),
		slog.String("user_agent", oneLine.Replace(r.UserAgent())),
		slog.String("referer", oneLine.Replace(r.Referer())),
		slog.String("time_local", e.start.Format(timeLocal)),
		slog.Time("request_time", e.start),
		attrStart(e.start),
		attrElapsed(elapsed),
		requestID(e))
}
