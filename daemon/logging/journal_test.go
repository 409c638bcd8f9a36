package logging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// fakeJournal is the receiving side of the protocol.
type fakeJournal struct {
	path string
	conn *net.UnixConn
}

func newFakeJournal(t *testing.T) *fakeJournal {
	t.Helper()
	dir, err := os.MkdirTemp("", "rrd") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	j := &fakeJournal{path: filepath.Join(dir, "socket")}
	j.listen(t)
	t.Cleanup(func() { j.conn.Close(); os.RemoveAll(dir) })
	return j
}

func (j *fakeJournal) listen(t *testing.T) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	j.conn = conn
}

// next receives one record; isFile says that it came as a memory file.
func (j *fakeJournal) next(t *testing.T) (fields map[string]string, isFile bool) {
	t.Helper()
	if err := j.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	data, control := make([]byte, 1<<20), make([]byte, 128)
	n, cn, _, _, err := j.conn.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:n]
	if cn > 0 {
		data, isFile = passedFile(t, control[:cn]), true
	}
	return parseRecord(t, data), isFile
}

func passedFile(t *testing.T, control []byte) []byte {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "passed")
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if want := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL; err != nil || seals != want {
		t.Errorf("seals %#x, %v", seals, err)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parseRecord(t *testing.T, data []byte) map[string]string {
	t.Helper()
	fields := map[string]string{}
	put := func(name, value string) {
		for _, c := range name {
			if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
				t.Errorf("field name %q", name)
			}
		}
		if name == "" || name[0] == '_' || len(name) > 64 {
			t.Errorf("field name %q", name)
		}
		fields[name] += value
	}
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			t.Fatalf("record ends in %q", data)
		}
		if name, value, plain := bytes.Cut(line, []byte("=")); plain {
			put(string(name), string(value))
			data = rest
			continue
		}
		length := binary.LittleEndian.Uint64(rest)
		put(string(line), string(rest[8:8+length]))
		if rest[8+length] != '\n' {
			t.Fatalf("no line feed after %s", line)
		}
		data = rest[9+length:]
	}
	return fields
}

func journalLogger(t *testing.T, j *fakeJournal, config Config, stderr io.Writer) *slog.Logger {
	t.Helper()
	l, control, err := New(Options{Config: config, Journal: true, JournalSocket: j.path, Instance: "app", Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	return l
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	for name, value := range got {
		if _, known := want[name]; !known {
			t.Errorf("unexpected %s=%q", name, value)
		}
	}
}

func TestJournalFields(t *testing.T) {
	j := newFakeJournal(t)
	l := journalLogger(t, j, Config{}, io.Discard).With(logkey.Logger, "server", logkey.Pool, "http")
	at(l, slog.LevelInfo, "PHP Warning: x\nPRIORITY=0\n", slog.Int(logkey.Worker, 123), slog.String(logkey.RequestID, "r-1"), slog.Int(logkey.Generation, 2))
	got, _ := j.next(t)
	expect(t, got, map[string]string{
		"MESSAGE": "PHP Warning: x\nPRIORITY=0", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "rrd", "RR_INSTANCE": "app", "RR_LOGGER": "server",
		"RR_POOL": "http", "RR_WORKER": "123", "RR_REQUEST_ID": "r-1", "RR_GENERATION": "2",
	})

	at(l, slog.LevelDebug, "worker ended", slog.String(logkey.Cause, "max_jobs"), slog.Any(logkey.Error, errors.New("it \"broke\"\nhere")), slog.Duration("took", time.Second),
		slog.String("_weird key=é", "a=b"), slog.String(strings.Repeat("k", 100), ""), slog.Any("list", []int{1, 2}), slog.Time("start", when))
	got, _ = j.next(t)
	expect(t, got, map[string]string{
		"MESSAGE":  `worker ended cause=max_jobs error="it \"broke\"\nhere" took=1s _weird key=é="a=b" ` + strings.Repeat("k", 100) + `= list=[1,2] start=2025-01-31T10:00:00.123456789Z`,
		"PRIORITY": "7", "SYSLOG_IDENTIFIER": "rrd", "RR_INSTANCE": "app", "RR_LOGGER": "server", "RR_POOL": "http",
		"RR_CAUSE": "max_jobs", "RR_ERROR": "it \"broke\"\nhere", "RR_ATTR_TOOK": "1s", "RR_ATTR__WEIRD_KEY___": "a=b",
		"RR_ATTR_" + strings.Repeat("K", 56): "", "RR_ATTR_LIST": "[1,2]", "RR_ATTR_START": "2025-01-31T10:00:00.123456789Z",
	})

	l.Warn("here")
	got, _ = j.next(t)
	if got["PRIORITY"] != "4" || !strings.HasSuffix(got["CODE_FILE"], "journal_test.go") || got["CODE_LINE"] == "" || !strings.HasSuffix(got["CODE_FUNC"], "TestJournalFields") {
		t.Errorf("got %v", got)
	}
}

func TestJournalLargeRecord(t *testing.T) {
	j := newFakeJournal(t)
	l := journalLogger(t, j, Config{}, io.Discard)
	message := strings.Repeat("line\n", 4<<20) + "end"
	at(l, slog.LevelError, message)
	got, isFile := j.next(t)
	if !isFile || got["MESSAGE"] != message || got["PRIORITY"] != "3" {
		t.Errorf("as a file: %v, %d bytes", isFile, len(got["MESSAGE"]))
	}
}

func TestJournalOnlyWithoutOutput(t *testing.T) {
	j := newFakeJournal(t)
	config := Config{
		Channel:  Channel{Mode: "production", Level: "warn"},
		Channels: map[string]*Channel{"http": {Mode: "raw", Output: []string{"stderr"}}, "rpc": {Mode: "none"}, "app": {}},
	}
	var stderr bytes.Buffer
	l := journalLogger(t, j, config, &stderr)
	at(l.With(logkey.Logger, "http"), slog.LevelInfo, "to stderr")
	at(l.With(logkey.Logger, "rpc"), slog.LevelError, "nowhere")
	at(l, slog.LevelInfo, "too low")
	at(l.With(logkey.Logger, "app"), slog.LevelInfo, "app")
	if got, _ := j.next(t); got["MESSAGE"] != "app" {
		t.Errorf("got %v", got)
	}
	if got := stderr.String(); got != "to stderr\n" {
		t.Errorf("stderr %q", got)
	}
}

func TestJournalRestart(t *testing.T) {
	j := newFakeJournal(t)
	var stderr bytes.Buffer
	l := journalLogger(t, j, Config{}, &stderr)
	j.conn.Close()
	if err := os.Remove(j.path); err != nil {
		t.Fatal(err)
	}
	at(l, slog.LevelInfo, "meanwhile")
	if got := stderr.String(); !strings.Contains(got, `"msg":"meanwhile"`) {
		t.Errorf("stderr %q", got)
	}
	j.listen(t)
	at(l, slog.LevelInfo, "again")
	if got, _ := j.next(t); got["MESSAGE"] != "again" {
		t.Errorf("got %v", got)
	}
}

// A journal that reads nothing costs one second once, not one per record.
func TestJournalBusy(t *testing.T) {
	j := newFakeJournal(t)
	l := journalLogger(t, j, Config{}, io.Discard)
	const records = 5000
	started := time.Now()
	for range records {
		at(l, slog.LevelInfo, "x")
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("%d records took %s", records, took)
	}
	seen, told := 0, ""
	for deadline := time.Now().Add(20 * time.Second); told == "" && time.Now().Before(deadline); {
		at(l, slog.LevelInfo, "y")
		for told == "" {
			if err := j.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 1<<16)
			n, err := j.conn.Read(data)
			if err != nil {
				break
			}
			seen++
			if message := parseRecord(t, data[:n])["MESSAGE"]; strings.Contains(message, "were lost") {
				told = message
			}
		}
	}
	if seen == 0 || told == "" {
		t.Errorf("%d records arrived, loss report %q", seen, told)
	}
}

func TestNoJournal(t *testing.T) {
	_, _, err := New(Options{Journal: true, JournalSocket: "/nowhere/socket"})
	if err == nil || !strings.HasPrefix(err.Error(), "cannot set up logging: cannot reach the journal: ") {
		t.Errorf("got %v", err)
	}
}
