package logging

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"testing"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

func benchmark(b *testing.B, config Config, message string) {
	l, control, err := New(Options{Config: config, Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer control.Close()
	l = l.With(logkey.Logger, "http", logkey.Pool, "http")
	b.ReportAllocs()
	for b.Loop() {
		l.LogAttrs(b.Context(), slog.LevelInfo, message, slog.Int("status", 200), slog.String("method", "GET"), slog.Int64(logkey.Elapsed, 3))
	}
}

func BenchmarkOff(b *testing.B) { benchmark(b, Config{Channel: Channel{Level: "error"}}, "http log") }
func BenchmarkProduction(b *testing.B) {
	benchmark(b, Config{Channel: Channel{Mode: "production"}}, "http log")
}
func BenchmarkDevelopment(b *testing.B) { benchmark(b, Config{}, "http log") }

func BenchmarkJournalEncode(b *testing.B) {
	j := &journal{head: []byte("SYSLOG_IDENTIFIER=rrd\n")}
	e := entries.Get().(*entry)
	e.name, e.message = "http", "http log"
	e.attrs = append(e.attrs, slog.String(logkey.Pool, "http"), slog.Int("status", 200), slog.Int64(logkey.Elapsed, 3))
	b.ReportAllocs()
	for b.Loop() {
		e.buf = j.append(e.buf[:0], e)
	}
	e.release()
}

func TestAllocations(t *testing.T) {
	for _, level := range []string{"error", "debug"} {
		l, control, err := New(Options{Config: Config{Channel: Channel{Mode: "production", Level: level}}, Stderr: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		l = l.With(logkey.Logger, "http")
		n := testing.AllocsPerRun(200, func() {
			l.LogAttrs(t.Context(), slog.LevelInfo, "http log", slog.Int("status", 200), slog.String("method", "GET"))
		})
		if n >= 1 && !raceEnabled { // with the race detector sync.Pool drops entries at random
			t.Errorf("level %s: %v allocations a record", level, n)
		}
		control.Close()
	}
}

// FuzzLine: every JSON line must be valid JSON in one line whatever is logged.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "plain", "a\nb", "\x00\xff\"\\", "é\u2028", "=", "{}"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, message, value string) {
		var out bytes.Buffer
		l, control, err := New(Options{Config: Config{Channel: Channel{Mode: "production"}}, Stderr: &out})
		if err != nil {
			t.Fatal(err)
		}
		defer control.Close()
		l.With(logkey.Logger, value).Info(message, value, value, "any", []byte(message))
		line := out.Bytes()
		if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("line %q", line)
		}
		e := &entry{message: message, name: value, attrs: []slog.Attr{slog.String(value, message)}}
		fields := parseRecord(t, (&journal{}).append(nil, e))
		if value != "" && fields["RR_LOGGER"] != value {
			t.Errorf("logger %q, want %q", fields["RR_LOGGER"], value)
		}
	})
}
