package logging

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

var when = time.Date(2025, 1, 31, 11, 0, 0, 123456789, time.FixedZone("", 3600))

// lines logs one record per call of log through a logger of config and returns
// what came out on standard output and error.
func lines(t *testing.T, o Options, log func(*slog.Logger)) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	o.Stdout, o.Stderr = &out, &err
	logger, control, openErr := New(o)
	if openErr != nil {
		t.Fatal(openErr)
	}
	log(logger)
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), err.String()
}

// at logs with a fixed time.
func at(l *slog.Logger, level slog.Level, message string, attrs ...slog.Attr) {
	if !l.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(when, level, message, 0)
	r.AddAttrs(attrs...)
	l.Handler().Handle(context.Background(), r)
}

func typical(l *slog.Logger) {
	l = l.With(logkey.Logger, "http")
	at(l, slog.LevelInfo, "http log", slog.Int("status", 200), slog.String("URI", "/a?b=\"c\""), slog.Duration("took", 1500*time.Millisecond), slog.Time("start", when))
	at(l, slog.LevelError, "two\nlines", slog.Any(logkey.Error, errors.New("it broke")))
}

func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		channel Channel
		color   bool
		want    string
	}{
		"production": {Channel{Mode: "production"}, true,
			`{"level":"info","ts":1738317600123456789,"logger":"http","msg":"http log","status":200,"URI":"/a?b=\"c\"","took":1.5,"start":1738317600123456789}` + "\n" +
				`{"level":"error","ts":1738317600123456789,"logger":"http","msg":"two\nlines","error":"it broke"}` + "\n"},
		"development": {Channel{Mode: "Development"}, false,
			"2025-01-31T10:00:00+0000\tINFO\thttp        \thttp log\t{\"status\": 200, \"URI\": \"/a?b=\\\"c\\\"\", \"took\": \"1.5s\", \"start\": \"2025-01-31T10:00:00+0000\"}\n" +
				"2025-01-31T10:00:00+0000\tERROR\thttp        \ttwo\nlines\t{\"error\": \"it broke\"}\n"},
		"colours": {Channel{Mode: "development"}, true,
			"2025-01-31T10:00:00+0000\t\x1b[96mINFO\x1b[0m\t\x1b[92mhttp        \x1b[0m\thttp log\t{\"status\": 200, \"URI\": \"/a?b=\\\"c\\\"\", \"took\": \"1.5s\", \"start\": \"2025-01-31T10:00:00+0000\"}\n" +
				"2025-01-31T10:00:00+0000\t\x1b[91mERROR\x1b[0m\t\x1b[92mhttp        \x1b[0m\ttwo\nlines\t{\"error\": \"it broke\"}\n"},
		"raw": {Channel{Mode: "raw"}, true,
			"http log\t{\"status\": 200, \"URI\": \"/a?b=\\\"c\\\"\", \"took\": \"1.5s\", \"start\": \"2025-01-31T10:00:00+0000\"}\n" +
				"two\nlines\t{\"error\": \"it broke\"}\n"},
		"none": {Channel{Mode: "none"}, true, ""},
		"off":  {Channel{Mode: "OFF"}, true, ""},
		"legacy as JSON": {Channel{Mode: "x", Encoding: "json"}, true,
			`{"L":"INFO","T":"2025-01-31T10:00:00+0000","N":"http","M":"http log","status":200,"URI":"/a?b=\"c\"","took":"1.5s","start":"2025-01-31T10:00:00+0000"}` + "\n" +
				`{"L":"ERROR","T":"2025-01-31T10:00:00+0000","N":"http","M":"two\nlines","error":"it broke"}` + "\n"},
		"development as JSON": {Channel{Mode: "development", Encoding: "json", Level: "error"}, true,
			`{"level":"ERROR","ts":"2025-01-31T10:00:00+0000","logger":"http","msg":"two\nlines","error":"it broke"}` + "\n"},
		"raw as JSON": {Channel{Mode: "raw", Encoding: "json", Level: "error"}, false,
			`{"message":"two\nlines","error":"it broke"}` + "\n"},
		"production on a console": {Channel{Mode: "production", Encoding: "console", Level: "error", LineEnding: "\r\n"}, true,
			"1738317600123456789\terror\thttp\ttwo\nlines\t{\"error\": \"it broke\"}\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := lines(t, Options{Config: Config{Channel: c.channel}, Color: c.color}, typical)
			if got != c.want {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

func TestDefaultsAreDevelopment(t *testing.T) {
	_, got := lines(t, Options{}, func(l *slog.Logger) { at(l, slog.LevelDebug, "x") })
	if want := "2025-01-31T10:00:00+0000\tDEBUG\tx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLevels(t *testing.T) {
	all := func(l *slog.Logger) {
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			at(l, level, level.String())
		}
	}
	for level, want := range map[string]string{"debug": "DEBUG INFO WARN ERROR", "info": "INFO WARN ERROR", "WARN": "WARN ERROR", "error": "ERROR", "dpanic": "", "fatal": ""} {
		_, got := lines(t, Options{Config: Config{Channel: Channel{Mode: "raw", Level: level}}}, all)
		if got = strings.Join(strings.Fields(got), " "); got != want {
			t.Errorf("level %s: %q", level, got)
		}
	}
	// The section defaults to debug in every mode, a channel to that of its mode.
	for mode, want := range map[string]string{"production": "INFO", "raw": "INFO", "development": "DEBUG", "": "DEBUG"} {
		_, got := lines(t, Options{Config: Config{Channels: map[string]*Channel{"a": {Mode: mode}}}}, func(l *slog.Logger) { all(l.With(logkey.Logger, "a")) })
		if first := "DEBUG"; strings.Contains(got, first) != (want == first) {
			t.Errorf("channel of mode %q: %s", mode, got)
		}
	}
}

func TestChannels(t *testing.T) {
	config := Config{
		Channel: Channel{Mode: "raw", Level: "error"},
		Channels: map[string]*Channel{
			"http":   {Mode: "raw", Level: "debug", Output: []string{"stdout"}},
			"server": {},
			"rpc":    {Mode: "none"},
			"app":    nil,
		},
	}
	stdout, stderr := lines(t, Options{Config: config}, func(l *slog.Logger) {
		at(l.With(logkey.Logger, "http"), slog.LevelDebug, "bound")
		at(l, slog.LevelDebug, "in the record", slog.String(logkey.Logger, "http"))
		at(l, slog.LevelInfo, "too low")
		at(l.With(logkey.Logger, "app"), slog.LevelInfo, "too low as well")
		at(l.With(logkey.Logger, "rpc"), slog.LevelError, "nowhere")
		at(l.With(logkey.Logger, "server"), slog.LevelDebug, "legacy")
		at(l.With(logkey.Logger, "http").With(logkey.Logger, "app"), slog.LevelError, "last name wins")
	})
	if want := "bound\nin the record\n"; stdout != want {
		t.Errorf("stdout %q, want %q", stdout, want)
	}
	if want := "2025-01-31T10:00:00+0000\tDEBUG\tserver      \tlegacy\nlast name wins\n"; stderr != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
}

// A program that logs under its own name (service_name_in_log) is part of its
// section: without a channel of its own it has that of the section.
func TestChannelOfPart(t *testing.T) {
	config := Config{
		Channel: Channel{Mode: "raw", Level: "error"},
		Channels: map[string]*Channel{
			"service":       {Mode: "raw", Level: "info", Output: []string{"stdout"}},
			"service.quiet": {Mode: "none"},
		},
	}
	stdout, stderr := lines(t, Options{Config: config}, func(l *slog.Logger) {
		at(l.With(logkey.Logger, "service.cron"), slog.LevelInfo, "of the section")
		at(l, slog.LevelInfo, "of a part of a part", slog.String(logkey.Logger, "service.a.b"))
		at(l.With(logkey.Logger, "service.quiet"), slog.LevelError, "its own channel")
		at(l.With(logkey.Logger, "services"), slog.LevelInfo, "another name")
	})
	if want := "of the section\nof a part of a part\n"; stdout != want || stderr != "" {
		t.Errorf("stdout %q, want %q; stderr %q", stdout, want, stderr)
	}
}

type logValuer struct{}

func (logValuer) LogValue() slog.Value { return slog.GroupValue(slog.Int("a", 1), slog.Int("b", 2)) }

type panics struct{}

func (*panics) Error() string { panic("no error text") }

func TestValues(t *testing.T) {
	_, got := lines(t, Options{Config: Config{Channel: Channel{Mode: "raw", Encoding: "json"}}}, func(l *slog.Logger) {
		l = l.WithGroup("g").With("x", 1).WithGroup("h")
		at(l, slog.LevelInfo, "m",
			slog.Any("v", logValuer{}), slog.Group("", slog.Bool("inline", true)), slog.Attr{}, slog.Any("nil", nil),
			slog.Any("panic", (*panics)(nil)), slog.Any("list", []string{"<a&b>"}), slog.Any("bytes", []byte("b")), slog.Any("func", func() {}),
			slog.Float64("nan", math.NaN()), slog.Float64("f", 0.25), slog.Uint64("u", math.MaxUint64), slog.String(logkey.Logger, "not a channel"))
	})
	got = strings.NewReplacer("\n", "").Replace(got)
	if i := strings.Index(got, `"g.h.func":"0x`); i < 0 {
		t.Errorf("a function is not shown as text: %s", got)
	} else {
		end := strings.IndexByte(got[i+12:], ',') + i + 12
		got = got[:i] + got[end+1:]
	}
	want := `{"message":"m","g.x":1,"g.h.v.a":1,"g.h.v.b":2,"g.h.inline":true,"g.h.nil":null,"g.h.panic":"!PANIC: no error text","g.h.list":["<a&b>"],"g.h.bytes":"b",` +
		`"g.h.nan":"NaN","g.h.f":0.25,"g.h.u":18446744073709551615,"g.h.logger":"not a channel"}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStringEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"":               `""`,
		"a\"b\\c/<>&":    `"a\"b\\c/<>&"`,
		"\n\r\t\x00\x1f": `"\n\r\t\u0000\u001f"`,
		"é€😀\u2028":      "\"é€😀\u2028\"",
		"\xffa\xc3":      `"\ufffda\ufffd"`,
		"\ufffd":         "\"\ufffd\"",
	} {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestWithDoesNotShare(t *testing.T) {
	_, got := lines(t, Options{Config: Config{Channel: Channel{Mode: "raw"}}}, func(l *slog.Logger) {
		parent := l.With("a", 1)
		one, two := parent.With("b", 1), parent.With("b", 2)
		at(one, slog.LevelInfo, "one")
		at(two, slog.LevelInfo, "two")
	})
	if want := "one\t{\"a\": 1, \"b\": 1}\ntwo\t{\"a\": 1, \"b\": 2}\n"; got != want {
		t.Errorf("got %q", got)
	}
}
