package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/lockpb"
	"github.com/rr-systemd/rrd/tests/brokers"
)

// locker calls lock.* of a site on a connection of its own.
func (a *site) locker() func(method, resource, id string, wait time.Duration) (bool, error) {
	a.t.Helper()
	c, err := rpc.Dial(a.t.Context(), "unix://"+filepath.Join(a.dir, "rpc.sock"))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.Close() })
	return func(method, resource, id string, wait time.Duration) (bool, error) {
		micros := wait.Microseconds()
		var reply lockpb.Response
		err := c.Call(a.t.Context(), "lock."+method, rpc.Proto, &lockpb.Request{Resource: resource, Id: id, Wait: &micros}, &reply)
		return reply.Ok, err
	}
}

const locksOnly = `
version: "3"
rpc:
  listen: unix://rpc.sock
`

// TestLocksSurviveRestart: those that are held stay so; who waits is told to come
// again, at once and not after its wait.
func TestLocksSurviveRestart(t *testing.T) {
	a := newSite(t, locksOnly)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	call := a.locker()
	for _, step := range [][3]string{{"Lock", "written", "a"}, {"LockRead", "read", "a"}, {"LockRead", "read", "b"}} {
		if ok, err := call(step[0], step[1], step[2], 0); !ok || err != nil {
			t.Fatal(step, ok, err)
		}
	}
	told := make(chan error, 1)
	go func() {
		_, err := call("Lock", "written", "waiting", time.Hour)
		told <- err
	}()
	list := func() (list []lock.Resource) {
		arg := true
		c, err := rpc.Dial(t.Context(), "unix://"+filepath.Join(a.dir, "rpc.sock"))
		if err == nil {
			err = c.Call(t.Context(), "lock.List", rpc.JSON, &arg, &list)
			_ = c.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	await(t, "it waits", func() bool { return slices.ContainsFunc(list(), func(r lock.Resource) bool { return r.Waiting == 1 }) })
	before := list()
	begin := time.Now()
	a.stop()
	if err := <-told; err == nil || err.Error() != lock.ErrStopping.Error() {
		t.Errorf("who waited was told %v", err)
	}
	if !slices.Contains(m.stored(), stateName("lock")) {
		t.Fatalf("stored are %q", m.stored())
	}
	a.unit(m, nil)
	after := list()
	took := time.Since(begin).Seconds()
	if len(after) != 2 || after[0].Name != "read" || len(after[0].Holders) != 2 || after[1].Name != "written" || after[1].Holders[0].ID != "a" {
		t.Fatalf("%+v", after)
	}
	was, is := before[1].Holders[0], after[1].Holders[0]
	if lost := was.TTL - is.TTL; lost < 0 || lost > took+1 || was.Token != is.Token {
		t.Errorf("%+v became %+v in %v s", was, is, took)
	}
	call = a.locker()
	if ok, err := call("Lock", "written", "late", 0); ok || err != nil {
		t.Error("the lock is not held any more", err)
	}
	if ok, err := call("Release", "written", "a", 0); !ok || err != nil {
		t.Error("its holder cannot release it", ok, err)
	}
	// A crash saves nothing, and what was saved before does not come back.
	if slices.Contains(m.stored(), stateName("lock")) {
		t.Errorf("stored are %q", m.stored())
	}
	a.stop()
}

// TestLocksAloneServeNothing: they are there without a section, so a file
// without anything is still a mistake.
func TestLocksAloneServeNothing(t *testing.T) {
	a := newSite(t, "version: \"3\"\n")
	a.start()
	if code := a.wait(); code == 0 || !strings.Contains(a.output.String(), "nothing to serve") {
		t.Errorf("exit status %d", code)
	}
}

// TestLocksInRedis: two daemons share them, and a restart of one keeps those that
// have no time to live.
func TestLocksInRedis(t *testing.T) {
	server := brokers.Redis(t)
	conf := locksOnly + "lock: {driver: redis, config: {addrs: [\"" + server.Addr + "\"]}}\n"
	a, b := newSite(t, conf), newSite(t, conf)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	b.unit(newManager(t, filepath.Join(b.dir, "notify")), nil)
	onA, onB := a.locker(), b.locker()
	if ok, err := onA("Lock", "r", "a", 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := onB("Lock", "r", "b", 0); ok || err != nil {
		t.Error("both have it", err)
	}
	if code, out := b.ctl("locks"); code != 0 || !strings.Contains(out, "r") || !strings.Contains(out, "write") {
		t.Errorf("rrctl locks: %d %s", code, out)
	}
	a.stop()
	if !slices.Contains(m.stored(), stateName("lock")) {
		t.Fatalf("stored are %q", m.stored())
	}
	a.unit(m, nil)
	a.awaitOutput("locks are taken over from before the restart")
	got := make(chan bool, 1)
	go func() {
		ok, err := onB("Lock", "r", "b", time.Hour)
		got <- ok && err == nil
	}()
	onA = a.locker()
	await(t, "b waits", func() bool {
		_, out := a.ctl("locks", "--json")
		return strings.Contains(strings.ReplaceAll(out, " ", ""), `"waiting":1`)
	})
	if ok, err := onA("Release", "r", "a", 0); !ok || err != nil {
		t.Error(ok, err)
	}
	if !<-got {
		t.Error("b did not get it")
	}
	server.Kill()
	if ok, err := onA("Lock", "free", "a", 0); ok || err == nil || !strings.Contains(err.Error(), "the lock store cannot be used") {
		t.Error(ok, err)
	}
	a.stop()
	b.stop()
}

func TestLockMistakes(t *testing.T) {
	for section, want := range map[string]string{
		"{driver: etcd}":                                "line 2: lock.driver: there is no such driver; write memory or redis",
		"{drver: redis}":                                `unknown key "drver"`,
		"{config: {addrs: [\"a:1\"]}}":                  "lock.config.addrs: the driver memory has no options",
		"{driver: redis, config: {adr: x}}":             `unknown key "adr"`,
		"{driver: redis, config: {db: -1}}":             "lock.config.db: -1 is negative",
		"{driver: redis, config: {tls: {cert: x.pem}}}": "lock.config.tls: cert and key belong together",
	} {
		file := filepath.Join(t.TempDir(), "app.yaml")
		if err := os.WriteFile(file, []byte("version: \"3\"\nlock: "+section+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(config.Options{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}
