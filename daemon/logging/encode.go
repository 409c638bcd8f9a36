package logging

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// encoder writes entries as lines. Its lines are RoadRunner's:
//
//	production   {"level":"info","ts":1700000000000000000,"logger":"http","msg":"text","k":"v"}
//	development  2025-01-31T10:00:00+0000 TAB INFO TAB http (padded to 12) TAB text TAB {"k": "v"}
//	raw          text TAB {"k": "v"}
//
// The legacy form is that of development; as JSON its keys are L, T, N, M.
type encoder struct {
	mode   mode
	json   bool
	color  bool
	ending string
}

func newEncoder(c *Channel, color bool) *encoder {
	e := &encoder{mode: parseMode(c.Mode), ending: c.LineEnding}
	switch {
	case c.File != nil || c.Encoding == "json":
		e.json = true
	case c.Encoding == "":
		e.json = e.mode == production
	}
	e.color = color && !e.json && (e.mode == development || e.mode == legacy)
	if e.ending == "" {
		e.ending = "\n"
	}
	return e
}

func (e *encoder) style() style {
	return style{epoch: e.mode == production, spaced: !e.json}
}

func (e *encoder) append(b []byte, r *entry) []byte {
	if e.json {
		b = e.appendJSON(b, r)
	} else {
		b = e.appendConsole(b, r)
	}
	return append(b, e.ending...)
}

type keys struct{ level, time, name, message string }

func (e *encoder) keys() keys {
	switch e.mode {
	case raw:
		return keys{message: `"message":`}
	case legacy:
		return keys{`"L":`, `"T":`, `"N":`, `"M":`}
	}
	return keys{`"level":`, `"ts":`, `"logger":`, `"msg":`}
}

func (e *encoder) appendJSON(b []byte, r *entry) []byte {
	k := e.keys()
	b = append(b, '{')
	if k.level != "" {
		b = append(b, k.level...)
		b = append(b, '"')
		b = append(b, e.levelName(r.level)...)
		b = append(b, `",`...)
		b = append(b, k.time...)
		b = e.style().appendTime(b, r.time)
		b = append(b, ',')
		if r.name != "" {
			b = append(b, k.name...)
			b = appendString(b, r.name)
			b = append(b, ',')
		}
	}
	b = append(b, k.message...)
	b = appendString(b, r.message)
	if len(r.attrs) > 0 {
		b = append(b, ',')
		b = e.style().appendFields(b, r.attrs)
	}
	return append(b, '}')
}

func (e *encoder) appendConsole(b []byte, r *entry) []byte {
	switch e.mode {
	case raw:
		return e.appendRaw(b, r)
	case production:
		b = strconv.AppendInt(b, r.time.UnixNano(), 10)
		b = append(b, '\t')
		b = append(b, e.levelName(r.level)...)
		b = append(b, '\t')
		if r.name != "" {
			b = append(b, r.name...)
			b = append(b, '\t')
		}
	default:
		b = r.time.UTC().AppendFormat(b, isoTime)
		b = append(b, '\t')
		b = e.paint(b, levelColor(r.level), e.levelName(r.level), 0)
		b = append(b, '\t')
		if r.name != "" {
			b = e.paint(b, "\x1b[92m", r.name, nameWidth)
			b = append(b, '\t')
		}
	}
	if len(r.attrs) == 0 {
		return append(b, r.message...)
	}
	// What a worker writes ends with a line feed; its fields belong to its line.
	b = append(b, strings.TrimSuffix(r.message, "\n")...)
	b = append(b, "\t{"...)
	b = e.style().appendFields(b, r.attrs)
	return append(b, '}')
}

// appendRaw leaves out who speaks: mode raw is for programs that read what
// workers write to stderr as it is.
func (e *encoder) appendRaw(b []byte, r *entry) []byte {
	b = append(b, r.message...)
	r.attrs = slices.DeleteFunc(r.attrs, func(a slog.Attr) bool { return speaker(a.Key) })
	if len(r.attrs) > 0 {
		b = append(b, "\t{"...)
		b = e.style().appendFields(b, r.attrs)
		b = append(b, '}')
	}
	return b
}

// speaker names the attributes that say whose line it is.
func speaker(key string) bool {
	switch key {
	case logkey.Pool, logkey.Worker, logkey.Generation, logkey.RequestID:
		return true
	}
	return false
}

const nameWidth = 12

// paint writes text, padded to width, in a colour if there are colours.
func (e *encoder) paint(b []byte, color, text string, width int) []byte {
	if e.color {
		b = append(b, color...)
	}
	b = append(b, text...)
	if missing := width - len(text); missing > 0 {
		b = append(b, strings.Repeat(" ", missing)...)
	}
	if e.color {
		b = append(b, "\x1b[0m"...)
	}
	return b
}

func (e *encoder) levelName(l slog.Level) string {
	lower := e.mode == production
	switch {
	case l < slog.LevelInfo && lower:
		return "debug"
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn && lower:
		return "info"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError && lower:
		return "warn"
	case l < slog.LevelError:
		return "WARN"
	case lower:
		return "error"
	}
	return "ERROR"
}

func levelColor(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "\x1b[97m" // white
	case l < slog.LevelWarn:
		return "\x1b[96m" // cyan
	case l < slog.LevelError:
		return "\x1b[93m" // yellow
	}
	return "\x1b[91m" // red
}
