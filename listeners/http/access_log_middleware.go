package http

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// AccessLog is the section http.access_log, an extension to RoadRunner, whose
// lines have fixed fields and leave out what a middleware answers. The
// middleware access_log writes a line for each request that reaches it, with
// what the client got: list it last.
type AccessLog struct {
	// Format is combined (the default) or common, as Apache and nginx write
	// them, json, or a text with variables %{NAME}.
	Format string `cfg:"format"`
	// File to append to. It is opened for each line, so that logrotate needs no
	// signal. Empty means the log of the daemon.
	File string `cfg:"file"`
}

func (c *AccessLog) validate() error {
	if _, err := parseLogFormat(c.Format); err != nil {
		return fmt.Errorf("http.access_log.format: %w", err)
	}
	return nil
}

func newAccessLog(c Config, env Environment) (Middleware, error) {
	format, err := parseLogFormat(c.AccessLog.Format)
	if err != nil {
		return nil, fmt.Errorf("http.access_log.format: %w", err)
	}
	out := accessLogOutput{log: env.Log, file: c.AccessLog.File}
	if env.Dry {
		return nil, nil // else the file may belong to whoever checks
	}
	if err := out.check(); err != nil {
		return nil, fmt.Errorf("http.access_log.file: %w", err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			entry := logEntry{start: time.Now(), r: r, w: newStatusWriter(w), requestBody: countedBody{ReadCloser: r.Body}}
			r.Body = &entry.requestBody
			// Of the client, before an inner middleware changes it.
			entry.peer = r.RemoteAddr
			defer func() { // also for an answer that is aborted
				entry.elapsed = time.Since(entry.start)
				out.write(&entry, format)
			}()
			next.ServeHTTP(entry.w, r)
		})
	}, nil
}

// accessLogOutput writes lines.
type accessLogOutput struct {
	log     *slog.Logger
	file    string
	failure sampler
}

const (
	logFileFlags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	logFileMode  = 0o640
)

func (o *accessLogOutput) check() error {
	if o.file == "" {
		return nil
	}
	f, err := os.OpenFile(o.file, logFileFlags, logFileMode)
	if err != nil {
		return err
	}
	return f.Close()
}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (o *accessLogOutput) write(e *logEntry, format logFormat) {
	buf := lineBuffers.Get().(*[]byte)
	defer lineBuffers.Put(buf)
	line := format.append((*buf)[:0], e)
	*buf = kept(line)
	if o.file == "" {
		o.log.LogAttrs(e.r.Context(), levelInfo, string(line), slog.String(logkey.RequestID, e.r.Header.Get(requestIDHeader)))
		return
	}
	if err := o.append(append(line, '\n')); err != nil {
		if leftOut, ok := o.failure.next(time.Now()); ok {
			o.log.Error("cannot write the access log", logkey.Key, "http.access_log.file", logkey.Error, err, "left_out", leftOut)
		}
	}
}

// append writes a line with one write: with O_APPEND, lines of several requests
// do not mix.
func (o *accessLogOutput) append(line []byte) error {
	f, err := os.OpenFile(o.file, logFileFlags, logFileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
