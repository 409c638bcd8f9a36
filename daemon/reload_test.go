package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/control"
)

// reload runs `rrctl reload` and wants it to succeed.
func (a *site) reload() string {
	a.t.Helper()
	code, out := a.ctl("reload")
	if code != 0 {
		a.t.Fatalf("rrctl reload: exit status %d: %s", code, out)
	}
	return out
}

// refused runs `rrctl reload` and wants it to fail with the texts, while the
// version that ran before goes on serving.
func (a *site) refused(version string, want ...string) {
	a.t.Helper()
	code, out := a.ctl("reload")
	if code != 1 {
		a.t.Errorf("rrctl reload: exit status %d, want 1", code)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			a.t.Errorf("rrctl reload: no %q in\n%s", text, out)
		}
	}
	if got := a.get("/"); got != version {
		a.t.Errorf("%q is served, want %q", got, version)
	}
}

// workers counts those that are ready or working.
func (a *site) workers() (n int) {
	a.t.Helper()
	var list []control.Worker
	_, out := a.ctl("workers", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		a.t.Fatalf("%v: %s", err, out)
	}
	for _, w := range list {
		if w.State == "ready" || w.State == "working" {
			n++
		}
	}
	return n
}

func TestReloadCode(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	a.change("worker.php", "version one", "version two")
	if got := a.get("/"); got != "version one" {
		t.Errorf("%q before the reload", got)
	}
	a.reload()
	if got := a.get("/"); got != "version two" {
		t.Errorf("%q after the reload", got)
	}
	a.change("worker.php", "(new HttpWorker", "no_such_function(); (new HttpWorker")
	a.refused("version two", "no_such_function", "php worker.php", "exit status 255", "http: failed, generation 2 goes on serving")
	if n := strings.Count(a.output.String(), "reload failed"); n != 1 || a.output.has("needs_restart") {
		t.Errorf("%d records of one failed reload, or an empty needs_restart", n)
	}
	if _, out := a.ctl("status"); !strings.Contains(out, "ready since") {
		t.Errorf("status after a failed reload: %s", out)
	}
	a.change("worker.php", "no_such_function(); ", "")
	for i, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR2} {
		next := []string{"version three", "version four"}[i]
		a.change("worker.php", []string{"version two", "version three"}[i], next)
		a.signal(s)
		await(t, "the new version is served after "+s.String(), func() bool { return a.get("/") == next })
	}
	a.stop()
}

// A request that runs during a reload is answered by the worker that has it.
func TestReloadKeepsRunningRequest(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	answer := a.async("/slow")
	a.await("slow")
	before := a.workers()
	a.reload()
	if got := a.get("/"); got != "version one" {
		t.Errorf("got %q", got)
	}
	if n := a.workers(); n != before+1 {
		t.Errorf("%d workers, want the old and the new one", n)
	}
	a.write("go", "")
	if got := <-answer; got.body != "slow answer" || got.err != nil {
		t.Errorf("%+v", got)
	}
	a.stop()
}

// server.dir is a link to the release; each generation follows it anew.
func TestReloadRelease(t *testing.T) {
	a := newSite(t, strings.Replace(plain, "command:", "dir: current\n  command:", 1))
	worker, err := os.ReadFile("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	link := func(release string) {
		next := filepath.Join(a.dir, "next")
		if err := os.Symlink("releases/"+release, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(a.dir, "current")); err != nil {
			t.Fatal(err)
		}
	}
	for _, release := range []string{"1", "2"} {
		if err := os.MkdirAll(filepath.Join(a.dir, "releases", release), 0o755); err != nil {
			t.Fatal(err)
		}
		a.write("releases/"+release+"/worker.php", strings.Replace(string(worker), "version one", "release "+release, 1))
	}
	link("1")
	a.serve()
	link("2")
	if got := a.get("/"); got != "release 1" {
		t.Errorf("%q before the reload", got)
	}
	a.reload()
	if got := a.get("/"); got != "release 2" {
		t.Errorf("%q after the reload", got)
	}
	if got, want := a.get("/dir"), filepath.Join(a.dir, "releases/2"); got != want {
		t.Errorf("workers run in %s, want %s", got, want)
	}
	link("3")
	a.refused("release 2", "app.yaml: line 4: server.dir", `"current"`)
	a.stop()
}

func TestReloadConfiguration(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	a.change("app.yaml", "num_workers: 1", "num_workers: 3")
	a.change("app.yaml", "unix://http.sock", "unix://other.sock")
	a.change("app.yaml", "command:", "env: {TEST_COLOUR: green}\n  command:")
	for range 2 { // the second time it still is not in force
		if out := a.reload(); !strings.Contains(out, "needs restart: http.address") || strings.Count(out, "needs restart") != 1 {
			t.Errorf("want only http.address to need a restart: %s", out)
		}
	}
	await(t, "there are 3 workers", func() bool { return a.workers() == 3 })
	if got := a.get("/env"); !strings.Contains(got, `"TEST_COLOUR":"green"`) {
		t.Errorf("no new variable in %s", got)
	}
	// Mistakes: all of them are told.
	a.change("app.yaml", "num_workers", "num_worker")
	a.change("app.yaml", "command", "comand")
	a.refused("version one", "app.yaml: line 5: server", `"comand"`, "app.yaml: line 11: http.pool", `"num_worker"`)
	a.write("app.yaml", "version: \"3\"\nrpc: {listen: \"unix://rpc.sock\"}\n")
	a.refused("version one", "http: the section is gone")
	if err := os.Remove(filepath.Join(a.dir, "app.yaml")); err != nil {
		t.Fatal(err)
	}
	a.refused("version one", "app.yaml: no such file or directory")
	a.stop()
}

// A reset takes the new code and nothing of the new configuration.
func TestReset(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	a.change("app.yaml", "num_workers: 1", "num_workers: 2")
	a.change("app.yaml", "command: ", "comand: ")
	a.change("worker.php", "version one", "version two")
	if code, out := a.ctl("reset", "http"); code != 0 {
		t.Errorf("rrctl reset: %d %s", code, out)
	}
	if got := a.get("/"); got != "version two" {
		t.Errorf("%q after the reset", got)
	}
	if n := a.workers(); n != 1 {
		t.Errorf("%d workers, want the 1 of the configuration in force", n)
	}
	a.awaitOutput("\treset\t")
	a.change("worker.php", "(new HttpWorker", "no_such_function(); (new HttpWorker")
	if code, out := a.ctl("reset"); code != 1 || !strings.Contains(out, "no_such_function") {
		t.Errorf("rrctl reset: %d %s", code, out)
	}
	a.awaitOutput("reset failed, the old workers go on serving")
	if _, out := a.ctl("status"); !strings.Contains(out, "ready since") {
		t.Errorf("status after a failed reset: %s", out)
	}
	a.stop()
}

// A reset that is asked for during a reload comes after it.
func TestResetWhileReloading(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	worker, err := os.ReadFile("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	a.write("worker.php", strings.Replace(string(worker), "(new HttpWorker", "touch('booting'); while (!file_exists('boot')) usleep(1000); (new HttpWorker", 1))
	reload, reset := make(chan int, 1), make(chan int, 1)
	go func() { code, _ := a.ctl("reload"); reload <- code }()
	a.await("booting")
	go func() { code, _ := a.ctl("reset"); reset <- code }()
	// A state is changed by the turn alone, so that the reset waits in line.
	if _, out := a.ctl("status"); !strings.Contains(out, "reloading since") {
		t.Errorf("status: %s", out)
	}
	a.write("boot", "")
	if code := <-reload; code != 0 {
		t.Errorf("rrctl reload: exit status %d", code)
	}
	if code := <-reset; code != 0 {
		t.Errorf("rrctl reset: exit status %d", code)
	}
	if out := a.output.String(); strings.Index(out, "\tresetting\t") < strings.Index(out, "\treloaded") {
		t.Error("the reset did not wait for the reload")
	}
	a.stop()
}

// A signal that comes during the start is not lost.
func TestReloadSignalWhileStarting(t *testing.T) {
	a := newSite(t, plain)
	a.change("worker.php", "(new HttpWorker", "touch('booting'); while (!file_exists('boot')) usleep(1000); (new HttpWorker")
	a.start()
	a.await("booting")
	a.signal(syscall.SIGHUP)
	a.awaitOutput("it follows the start")
	a.change("worker.php", "version one", "version two")
	a.write("boot", "")
	a.awaitOutput("\treloaded")
	if got := a.get("/"); got != "version two" {
		t.Errorf("%q is served", got)
	}
	a.stop()
}

// When one of several pools does not boot, none has changed, the outcome of each is
// told, and the settings are not in force.
func TestReloadOfOnePoolFails(t *testing.T) {
	a := newSite(t, plain+"logs: {mode: none}\n")
	a.write("broken.php", "<?php no_such_function();")
	t.Setenv("RR_PHP", filepath.Join(bin, "php"))
	s, err := load(config.Options{File: filepath.Join(a.dir, "app.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Dir = a.dir
	root, logs, err := logging.New(logging.Options{Config: s.logs})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	d := &Daemon{
		opts: Options{Config: config.Options{File: filepath.Join(a.dir, "app.yaml")}}, boot: s, settings: s,
		log: root, logs: logs, health: newHealth(), life: t.Context(), spawner: worker.NewSpawner(), cgroups: new(cgroup.Tree), rpc: new(rpcService),
	}
	defer d.spawner.Close()
	a.write("boots.php", "<?php while (true) sleep(1);")
	// The new workers of d would boot for ever, and end when b has failed.
	for _, name := range []string{"a", "b", "c", "d"} {
		f := &workers{name: name, key: "http.pool", settings: s}
		f.plan = func(next *settings) (pool.Config, worker.Spec, error) {
			script := "worker.php"
			switch name {
			case "b":
				script = "broken.php"
			case "d":
				script = "boots.php"
			}
			spec, err := s.spec("http", "http.pool", []string{"php", script}, wiring{})
			return next.http.Pool, spec, err
		}
		spec, err := s.spec("http", "http.pool", []string{"php", "worker.php"}, wiring{})
		if err != nil {
			t.Fatal(err)
		}
		if f.pool, err = pool.New(pool.Options{Name: name, Config: s.http.Pool, Spec: spec, Spawner: d.spawner, Log: root}); err != nil {
			t.Fatal(err)
		}
		if err := f.pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer f.pool.Stop(t.Context())
		d.pools = append(d.pools, f)
	}
	result, err := d.swap()
	if err != nil || len(result.Pools) != 4 || result.Err() == nil {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, p := range result.Pools {
		switch {
		case p.Name == "b" && (!strings.Contains(p.Error, "no_such_function") || p.Generation != 1 || p.Workers != 1),
			p.Name != "b" && (p.Error != "left alone, because b failed" || p.Generation != 1 || p.Workers != 1):
			t.Errorf("%+v", p)
		}
	}
	if d.current() != s || d.workers("a").settings != s || d.workers("b").settings != s || d.workers("c").settings != s {
		t.Error("the settings of a reload that failed are in force")
	}
}

const several = `
version: "3"
server:
  command: "php worker.php"
  dir: current
rpc:
  listen: unix://rpc.sock
http:
  address: unix://http.sock
  pool:
    num_workers: 1
  pools:
    quick:
      num_workers: 1
      reload: {surge: 1}
    slow:
      num_workers: 3
      reload: {surge: 1}
    third:
      num_workers: 2
  routes:
    - {match: {path: /quick}, pool: quick}
    - {match: {path: /of-slow}, pool: slow}
    - {match: {path: /third}, pool: third}
`

// Several pools have the new code together or not at all: also when one of them
// fails after others have begun to serve it.
func TestReloadOfSeveralPools(t *testing.T) {
	a := newSite(t, several)
	code, err := os.ReadFile("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	release := func(number, version, boot string) {
		if err := os.MkdirAll(filepath.Join(a.dir, "releases", number), 0o755); err != nil {
			t.Fatal(err)
		}
		code := strings.Replace(string(code), "version one", "version "+version, 1)
		a.write("releases/"+number+"/worker.php", strings.Replace(code, "(new HttpWorker", boot+" (new HttpWorker", 1))
		next := filepath.Join(a.dir, "next")
		if err := os.Symlink("releases/"+number, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(a.dir, "current")); err != nil {
			t.Fatal(err)
		}
	}
	release("1", "one", "")
	a.serve()
	serves := func(version string) {
		t.Helper()
		for _, path := range []string{"/", "/quick", "/of-slow", "/third"} {
			if got := a.get(path); got != version {
				t.Errorf("%s: %q is served, want %q", path, got, version)
			}
		}
	}
	serves("version one")
	a.change("worker.php", "version one", "version two")

	// A worker of one pool does not boot: nothing changes anywhere.
	release("2", "two", "if (getenv('RR_POOL') === 'http.third') no_such_function();")
	a.refused("version one", "no_such_function", "http: failed, generation 1 goes on serving", "left alone, because http.third failed")
	serves("version one")

	// Of http.slow two workers boot and the third does not, when http.quick has the
	// new code already: it returns.
	release("3", "three", "if (getenv('RR_POOL') === 'http.slow' && count(glob('../../booted.*')) === 2) no_such_function(); elseif (getenv('RR_POOL') === 'http.slow') touch('../../booted.' . getmypid());")
	a.refused("version one", "no_such_function", "rolled back after 2 of 3 workers", "http.quick: failed, generation 4 goes on serving",
		"returned to "+filepath.Join(a.dir, "releases/1")+", because http.slow failed", "left alone, because http.slow failed")
	serves("version one")

	release("4", "four", "")
	a.reload()
	serves("version four")
	a.stop()
}

// The file is found again although the daemon works in its folder.
func TestReloadRelativePath(t *testing.T) {
	a := newSite(t, plain)
	a.prog = []string{"sh", "-c", `cd .. && exec "$0" -c "$1"/app.yaml`, filepath.Join(bin, "rrd"), filepath.Base(a.dir)}
	a.serve()
	a.change("worker.php", "version one", "version two")
	a.reload()
	if got := a.get("/"); got != "version two" {
		t.Errorf("got %q", got)
	}
	a.stop()
}

// Calls that come at once share a reload; a stop in its middle ends it.
func TestStopWhileReloading(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	a.write("worker.php", "<?php touch('booting'); while (true) usleep(10000);")
	reloads := make(chan string, 2)
	for range cap(reloads) {
		go func() {
			_, out := a.ctl("reload")
			reloads <- out
		}()
	}
	a.await("booting")
	if got := a.get("/"); got != "version one" {
		t.Errorf("%q is served during the reload", got)
	}
	a.stop()
	for range cap(reloads) {
		if out := <-reloads; strings.Contains(out, "reloaded") {
			t.Errorf("a reload that was stopped says %s", out)
		}
	}
}
