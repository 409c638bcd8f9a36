package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// application is shaped like the sections the daemon decodes.
type application struct {
	HTTP    *httpSection           `cfg:"http"`
	Server  Server                 `cfg:"server"`
	KV      map[string]*kvSection  `cfg:"kv"`
	Service map[string]serviceUnit `cfg:"service"`
	Misc    misc                   `cfg:"misc"`
	Version string                 `cfg:"version"`
	Skipped int
	Hidden  int `cfg:"-"`
}

type httpSection struct {
	Address    string   `cfg:"address"`
	AccessLogs bool     `cfg:"access_logs"`
	MaxRequest uint64   `cfg:"max_request_size"`
	Middleware []string `cfg:"middleware"`
	Pool       pool     `cfg:"pool"`
	Static     *static  `cfg:"static"`
}

type pool struct {
	limits          `cfg:",squash"`
	NumWorkers      uint64        `cfg:"num_workers"`
	MaxJobs         uint8         `cfg:"max_jobs"`
	AllocateTimeout time.Duration `cfg:"allocate_timeout"`
	Command         []string      `cfg:"command"`
	Supervisor      *supervisor   `cfg:"supervisor"`
}

type limits struct {
	MemoryMax int64 `cfg:"memory_max,size"`
}

type supervisor struct {
	TTL time.Duration `cfg:"ttl"`
}

type static struct {
	Dir string `cfg:"dir"`
}

type kvSection struct {
	Driver string         `cfg:"driver"`
	Config map[string]any `cfg:"config"`
}

type serviceUnit struct {
	Command string         `cfg:"command"`
	Rest    map[string]any `cfg:",remain"`
}

type misc struct {
	Any     any            `cfg:"any"`
	Float   float32        `cfg:"float"`
	Int     int            `cfg:"int"`
	Small   int8           `cfg:"small"`
	Numbers []int          `cfg:"numbers"`
	Address netip.Addr     `cfg:"address"`
	Bool    bool           `cfg:"bool"`
	Pointer *int           `cfg:"pointer"`
	Old     any            `cfg:"old,ignored"`
	Counts  map[string]int `cfg:"counts"`
}

func TestDecode(t *testing.T) {
	for _, file := range cases(t, "testdata/decode") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tree, err := Load(caseOptions(t, file))
			if err != nil {
				t.Fatal(err)
			}
			var app application
			err = tree.Decode("", &app)
			checkGolden(t, file, report(tree, app, err))
		})
	}
}

// load makes a tree of a text.
func load(t testing.TB, text string, overrides ...string) *Tree {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.yaml")
	if err := os.WriteFile(file, []byte("version: \"3\"\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := Load(Options{File: file, Overrides: overrides, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestDecodeKeepsDefaults(t *testing.T) {
	tree := load(t, "http: {address: ':80', static: , pool: {num_workers: ~}}")
	http := httpSection{Address: ":1", Pool: pool{NumWorkers: 7}}
	if err := tree.Decode("HTTP", &http); err != nil {
		t.Fatal(err)
	}
	if want := (httpSection{Address: ":80", Pool: pool{NumWorkers: 7}}); !reflect.DeepEqual(http, want) {
		t.Errorf("got %+v, want %+v", http, want)
	}
	if err := tree.Decode("nothing.here", &http); err != nil {
		t.Errorf("an absent section gave %v", err)
	}
}

func TestDecodeSubsection(t *testing.T) {
	tree := load(t, "kv: {users: {driver: memory, config: {dri: 1}}}")
	var section kvSection
	err := tree.Decode("kv.users.config", &section)
	var one *Error
	if !errors.As(err, &one) || one.Key != "kv.users.config" || one.Line != 2 || one.Value != "dri" {
		t.Errorf("got %#v", one)
	}
	if one.Fix != `did you mean "driver"?` {
		t.Errorf("fix: %s", one.Fix)
	}
}

func TestHas(t *testing.T) {
	tree := load(t, "rpc:\nkv: {}\nhttp: {pool: {debug: true}, ssl: ~}")
	for path, want := range map[string]bool{"rpc": false, "kv": true, "http.pool.debug": true, "HTTP": true, "http.ssl": false, "http.pool.debug.x": false, "tcp": false, "": true} {
		if got := tree.Has(path); got != want {
			t.Errorf("Has(%q) = %v", path, got)
		}
	}
	if got := tree.Keys(""); !reflect.DeepEqual(got, []string{"version", "kv", "http"}) {
		t.Errorf("Keys: %v", got)
	}
}

func TestUnknownSections(t *testing.T) {
	text := "htpp: {}\nhttp: {}\ntemporal: {}\nreload: {}\nfoo: {}"
	tree := load(t, text)
	got := strings.ReplaceAll(tree.Unknown("http", "rpc").Error(), tree.Files()[0], "FILE")
	want := `cannot read FILE: line 2: unknown section "htpp"; did you mean "http"?
cannot read FILE: line 4: section "temporal" is not supported by this version; remove it
cannot read FILE: line 5: section "reload" does not exist any more; use ` + "`systemctl reload` or `rrctl reload`" + `
cannot read FILE: line 6: unknown section "foo"; known keys: envfile, http, include, rpc, version`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	tree.lenient = true
	if err := tree.Unknown("http"); err != nil || len(tree.Warnings()) != 4 {
		t.Errorf("lenient: %v, %d warnings", err, len(tree.Warnings()))
	}
}

func TestLocate(t *testing.T) {
	tree := load(t, "server:\n  command: ''\n  relay: pipe\nrpc: {}", "rpc.listen=127.0.0.1:6001")
	var server Server
	var rpc RPC
	if err := errors.Join(tree.Decode("server", &server), tree.Decode("rpc", &rpc)); err != nil {
		t.Fatal(err)
	}
	server.Defaults()
	rpc.Defaults()
	got := fmt.Sprint(tree.Locate(server.Validate()), "\n", tree.Locate(rpc.Validate()), "\n", tree.At("server.env", errors.New("bad")))
	got = strings.ReplaceAll(got, tree.Files()[0], "FILE")
	want := `cannot read FILE: line 3: server.command: command should not be empty; write for example command: "php worker.php"
cannot read FILE: line 4: server.relay: invalid DSN (tcp://:6001, unix://file.sock); write pipes, tcp://127.0.0.1:7000 or unix:///run/relay.sock
cannot use -o rpc.listen=127.0.0.1:6001: rpc.listen: invalid socket DSN (tcp://:6001, unix://file.sock); write tcp://127.0.0.1:6001
cannot read FILE: line 2: server.env: bad`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = strings.ReplaceAll(tree.Locate(fmt.Errorf("cannot set up: %w", keyed{})).Error(), tree.Files()[0], "FILE")
	if want := "cannot read FILE: line 4: server.relay: it is odd; change it"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if tree.At("server", nil) != nil || tree.Locate(nil) != nil {
		t.Error("nil became an error")
	}
}

type keyed struct{}

func (keyed) Error() string { return "odd" }
func (keyed) ConfigError() (key, problem, fix string) {
	return "server.relay", "it is odd", "change it"
}

func TestErrorChain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("http: {}"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Options{File: file})
	var one *Error
	if !errors.Is(err, ErrNoVersion) || !errors.As(err, &one) || one.Problem != "rr configuration file should contain a version e.g: version: 3" {
		t.Errorf("got %v", err)
	}
	_, err = Load(Options{File: "none.yaml", WorkDir: filepath.Dir(file)})
	var path *os.PathError
	if !errors.As(err, &path) || path.Error() != "open "+filepath.Dir(file)+"/none.yaml: no such file or directory" {
		t.Errorf("got %v", err)
	}
	_, err = Load(Options{File: filepath.Base(file), WorkDir: filepath.Dir(file), Dotenv: "none.env"})
	if !errors.As(err, &path) || path.Path != filepath.Join(filepath.Dir(file), "none.env") {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"num_workers", "max_jobs", "ttl", "idle_ttl", "debug"}
	for name, want := range map[string]string{"num_worker": "num_workers", "numworkers": "num_workers", "num-workers": "num_workers", "tll": "ttl", "dbug": "debug", "something": "", "x": ""} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "17B": 17, "1K": 1024, "1k": 1024, "1KB": 1024, "1KiB": 1024, "1.5M": 3 << 19, "2 G": 2 << 30, "1T": 1 << 40} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1X", "1KK", "1IB", "9999999999G", "1e30", "NaN", "K", "1 2"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
}
