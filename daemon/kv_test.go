package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/kv/kvv1"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/kv/redis"
)

const kvOnly = `
version: "3"
rpc: {listen: unix://rpc.sock}
kv:
  cache: {driver: memory, config: {}}
  small: {driver: memory, config: {max_memory: 64K}}
  file: {driver: boltdb, config: {file: kv.db, permissions: "0600"}}
`

// kv calls a method of a site.
func (a *site) kv(method, storage string, items ...*kvv1.Item) *kvv1.Response {
	a.t.Helper()
	c, err := rpc.Dial(a.t.Context(), "unix://"+filepath.Join(a.dir, "rpc.sock"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	out := new(kvv1.Response)
	if err := c.Call(a.t.Context(), "kv."+method, rpc.Proto, &kvv1.Request{Storage: storage, Items: items}, out); err != nil {
		a.t.Fatalf("kv.%s: %v", method, err)
	}
	return out
}

// 100,000 keys survive a restart, each with its value and its time, which goes on
// to count: to the millisecond, the first key that is left is the first whose time
// is not over.
func TestKVSurvivesRestart(t *testing.T) {
	a := newSite(t, kvOnly)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	const n, batch = 100_000, 5_000
	begin := time.Now().Truncate(time.Millisecond)
	end := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Millisecond) } // some are over now, the last in 100 s
	items := make([]*kvv1.Item, n)
	for i := range items {
		items[i] = &kvv1.Item{Key: fmt.Sprintf("key-%06d", i), Value: fmt.Appendf(nil, "value %d", i), Timeout: end(i).UTC().Format(time.RFC3339Nano)}
	}
	for part := range slices.Chunk(items, batch) {
		a.kv("Set", "cache", part...)
	}
	a.kv("Set", "cache", &kvv1.Item{Key: "ever", Value: []byte("stays")})
	a.kv("Set", "small", items[n-100:]...)
	a.kv("Set", "file", items[n-1])
	a.stop()
	if !slices.Contains(m.stored(), stateName("kv")) {
		t.Fatalf("stored are %q", m.stored())
	}
	a.unit(m, nil)

	// While keys end one by one: a key may be missing only if its time was over
	// when the answer came, and be there only if it was not when the call began.
	var left int
	for part := range slices.Chunk(items, batch) {
		before := time.Now()
		got := a.kv("MGet", "cache", part...)
		after := time.Now()
		left += len(got.Items)
		there := map[string]string{}
		for _, item := range got.Items {
			there[item.Key] = string(item.Value)
		}
		for _, item := range part {
			at, _ := time.Parse(time.RFC3339Nano, item.Timeout)
			value, ok := there[item.Key]
			if ok && (value != string(item.Value) || before.After(at)) || !ok && after.Before(at) {
				t.Fatalf("%s of %s: there %t with %q, asked between %s and %s", item.Key, item.Timeout, ok, value, before, after)
			}
		}
	}
	if left == 0 || left == n {
		t.Errorf("%d keys are left: the test was too slow or too fast to tell", left)
	}
	for _, item := range a.kv("TTL", "cache", items[n-batch:]...).Items {
		var i int
		if _, err := fmt.Sscanf(item.Key, "key-%d", &i); err != nil || item.Timeout != items[i].Timeout {
			t.Fatalf("%s has %s, was %s, %v", item.Key, item.Timeout, items[i].Timeout, err)
		}
	}
	if got := a.kv("MGet", "cache", &kvv1.Item{Key: "ever"}); len(got.Items) != 1 || string(got.Items[0].Value) != "stays" {
		t.Errorf("ever: %v", got)
	}
	if got := a.kv("Has", "small", items[n-100:]...); len(got.Items) != 100 {
		t.Errorf("small has %d keys", len(got.Items))
	}
	if got := a.kv("TTL", "file", items[n-1]); len(got.Items) != 1 || got.Items[0].Timeout != items[n-1].Timeout {
		t.Errorf("file: %v", got)
	}

	// After a crash nothing comes back that was handed over before.
	_ = a.cmd.Process.Signal(syscall.SIGKILL)
	<-a.exited
	a.unit(m, nil)
	if got := a.kv("Has", "cache", &kvv1.Item{Key: "ever"}); len(got.Items) != 0 {
		t.Error("a key came back after a crash")
	}

	// A storage that is gone from the configuration takes its keys along, and the
	// others keep theirs.
	a.kv("Set", "cache", &kvv1.Item{Key: "kept"})
	a.kv("Set", "small", &kvv1.Item{Key: "kept"})
	a.stop()
	a.change("app.yaml", "cache:", "other:")
	a.unit(m, nil)
	if got := a.kv("Has", "small", &kvv1.Item{Key: "kept"}); len(got.Items) != 1 {
		t.Error("the key of a storage that stayed is gone")
	}
	if got := a.kv("Has", "other", &kvv1.Item{Key: "kept"}); len(got.Items) != 0 {
		t.Error("a key is in another storage")
	}
	a.stop()
}

func TestKVState(t *testing.T) {
	k := &kvStorages{log: slog.New(slog.DiscardHandler), memory: []namedMemory{{"a", memory.New(memory.Config{})}}}
	// Whatever was saved, the daemon starts.
	for _, saved := range []string{"", "\x01", "\x01a", "\x01a\x05", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x04gone\x00\x01a\x00"} {
		k.load([]byte(saved))
	}
}

func TestKVSettings(t *testing.T) {
	s := decoded(t, `
version: "3"
kv:
  Mixed: {driver: memory, config: {interval: 60}}
  bare: {driver: memory}
  file: {driver: boltdb}
  redis: {driver: redis}
  one: {driver: memcached, config: {addr: "127.0.0.1:11211"}}
  nothing:
  flat: 5
  odd: {driver: nope, config: {}}
redis:
  addrs: ["127.0.0.1:6380"]
  tls: {}
`)
	var names []string
	for _, c := range s.modules["kv"].(*kvSettings).storages {
		names = append(names, c.name)
		if r, ok := c.config.(*redis.Config); ok && (r.Addrs[0] != "127.0.0.1:6380" || r.TLS == nil || r.ReadTimeout != 3*time.Second) {
			t.Errorf("%+v", r)
		}
	}
	if want := []string{"mixed", "bare", "file", "redis", "one"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	var warnings []string
	for _, w := range s.tree.Warnings() {
		warnings = append(warnings, w.String())
	}
	text := strings.Join(warnings, "\n")
	for _, want := range []string{"kv.mixed.config.interval: has no effect", "kv.flat: the storage is left out", `kv.odd.driver: the storage is left out: there is no driver "nope"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no warning %q in\n%s", want, text)
		}
	}
	if len(warnings) != 3 {
		t.Errorf("%d warnings:\n%s", len(warnings), text)
	}
}

func TestKVMistakes(t *testing.T) {
	const roadRunner = "handle_serve_command: Function call error:\n\tserve error from the plugin *kv.Plugin stopping execution, error: kv_plugin_serve:"
	for _, c := range []struct{ kv, want, roadRunner string }{
		{"st: {config: {}}", "line 3: kv.st: could not find mandatory driver field in the st storage", roadRunner + " could not find mandatory driver field in the st storage"},
		{"st: {driver: redis}", "kv.st: the storage has no options; add config: {}", roadRunner + "\n\tredis_plugin_provide:\n\tnew_redis_driver: config not found by provided key: "},
		{"st: {driver: memcached}", "kv.st: the storage has no options", roadRunner + "\n\tmemcachedkv_plugin_provide:\n\tnew_memcached_driver: config not found by provided key: "},
		{"st: {driver: memory, config: {max_memori: 1M}}", `unknown key "max_memori"; did you mean "max_memory"`, ""},
		{"st: {driver: memory, config: {max_memory: 5}}", "kv.st.config.max_memory: 5 bytes are too few", ""},
		{"st: {driver: boltdb, config: {permissions: 644}}", "kv.st.config.permissions: 644 is 01204", ""},
		{"st: {driver: redis, config: {db: -1, addrs: [x]}}", "kv.st.config.db: -1 is negative", ""},
		{"st: {driver: redis, config: {db: -1, addrs: [x]}}", `kv.st.config.addrs: "x" is no address`, ""},
		{"st: {driver: memory, confg: {}}", `unknown key "confg"`, ""},
	} {
		file := filepath.Join(t.TempDir(), "app.yaml")
		if err := os.WriteFile(file, []byte("version: \"3\"\nkv:\n  "+c.kv+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(config.Options{File: file})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.kv, err, c.want)
		}
		var start *StartError
		if !errors.As(err, &start) {
			t.Fatalf("%s: %v is no StartError", c.kv, err)
		}
		if c.roadRunner != "" && start.RoadRunner() != c.roadRunner {
			t.Errorf("%s: RoadRunner's text is %q, want %q", c.kv, start.RoadRunner(), c.roadRunner)
		}
	}
}

// A store that cannot be opened stops the start; one that cannot be reached is a
// warning.
func TestKVStart(t *testing.T) {
	a := newSite(t, strings.Replace(kvOnly, "file: kv.db", "file: gone/kv.db", 1))
	a.start()
	<-a.exited
	if out := a.output.String(); !strings.Contains(out, "kv.file") || !strings.Contains(out, "cannot open gone/kv.db") {
		t.Errorf("it said %s", out)
	}

	a.write("app.yaml", kvOnly+"  far: {driver: redis, config: {addrs: [\"127.0.0.1:1\"], max_retries: -1}}\n  cold: {driver: memcached, config: {addr: [\"127.0.0.1:1\"]}}\n")
	a.start()
	await(t, "warnings of both", func() bool {
		out := a.output.String()
		return strings.Count(out, "the store of a kv storage cannot be reached") == 2 && strings.Contains(out, "far") && strings.Contains(out, "cold")
	})
	a.stop()
}
