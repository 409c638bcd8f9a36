package daemon

import (
	"strings"
	"testing"
)

const routed = `
version: "3"
server:
  command: "php worker.php"
rpc:
  listen: unix://rpc.sock
http:
  address: unix://http.sock
  pool:
    num_workers: 1
  pools:
    slow:
      num_workers: 1
  routes:
    - match: {path: [/slow, /env]}
      pool: slow
`

// A pool of its own keeps slow requests from the others; it is listed, reset and
// changed like any other, and a reload sends other requests to it.
func TestRoutes(t *testing.T) {
	a := newSite(t, routed)
	a.serve()
	slow := a.async("/slow")
	a.await("slow")
	main := a.get("/pid") // http.pool is free
	if main == "" {
		t.Error("no pid")
	}
	a.write("go", "")
	if r := <-slow; r.err != nil {
		t.Error(r.err)
	}
	if env := a.get("/env"); !strings.Contains(env, `"RR_POOL":"http.slow"`) || !strings.Contains(env, `"RR_MODE":"http"`) {
		t.Errorf("%s", env)
	}
	if code, out := a.ctl("workers"); code != 0 || !strings.Contains(out, "http.slow") {
		t.Errorf("exit status %d: %s", code, out)
	}
	if code, out := a.ctl("reset", "http.slow"); code != 0 {
		t.Errorf("reset: exit status %d: %s", code, out)
	}
	if got := a.get("/pid"); got != main {
		t.Errorf("the reset of http.slow has replaced the worker %s of http by %s", main, got)
	}

	a.change("app.yaml", "[/slow, /env]", "/pid")
	if out := a.reload(); strings.Contains(out, "restart") {
		t.Errorf("%s", out)
	}
	if env := a.get("/env"); strings.Contains(env, "RR_POOL") {
		t.Errorf("the old route is used: %s", env)
	}
	a.change("app.yaml", "pool: slow", "pool: sluggish")
	a.refused("version one", `unknown pool "sluggish"`, "write one of http.pools (slow)", "app.yaml:")
	a.change("app.yaml", "    slow:", "    sluggish:\n      num_workers: 1\n    slow:")
	a.refused("version one", `the pool "sluggish" is new`, "restart the instance")
	a.change("app.yaml", "pool: sluggish", "pool: slow")
	if out := a.reload(); !strings.Contains(out, "http.pools.sluggish") {
		t.Errorf("the new pool does not need a restart: %s", out)
	}
	a.stop()
}
