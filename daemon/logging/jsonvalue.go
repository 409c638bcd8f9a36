package logging

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// style says how values look; it depends on the mode.
type style struct {
	epoch  bool // times as nanoseconds since 1970, durations as seconds
	spaced bool // {"k": "v"} as consoles show it, else {"k":"v"}
}

const isoTime = "2006-01-02T15:04:05-0700"

func (s style) appendTime(b []byte, t time.Time) []byte {
	if s.epoch {
		return strconv.AppendInt(b, t.UnixNano(), 10)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, isoTime)
	return append(b, '"')
}

// appendFields writes `"k":"v","n":1` without braces.
func (s style) appendFields(b []byte, attrs []slog.Attr) []byte {
	for i := range attrs {
		if i > 0 {
			b = append(b, ',')
			if s.spaced {
				b = append(b, ' ')
			}
		}
		b = appendString(b, attrs[i].Key)
		b = append(b, ':')
		if s.spaced {
			b = append(b, ' ')
		}
		b = s.appendValue(b, attrs[i].Value)
	}
	return b
}

func (s style) appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindDuration:
		if s.epoch {
			return appendFloat(b, v.Duration().Seconds())
		}
		return appendString(b, v.Duration().String())
	case slog.KindTime:
		return s.appendTime(b, v.Time())
	}
	return appendAny(b, v.Any())
}

// appendPlain is appendValue with texts left unquoted.
func (s style) appendPlain(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return append(b, v.String()...)
	case slog.KindDuration:
		return append(b, v.Duration().String()...)
	case slog.KindTime:
		return v.Time().UTC().AppendFormat(b, time.RFC3339Nano)
	case slog.KindAny:
		text, _ := describe(v.Any())
		return append(b, text...)
	}
	return s.appendValue(b, v)
}

// appendAny is for everything without a kind of its own.
func appendAny(b []byte, v any) []byte {
	text, isText := describe(v)
	if isText {
		return appendString(b, text)
	}
	return append(b, text...)
}

// describe gives the text of a value, or its JSON. Methods of logged values may
// panic on a nil pointer; that must not take the server down.
func describe(v any) (text string, isText bool) {
	defer func() {
		if r := recover(); r != nil {
			text, isText = fmt.Sprintf("!PANIC: %v", r), true
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error(), true
	case fmt.Stringer:
		return v.String(), true
	case []byte:
		return string(v), true
	}
	var data strings.Builder
	e := json.NewEncoder(&data)
	e.SetEscapeHTML(false) // a log is no web page
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v), true
	}
	return strings.TrimSuffix(data.String(), "\n"), false
}

func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendString(b, strconv.FormatFloat(f, 'g', -1, 64))
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

const hex = "0123456789abcdef"

// appendString quotes a text for JSON; bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
		} else {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, `\u00`...)
				b = append(b, hex[c>>4], hex[c&15])
			}
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
