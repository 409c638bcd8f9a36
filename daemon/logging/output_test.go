package logging

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	config := Config{
		Channel:  Channel{Mode: "development", Output: []string{a, "file://" + b, "stdout"}},
		Channels: map[string]*Channel{"http": {Mode: "raw", Output: []string{a}}},
	}
	stdout, stderr := lines(t, Options{Config: config, Color: true}, func(l *slog.Logger) {
		at(l, slog.LevelInfo, "root")
		at(l.With(logkey.Logger, "http"), slog.LevelInfo, "channel")
	})
	line := "2025-01-31T10:00:00+0000\tINFO\troot\n" // a file among the outputs: no colours
	if stdout != line || stderr != "" || read(t, a) != line+"channel\n" || read(t, b) != line {
		t.Errorf("stdout %q, stderr %q, a %q, b %q", stdout, stderr, read(t, a), read(t, b))
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	config := Config{Channel: Channel{Mode: "raw", Level: "error", Output: []string{path}}}
	l, control, err := New(Options{Config: config, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	bound := l.With(logkey.Logger, "http")
	bound.Info("before")
	config.Level = "info"
	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	if err := control.Reload(config); err != nil {
		t.Fatal(err)
	}
	bound.Info("after")
	if got := read(t, path); got != "after\n" {
		t.Errorf("got %q", got)
	}
	if err := control.Reload(Config{Channel: Channel{Output: []string{dir}}}); err == nil {
		t.Error("a folder was accepted as a log file")
	}
	bound.Info("still there")
	if got := read(t, path); got != "after\nstill there\n" {
		t.Errorf("got %q", got)
	}
	if err := errors.Join(control.Close(), control.Close()); err != nil {
		t.Error(err)
	}
	bound.Error("dropped")
	if err := control.Reload(config); err == nil {
		t.Error("Reload after Close succeeded")
	}
}

// No record may be lost or torn while outputs are replaced under load.
func TestReloadUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	config := Config{Channel: Channel{Mode: "raw", Output: []string{path}}}
	l, control, err := New(Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	const writers, records = 4, 500
	var done sync.WaitGroup
	for w := range writers {
		l := l.With("writer", w)
		done.Go(func() {
			for i := range records {
				l.Info("record", "i", i)
			}
		})
	}
	for range 20 {
		if err := control.Reload(config); err != nil {
			t.Error(err)
		}
	}
	done.Wait()
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, path)
	for w := range writers {
		for i := range records {
			if line := fmt.Sprintf("record\t{\"writer\": %d, \"i\": %d}\n", w, i); !strings.Contains(got, line) {
				t.Fatalf("lost: %s", line)
			}
		}
	}
	if n := strings.Count(got, "\n"); n != writers*records {
		t.Errorf("%d lines", n)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestErrOutput(t *testing.T) {
	var stderr bytes.Buffer
	config := Config{Channel: Channel{Mode: "raw", Output: []string{"stdout"}}}
	l, control, err := New(Options{Config: config, Stdout: failing{}, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	l.Info("x")
	if got := stderr.String(); !strings.HasSuffix(got, " write error: disk full\n") {
		t.Errorf("got %q", got)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "a.log")
	r, err := openRotating(File{Path: path, MaxSize: 1, MaxAge: 1, MaxBackups: 3, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "sub", "a-"+time.Now().AddDate(0, 0, -2).UTC().Format(backupTime)+".log.gz")
	other := filepath.Join(dir, "sub", "a-notes.log")
	for _, name := range []string{old, other} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	line := bytes.Repeat([]byte("x"), 700<<10)
	for range 6 {
		if err := r.write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(r.write(line), errClosed) {
		t.Error("a write after Close succeeded")
	}
	backups, err := r.backups()
	if err != nil || len(backups) != 3 {
		t.Fatalf("%d backups, %v", len(backups), err)
	}
	for _, b := range backups {
		f, err := os.Open(b.path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		gz, err := gzip.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", b.path, err)
		}
		if data, err := io.ReadAll(gz); err != nil || !bytes.Equal(data, line) {
			t.Errorf("%s: %d bytes, %v", b.path, len(data), err)
		}
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("an old backup is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("a file that is no backup is gone")
	}
}

// Where a full file cannot be moved away, as in a folder that was made
// read-only, records go on into it: none is lost, and the error is told.
func TestRotationFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	path := filepath.Join(dir, "a.log")
	r, err := openRotating(File{Path: path, MaxSize: 1, MaxAge: 1, MaxBackups: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.move = func(string, string) error { return errors.New("read-only") }
	line := bytes.Repeat([]byte("x"), 700<<10)
	if err := r.write(line); err != nil {
		t.Fatal(err)
	}
	if err := r.write(line); err == nil || !strings.Contains(err.Error(), "cannot rotate "+path+": read-only") {
		t.Errorf("error %v", err)
	}
	if got := len(read(t, path)); got != 2*len(line) {
		t.Errorf("%d bytes in the file, want those of 2 records", got)
	}
	r.move = os.Rename
	if err := r.write(line); err != nil {
		t.Error(err)
	}
	if backups, err := r.backups(); err != nil || len(backups) != 1 || len(read(t, path)) != len(line) {
		t.Errorf("not rotated once it could be: %v, %v", backups, err)
	}
}

func TestFileLogger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	config := Config{Channel: Channel{Mode: "development", Encoding: "console", Output: []string{"stdout"}, File: &File{Path: path}}}
	stdout, _ := lines(t, Options{Config: config, Journal: true, JournalSocket: "/none"}, func(l *slog.Logger) {
		at(l.With(logkey.Logger, "http"), slog.LevelInfo, "x")
	})
	if want := `{"level":"INFO","ts":"2025-01-31T10:00:00+0000","logger":"http","msg":"x"}` + "\n"; stdout != "" || read(t, path) != want {
		t.Errorf("stdout %q, file %q", stdout, read(t, path))
	}
}

func TestInvalid(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"level":    {Config{Channel: Channel{Level: "loud"}}, `logs.level: unknown level "loud"; write debug, info, warn or error`},
		"encoding": {Config{Channels: map[string]*Channel{"http": {Encoding: "xml"}}}, `logs.channels.http.encoding: unknown encoding "xml"; write json or console`},
		"output":   {Config{Channel: Channel{Output: []string{"tcp://x:1"}}}, `logs.output: "tcp://x:1" is not a file; write stderr, stdout, a file name or file:///path`},
		"err":      {Config{Channel: Channel{ErrOutput: []string{""}}}, `logs.err_output: "" is not a file; write stderr, stdout, a file name or file:///path`},
		"file":     {Config{Channel: Channel{File: &File{}}}, `logs.file_logger_options.log_output: file name is missing; write for example /var/log/rr/app.log`},
		"limit":    {Config{Channel: Channel{File: &File{Path: "x", MaxAge: -1}}}, `logs.file_logger_options.max_age: -1 is negative; write 0 for the default`},
		"missing":  {Config{Channel: Channel{Output: []string{"/nowhere/x.log"}}}, `logs.output: open /nowhere/x.log: no such file or directory`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := New(Options{Config: c.config})
			if err == nil || err.Error() != "cannot set up logging: "+c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			var keyed *KeyError
			if isKeyed := errors.As(err, &keyed); isKeyed != (name != "missing") {
				t.Errorf("KeyError: %v", isKeyed)
			}
		})
	}
	odd := Config{Channel: Channel{Mode: "prod"}, Channels: map[string]*Channel{"a": {Mode: "x"}, "b": {}, "c": {Mode: "legacy"}}}
	if got := odd.Warnings(); len(got) != 2 || !strings.HasPrefix(got[0], `logs.mode: "prod"`) || !strings.HasPrefix(got[1], "logs.channels.a.mode") {
		t.Errorf("warnings %q", got)
	}
}
