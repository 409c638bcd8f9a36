package logging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// journal writes records in the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), with the fields
//
//	MESSAGE             the message, then ` key=value` for every attribute that
//	                    says more than which part of the server speaks
//	PRIORITY            3 error, 4 warning, 6 info, 7 debug
//	SYSLOG_IDENTIFIER   rrd
//	RR_INSTANCE, RR_LOGGER
//	RR_POOL, RR_WORKER, RR_REQUEST_ID, ...   the attributes of package logkey
//	RR_ATTR_<KEY>       all others
//	CODE_FILE, CODE_LINE, CODE_FUNC          warnings and errors only
//
// go-systemd's journal.Send is not used: it takes the fields as a map per
// record and the socket's path as given.
type journal struct {
	socket *journalSocket
	head   []byte // fields that every record has
	lost   atomic.Uint64
}

const defaultJournalSocket = "/run/systemd/journal/socket"

func openJournal(path, instance string) (*journal, error) {
	if path == "" {
		path = defaultJournalSocket
	}
	socket, err := dialJournal(path)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the journal: %w", err)
	}
	j := &journal{socket: socket, head: []byte("SYSLOG_IDENTIFIER=rrd\n")}
	if instance != "" {
		j.head = appendField(j.head, "RR_INSTANCE", instance)
	}
	return j, nil
}

func (j *journal) Close() error { return j.socket.Close() }

func (j *journal) write(e *entry) error {
	e.buf = j.append(e.buf[:0], e)
	err := j.socket.send(e.buf)
	switch {
	case errors.Is(err, errJournalBusy):
		j.lost.Add(1)
	case err == nil && j.lost.Load() > 0:
		j.tellLost()
	}
	return err
}

// tellLost reports what did not reach a busy journal, once it is back.
func (j *journal) tellLost() {
	n := j.lost.Swap(0)
	if n == 0 {
		return // another goroutine told
	}
	report := entry{level: slog.LevelWarn, message: fmt.Sprintf("%d log records were lost: the journal did not take them", n)}
	if j.socket.send(j.append(nil, &report)) != nil {
		j.lost.Add(n)
	}
}

func (j *journal) append(b []byte, e *entry) []byte {
	b = append(b, j.head...)
	b = append(b, "PRIORITY="...)
	b = append(b, priority(e.level), '\n')
	b = appendMessage(b, e)
	if e.name != "" {
		b = appendField(b, "RR_LOGGER", e.name)
	}
	for i := range e.attrs {
		b = appendAttr(b, e.attrs[i])
	}
	if e.level >= slog.LevelWarn && e.pc != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{e.pc}).Next()
		b = appendField(b, "CODE_FILE", frame.File)
		b = appendField(b, "CODE_LINE", strconv.Itoa(frame.Line))
		b = appendField(b, "CODE_FUNC", frame.Function)
	}
	return b
}

func priority(l slog.Level) byte {
	switch {
	case l < slog.LevelInfo:
		return '7'
	case l < slog.LevelWarn:
		return '6'
	case l < slog.LevelError:
		return '4'
	}
	return '3'
}

// begin and end frame a value of unknown content, the protocol's form that is
// safe for line breaks: NAME, line feed, 64 bit length, value, line feed.
func begin(b []byte) (out []byte, start int) {
	b = append(b, '\n', 0, 0, 0, 0, 0, 0, 0, 0)
	return b, len(b)
}

func end(b []byte, start int) []byte {
	binary.LittleEndian.PutUint64(b[start-8:], uint64(len(b)-start))
	return append(b, '\n')
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b, start := begin(b)
	b = append(b, value...)
	return end(b, start)
}

// appendMessage adds to the text what `journalctl` would otherwise hide. Pool,
// worker and request stay out, so that a line of a worker is its line only.
func appendMessage(b []byte, e *entry) []byte {
	b = append(b, "MESSAGE"...)
	b, start := begin(b)
	b = append(b, strings.TrimRight(e.message, "\r\n")...)
	for i := range e.attrs {
		if speaker(e.attrs[i].Key) {
			continue
		}
		b = append(b, ' ')
		b = append(b, e.attrs[i].Key...)
		b = append(b, '=')
		b = appendWord(b, e.attrs[i].Value)
	}
	return end(b, start)
}

// appendWord writes a value so that it is one word: quoted where needed.
func appendWord(b []byte, v slog.Value) []byte {
	from := len(b)
	b = style{}.appendPlain(b, v)
	for _, c := range b[from:] {
		if c <= ' ' || c == '"' || c == '\\' || c == '=' {
			return appendString(b[:from], string(b[from:]))
		}
	}
	return b
}

func appendAttr(b []byte, a slog.Attr) []byte {
	b = appendFieldName(b, a.Key)
	b, start := begin(b)
	return end(style{}.appendPlain(b, a.Value), start)
}

// appendFieldName makes a valid name (A-Z, 0-9, _, at most 64): RR_K for the
// keys of logkey, RR_ATTR_K for all others, so that these never collide with
// fields of the journal itself.
func appendFieldName(b []byte, key string) []byte {
	start := len(b)
	b = append(b, "RR_"...)
	if !known(key) {
		b = append(b, "ATTR_"...)
	}
	for i := 0; i < len(key) && len(b)-start < 64; i++ {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z':
			b = append(b, c-'a'+'A')
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			b = append(b, c)
		default:
			b = append(b, '_')
		}
	}
	return b
}

func known(key string) bool {
	switch key {
	case logkey.Logger, logkey.Pool, logkey.Worker, logkey.Generation, logkey.RequestID, logkey.Cause,
		logkey.Error, logkey.Elapsed, logkey.Socket, logkey.Key, logkey.File, logkey.Service:
		return true
	}
	return false
}
