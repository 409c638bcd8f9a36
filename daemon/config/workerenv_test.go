package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorkerEnv(t *testing.T) {
	base := []string{"PATH=/bin", "RR_RELAY=old", "NOTIFY_SOCKET=/n", "LISTEN_PID=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b",
		"WATCHDOG_USEC=1", "WATCHDOG_PID=1", "JOURNAL_STREAM=8:1", "INVOCATION_ID=abc", "=x", "broken", "A=1", "A=2", "EMPTY="}
	got := WorkerEnv(base, "pipes", "tcp://127.0.0.1:6001", map[string]string{"golden_env": "xin", "a": "3", "rr_version": "x"}, "2025.1.15", "temporal", "RR_CODEC=protobuf", "lower=1")
	want := []string{"USE_ZEND_ALLOC_HUGE_PAGES=1", "PATH=/bin", "RR_RELAY=pipes", "INVOCATION_ID=abc", "A=3", "EMPTY=",
		"RR_RPC=tcp://127.0.0.1:6001", "GOLDEN_ENV=xin", "RR_VERSION=2025.1.15", "RR_MODE=temporal", "RR_CODEC=protobuf", "LOWER=1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	got = WorkerEnv([]string{"USE_ZEND_ALLOC_HUGE_PAGES=0"}, "pipes", "", nil, "v", "http")
	want = []string{"USE_ZEND_ALLOC_HUGE_PAGES=0", "RR_RELAY=pipes", "RR_VERSION=v", "RR_MODE=http"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// The environment of a worker as recorded from RoadRunner.
func TestWorkerEnvOfFile(t *testing.T) {
	tree, err := Load(Options{File: "testdata/load/golden-env.yaml", Environ: []string{"GOLD_IN=in"}})
	if err != nil {
		t.Fatal(err)
	}
	var server Server
	if err := tree.Decode("server", &server); err != nil {
		t.Fatal(err)
	}
	server.Defaults()
	got := WorkerEnv(tree.Environ(), server.Relay, "", server.Env, "v", "http")
	for _, entry := range []string{"GOLD_IN=in", "GOLDEN_ENV=xin", "GOLD_B=", "RR_RELAY=pipes", "RR_MODE=http"} {
		if !slices.Contains(got, entry) {
			t.Errorf("%s is missing in %q", entry, got)
		}
	}
}

func TestSectionDefaults(t *testing.T) {
	server := Server{OnInit: &OnInit{}}
	server.Defaults()
	if server.Relay != "pipes" || server.OnInit.ExecTimeout != time.Minute {
		t.Errorf("server: %+v, on_init: %+v", server, server.OnInit)
	}
	var endure Endure
	endure.Defaults()
	if endure.GracePeriod != 30*time.Second {
		t.Errorf("endure: %+v", endure)
	}
	var rpc RPC
	rpc.Defaults()
	if rpc.Address() != "tcp://127.0.0.1:6001" || rpc.Listen != "" {
		t.Errorf("rpc: %+v", rpc)
	}
}

func TestSectionValidate(t *testing.T) {
	for _, c := range []struct {
		section interface{ Validate() error }
		want    string
	}{
		{&Server{Command: []string{"php w.php"}, Relay: "unix:///run/x"}, ""},
		{&Server{Command: []string{"  "}, Relay: "tcp://"}, "server.command: command should not be empty; write for example command: \"php worker.php\"\n" +
			"server.relay: invalid DSN (tcp://:6001, unix://file.sock); write pipes, tcp://127.0.0.1:7000 or unix:///run/relay.sock"},
		{&Server{Command: []string{"a"}, Relay: "pipes", OnInit: &OnInit{ExecTimeout: -1}}, "server.on_init.command: command should not be empty; write the command, or remove on_init\n" +
			"server.on_init.exec_timeout: timeout is negative; write for example 60s"},
		{&RPC{}, ""},
		{&RPC{Listen: "/run/x"}, "rpc.listen: invalid socket DSN (tcp://:6001, unix://file.sock); write unix:///run/x"},
		{&RPC{Listen: "http://x"}, "rpc.listen: invalid socket DSN (tcp://:6001, unix://file.sock); scheme http is unknown; write tcp://127.0.0.1:6001 or unix:///run/rr/app/rpc.sock"},
		{&RPC{Workers: "none"}, "rpc.workers: unknown value \"none\"; write compatible or restricted"},
		{&Endure{}, ""},
		{&Endure{GracePeriod: -1, WatchdogSec: -1}, "endure.grace_period: grace period is negative; write for example 30s\n" +
			"endure.watchdog_sec: number of seconds is negative; write 0 to follow WatchdogSec= of the unit"},
	} {
		got := ""
		if err := c.section.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.section, got, c.want)
		}
	}
}

func TestRPCWarnings(t *testing.T) {
	for listen, open := range map[string]bool{
		"": false, "unix:///run/x": false, "tcp://127.0.0.1:6001": false, "tcp://[::1]:6001": false, "tcp://localhost:6001": false,
		"tcp://:6001": true, "tcp://0.0.0.0:6001": true, "tcp://[::]:6001": true, "tcp://10.0.0.1:6001": true, "tcp://rr.example:6001": true,
	} {
		for _, workers := range []string{"compatible", "restricted"} {
			got := (&RPC{Listen: listen, Workers: workers}).Warnings()
			if (len(got) == 1) != open || open && strings.Contains(got[0], "service.Create") == (workers == "restricted") {
				t.Errorf("%s, %s: %q", listen, workers, got)
			}
		}
	}
	if got := (*RPC)(nil).Warnings(); got != nil {
		t.Errorf("%q", got)
	}
}
