package logging

import (
	"bytes"
	"testing"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// What a worker writes to stderr comes with its line feed. The console puts the
// fields into that line, raw mode gives the text alone, JSON all of it.
func TestWorkerLine(t *testing.T) {
	for mode, want := range map[string]string{
		"development": "hello\t{\"pool\": \"http\", \"worker\": 7}\n",
		"raw":         "hello\n\n",
		"production":  `"msg":"hello\n","pool":"http","worker":7}` + "\n",
	} {
		var out bytes.Buffer
		log, control, err := New(Options{Config: Config{Channel: Channel{Mode: mode}}, Stderr: &out})
		if err != nil {
			t.Fatal(err)
		}
		log.With(logkey.Logger, "server").Info("hello\n", logkey.Pool, "http", logkey.Worker, 7)
		if !bytes.HasSuffix(out.Bytes(), []byte(want)) {
			t.Errorf("%s: %q, want %q at the end", mode, out.String(), want)
		}
		if control.ToJournal("server") {
			t.Errorf("%s goes to the journal", mode)
		}
		if err := control.Close(); err != nil {
			t.Error(err)
		}
	}
}
