package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/daemon/config"
)

func decoded(t *testing.T, text string) *settings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNeedRestart(t *testing.T) {
	const before = `
version: "3"
server: {command: php a.php, env: {A: "1"}}
http: {address: ":8080", pool: {num_workers: 2, debug: false}}
rpc: {listen: "tcp://127.0.0.1:6001"}
endure: {grace_period: 10s}
kv: {a: {driver: memory, config: {}}, cache: {driver: redis}}
cache: {db: 1}
`
	after := strings.NewReplacer("a.php", "b.php", `A: "1"`, "B: x", "num_workers: 2", "max_jobs: 5", "debug: false", "debug: true",
		"6001", "6002", "10s", "20s, watchdog_sec: 5", "memory", "boltdb", "db: 1", "db: 2", ":8080", ":8081").Replace(before) + "logs: {level: error}\n"
	got := needRestart(decoded(t, before), decoded(t, after))
	want := []string{"cache.db", "endure.watchdog_sec", "http.address", "http.pool.debug", "kv.a.driver", "rpc.listen"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWarnings(t *testing.T) {
	s := decoded(t, `
version: "3"
server: {command: php a.php, relay_timeout: 10s}
http: {address: ":8080", middleware: [nonsense, gzip, gzip]}
logs: {channels: {http: {mode: shiny}}}
endure: {print_graph: true}
jobs: {}
`)
	var got []string
	for _, w := range s.tree.Warnings() {
		got = append(got, w.String())
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"app.yaml: line 3: server.relay_timeout: has no effect",
		`app.yaml: line 4: http.middleware: requested middleware does not exist: "nonsense"`,
		`app.yaml: line 4: http.middleware: "gzip" is listed twice`,
		`app.yaml: line 5: logs.channels.http.mode: "shiny" is no mode`,
		"app.yaml: line 6: endure.print_graph: has no effect",
		"app.yaml: line 7: jobs: section is not served",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no warning %q in\n%s", want, text)
		}
	}
	if len(got) != 6 {
		t.Fatalf("%d warnings:\n%s", len(got), text)
	}
	for i, w := range s.tree.Warnings() {
		if w.Line != []int{3, 4, 4, 5, 6, 7}[i] {
			t.Errorf("warning %d is about line %d", i, w.Line)
		}
	}
}

// FuzzSettings decodes any file into all sections: no panic, and every mistake
// has a text in both forms.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		plain,
		"version: \"3\"\nserver: {command: [php, a.php], env: [{A: b}], on_init: {command: a, exec_timeout: -1s}, relay: x}\n",
		"version: \"3\"\nhttp: {ssl: {}, middleware: gzip, pool: {supervisor: {ttl: 5}, dynamic_allocator: {max_workers: -1}}}\n",
		"version: \"3\"\nlogs: {level: x, channels: {a: {output: [\"\"]}, b: null}}\nendure: {grace_period: -1}\nrpc: {listen: a}\n",
		"version: 3\n", "{}", "", "version: \"3\"\nhttp: []\nserver: 5\nlogs: a\nrpc: null\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") {
			return // it would read other files of this machine
		}
		file := filepath.Join(t.TempDir(), "app.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := load(config.Options{File: file, Environ: []string{"A=a"}})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("empty error text")
			}
			var start *StartError
			if !errors.As(err, &start) || !strings.HasPrefix(start.RoadRunner(), "handle_serve_command:") {
				t.Errorf("no text of RoadRunner for %v", err)
			}
			return
		}
		if s.http != nil && len(s.server.Command) == 0 {
			t.Error("a pool without a command was accepted")
		}
		if needs := needRestart(s, s); len(needs) > 0 {
			t.Errorf("settings differ from themselves in %q", needs)
		}
		s.rpcListen(false)
	})
}

// A check of the configuration finds what middleware would refuse at the start,
// and leaves no file behind.
func TestCheckConfigOfMiddleware(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	check := func(name, section string) error {
		s := decoded(t, "version: \"3\"\nserver: {command: php a.php}\nhttp:\n  address: \":8080\"\n  middleware: ["+name+"]\n"+section)
		return CheckConfig(s.tree)
	}
	for name, want := range map[string]struct{ section, err string }{
		"static":     {"  static: {dir: /none}\n", "line 6: http.static.dir: "},
		"rate_limit": {"", "http.rate_limit.requests: "},
		"basic_auth": {"", "http.basic_auth.file: "},
	} {
		if err := check(name, want.section); err == nil || !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %v, want %q", name, err, want.err)
		}
	}
	if err := check("access_log", "  access_log: {file: "+log+"}\n"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the check made the access log: %v", err)
	}
}

// Workers learn where X-Sendfile may point, only if somebody listens to it.
func TestSendfileEnv(t *testing.T) {
	dir := t.TempDir()
	for keys, want := range map[string]string{
		``:                         "",
		`, middleware: [gzip]`:     "",
		`, middleware: [sendfile]`: "RR_SENDFILE=" + dir,
		`, middleware: [gzip, sendfile], sendfile: {roots: [/usr, /var/../etc]}`: "RR_SENDFILE=/usr:/etc",
	} {
		s := decoded(t, "version: \"3\"\nserver: {command: /bin/true, dir: "+dir+"}\nhttp: {address: 127.0.0.1:0"+keys+"}\n")
		spec, err := s.specHTTP("http.pool", s.http.Pool, wiring{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, entry := range spec.Env {
			if strings.HasPrefix(entry, "RR_SENDFILE=") {
				got = entry
			}
		}
		if got != want {
			t.Errorf("http with %q: %q, want %q", keys, got, want)
		}
	}
}
