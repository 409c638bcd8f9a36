package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/app"
	"github.com/rr-systemd/rrd/services/app/applogger"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

func entry(message string, pairs ...string) *applogger.LogEntry {
	e := &applogger.LogEntry{Message: message}
	for i := 0; i < len(pairs); i += 2 {
		e.LogAttrs = append(e.LogAttrs, &applogger.LogAttrs{Key: pairs[i], Value: pairs[i+1]})
	}
	return e
}

func TestRecords(t *testing.T) {
	var log bytes.Buffer // a call is answered after its record is written
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { app.Register(s, logger, &bytes.Buffer{}) }))
	for method, level := range map[string]string{"app.Error": "ERROR", "app.Warning": "WARN", "app.Info": "INFO", "app.Debug": "DEBUG"} {
		message, reply := "héllo", false
		if err := c.Call(t.Context(), method, wire.JSON, &message, &reply); err != nil || reply {
			t.Fatalf("%s: %v, %v", method, reply, err)
		}
		if err := c.Call(t.Context(), method+"WithContext", wire.Proto, entry("msg", "k", "v", "n", "5"), new(applogger.Response)); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		d := json.NewDecoder(&log)
		var first, second map[string]any
		if err := errors.Join(d.Decode(&first), d.Decode(&second)); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if first["msg"] != message || first["level"] != level || len(first) != 3 {
			t.Errorf("%s: %v", method, first)
		}
		if second["msg"] != "msg" || second["level"] != level || second["k"] != "v" || second["n"] != "5" || len(second) != 5 {
			t.Errorf("%sWithContext: %v", method, second)
		}
	}
}

func TestText(t *testing.T) {
	var stderr bytes.Buffer
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		app.Register(s, slog.New(slog.DiscardHandler), &stderr)
	}))
	text := "raw\ttext\xff"
	if err := c.Call(t.Context(), "app.Log", wire.Gob, &text, new(bool)); err != nil || stderr.String() != text {
		t.Errorf("%q, %v", stderr.String(), err)
	}
	for want, e := range map[string]*applogger.LogEntry{
		"message k:v,k2:v2": entry("message", "k", "v", "k2", "v2"),
		"message k:":        entry("message", "k", ""),
		"only":              entry("only"),
		"":                  entry(""),
	} {
		stderr.Reset()
		if err := c.Call(t.Context(), "app.LogWithContext", wire.Proto, e, new(applogger.Response)); err != nil || stderr.String() != want {
			t.Errorf("got %q, %v, want %q", stderr.String(), err, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWriteErrorReachesTheCaller(t *testing.T) {
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		app.Register(s, slog.New(slog.DiscardHandler), broken{})
	}))
	text := "x"
	if err := c.Call(t.Context(), "app.Log", wire.JSON, &text, new(bool)); err == nil || err.Error() != "no space left on device" {
		t.Errorf("got %v", err)
	}
}
