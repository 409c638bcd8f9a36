package daemon

import (
	"bytes"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// The journal gets a record for each line of a worker, with the fields that
// tell whose it is.
func TestStderrToJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	root, logs, err := logging.New(logging.Options{Journal: true, JournalSocket: path})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	d := &Daemon{logs: logs, log: root.With(logkey.Logger, "server"), life: t.Context()}
	d.stderr("http")(worker.Output{PID: 42, Generation: 3, RequestID: "r-1", Chunk: []byte("line one\r\n\nline two\n")})
	_ = journal.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 4096)
	for _, line := range []string{"line one", "line two"} {
		n, err := journal.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		// A field is NAME, line feed, length in 8 bytes, value, line feed.
		for _, want := range []string{
			"MESSAGE\n\x08\x00\x00\x00\x00\x00\x00\x00" + line + "\n",
			"RR_POOL\n\x04\x00\x00\x00\x00\x00\x00\x00http\n",
			"RR_WORKER\n\x02\x00\x00\x00\x00\x00\x00\x0042\n",
			"RR_GENERATION\n\x01\x00\x00\x00\x00\x00\x00\x003\n",
			"RR_REQUEST_ID\n\x03\x00\x00\x00\x00\x00\x00\x00r-1\n",
		} {
			if !bytes.Contains(b[:n], []byte(want)) {
				t.Errorf("no %q in %q", want, b[:n])
			}
		}
	}
}
