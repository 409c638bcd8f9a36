package logging

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
)

// fromYAML reads the section `logs` as the daemon does. DIR in text is a folder.
func fromYAML(t *testing.T, text string) (c Config, dir string) {
	t.Helper()
	dir = t.TempDir()
	name := filepath.Join(dir, "app.yaml")
	text = "version: \"3\"\nlogs: " + strings.ReplaceAll(text, "DIR", dir) + "\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := config.Load(config.Options{File: name})
	if err == nil {
		err = tree.Decode("logs", &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// Every key of the section, as it is written in a file, and what it does to two
// records of the channel http. The lines are RoadRunner's.
func TestKeys(t *testing.T) {
	const (
		info   = "2025-01-31T10:00:00+0000\tINFO\thttp        \tfine\t{\"k\": \"v\"}\n"
		debug  = "2025-01-31T10:00:00+0000\tDEBUG\thttp        \tdetail\n"
		legacy = `{"L":"INFO","T":"2025-01-31T10:00:00+0000","N":"http","M":"fine","k":"v"}` + "\n"
		ts     = `"ts":1738317600123456789,"logger":"http",`
		prod   = `{"level":"info",` + ts + `"msg":"fine","k":"v"}` + "\n"
	)
	for _, c := range []struct {
		yaml, stdout, stderr string
		files                map[string]string
	}{
		{yaml: `{}`, stderr: debug + info},
		{yaml: `{mode: development, level: info}`, stderr: info},
		{yaml: `{mode: PRODUCTION}`, stderr: `{"level":"debug",` + ts + `"msg":"detail"}` + "\n" + prod}, // the section's level is debug in every mode
		{yaml: `{mode: production, level: Info}`, stderr: prod},
		{yaml: `{mode: raw}`, stderr: "detail\nfine\t{\"k\": \"v\"}\n"},
		{yaml: `{mode: none}`},
		{yaml: `{mode: "off"}`},
		{yaml: `{mode: other, encoding: json, level: info}`, stderr: legacy},
		{yaml: `{level: warn}`},
		{yaml: `{level: panic}`},
		{yaml: `{level: info, line_ending: "\r\n"}`, stderr: strings.Replace(info, "\n", "\r\n", 1)},
		{yaml: `{level: info, line_ending: ""}`, stderr: info},
		{yaml: `{mode: production, level: info, encoding: console}`, stderr: "1738317600123456789\tinfo\thttp\tfine\t{\"k\": \"v\"}\n"},
		{yaml: `{level: info, output: [stdout, stderr]}`, stdout: info, stderr: info},
		{yaml: `{level: info, output: stdout}`, stdout: info}, // one value for a list
		{yaml: `{level: info, output: ["DIR/a.log", "file://DIR/b.log"]}`, files: map[string]string{"a.log": info, "b.log": info}},
		{yaml: `{level: info, output: [stdout], err_output: ["DIR/errors.log"]}`, stdout: info, files: map[string]string{"errors.log": ""}},
		{yaml: `{level: info, encoding: console, output: [stdout], file_logger_options: {log_output: "DIR/sub/a.log", max_size: 1, max_age: 2, max_backups: 3, compress: true}}`,
			files: map[string]string{"sub/a.log": `{"level":"INFO","ts":"2025-01-31T10:00:00+0000","logger":"http","msg":"fine","k":"v"}` + "\n"}},
		{yaml: `{mode: other, level: info, file_logger_options: {log_output: "DIR/a.log"}}`, files: map[string]string{"a.log": legacy}},
		// A channel inherits nothing, not the output either.
		{yaml: `{mode: production, level: error, output: ["DIR/a.log"], channels: {http: {level: info}}}`, stderr: info, files: map[string]string{"a.log": ""}},
		{yaml: `{mode: none, channels: {HTTP: {mode: production, output: [stdout]}}}`, stdout: prod},
		{yaml: `{level: info, channels: {http: {mode: none}}}`},
		{yaml: `{level: info, channels: {rpc: {mode: none}, http: ~}}`, stderr: info},
		{yaml: `{mode: none, channels: {http: {encoding: json, level: info, line_ending: "|", output: [stdout], err_output: [stderr]}}}`, stdout: strings.Replace(legacy, "\n", "|", 1)},
		{yaml: `{mode: none, channels: {http: {mode: raw, file_logger_options: {log_output: "DIR/h.log"}}}}`, files: map[string]string{"h.log": `{"message":"fine","k":"v"}` + "\n"}},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			config, dir := fromYAML(t, c.yaml)
			stdout, stderr := lines(t, Options{Config: config}, func(l *slog.Logger) {
				l = l.With(logkey.Logger, "http")
				at(l, slog.LevelDebug, "detail")
				at(l, slog.LevelInfo, "fine", slog.String("k", "v"))
			})
			if stdout != c.stdout || stderr != c.stderr {
				t.Errorf("stdout %q, want %q\nstderr %q, want %q", stdout, c.stdout, stderr, c.stderr)
			}
			for name, want := range c.files {
				if got := read(t, filepath.Join(dir, name)); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// The values of file_logger_options, and their defaults.
func TestFileKeys(t *testing.T) {
	for yaml, want := range map[string]File{
		`log_output: a`: {Path: "a", MaxSize: 100, MaxAge: 24, MaxBackups: 10},
		`log_output: a, max_size: 0, max_age: 0, max_backups: 0, compress: false`: {Path: "a", MaxSize: 100, MaxAge: 24, MaxBackups: 10},
		`log_output: a, max_size: 5, max_age: 6, max_backups: 7, compress: true`:  {Path: "a", MaxSize: 5, MaxAge: 6, MaxBackups: 7, Compress: true},
	} {
		section, _ := fromYAML(t, fmt.Sprintf("{file_logger_options: {%s}}", yaml))
		channel, _ := fromYAML(t, fmt.Sprintf("{channels: {http: {file_logger_options: {%s}}}}", yaml))
		if *section.File != want || *channel.Channels["http"].File != want {
			t.Errorf("%s: %+v and %+v, want %+v", yaml, *section.File, *channel.Channels["http"].File, want)
		}
	}
}
