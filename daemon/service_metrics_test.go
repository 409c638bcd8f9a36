package daemon

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/metrics"
)

const withMetrics = plain + `
metrics:
  address: unix://metrics.sock
  collect:
    orders: {type: counter, help: Orders., labels: [kind]}
    took: {type: summary, objectives: {0.5: 0.05, 0.99: 0.001}}
`

// page gets a page of a side server.
func (a *site) page(socket, path string) (int, string) {
	a.t.Helper()
	client := &http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(a.dir, socket))
		},
	}}
	r, err := client.Get("http://app" + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		a.t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return r.StatusCode, body
}

func (a *site) call(method string, arg any) {
	a.t.Helper()
	c, err := wire.Dial(a.t.Context(), "unix://"+filepath.Join(a.dir, "rpc.sock"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Call(a.t.Context(), method, wire.Msgpack, arg, new(bool)); err != nil {
		a.t.Fatal(err)
	}
}

// has waits until the metrics page has a line.
func (a *site) hasMetric(line string) {
	a.t.Helper()
	await(a.t, "the page has "+line, func() bool {
		_, page := a.page("metrics.sock", "/metrics")
		return strings.Contains(page, "\n"+line+"\n")
	})
}

func TestMetrics(t *testing.T) {
	a := newSite(t, withMetrics)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	pid, err := strconv.Atoi(a.get("/pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`rrd_worker_exits_total{cause="signal",pool="http"} 1`, "rr_http_total_workers 1", "rr_http_workers_ready 1",
		`rrd_state{state="ready"} 1`, `rrd_pool_queue_wait_seconds_bucket{pool="http",le="+Inf"} 1`, `rrd_pool_workers_target{pool="http"} 1`,
		"took_count 0",
	} {
		a.hasMetric(line)
	}
	if out := a.reload(); !strings.Contains(out, "http") {
		t.Error(out)
	}
	a.hasMetric(`rrd_pool_reloads_total{pool="http",result="ok"} 1`)

	// What applications count survives the restart.
	a.call("metrics.Add", &metrics.Metric{Name: "orders", Value: 2, Labels: []string{"book"}})
	a.call("metrics.Observe", &metrics.Metric{Name: "took", Value: 2})
	a.call("metrics.Declare", &metrics.NamedCollector{Name: "own", Collector: metrics.Collector{Type: "gauge", Help: "h", Namespace: "n"}})
	a.call("metrics.Set", &metrics.Metric{Name: "own", Value: -7})
	a.stop()
	a.unit(m, nil)
	for _, line := range []string{`orders{kind="book"} 2`, "n_own -7", "took_sum 2", "took_count 1"} {
		a.hasMetric(line)
	}
	// A stop by systemd empties its store: nothing comes back.
	a.stop()
	m.empty()
	a.unit(m, nil)
	if _, page := a.page("metrics.sock", "/"); strings.Contains(page, "n_own") || strings.Contains(page, "book") {
		t.Error("values are back after a stop")
	}
	a.stop()
	if _, err := os.Lstat(filepath.Join(a.dir, "metrics.sock")); err != nil {
		t.Error("the socket that systemd keeps has lost its file")
	}
}

// The page is there until the process ends, after the pools are gone.
func TestMetricsDuringTheDrain(t *testing.T) {
	a := newSite(t, withMetrics)
	a.serve()
	answer := a.async("/slow")
	a.await("slow")
	a.signal(syscall.SIGTERM)
	a.hasMetric(`rrd_state{state="draining"} 1`)
	a.write("go", "")
	if got := <-answer; got.err != nil {
		t.Error(got.err)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Lstat(filepath.Join(a.dir, "metrics.sock")); err == nil {
		t.Error("the socket is left")
	}
}

func TestMetricsConfig(t *testing.T) {
	for config, want := range map[string]string{
		"metrics: {collect: {x: {type: nope}}}": "line 11: metrics.collect.x: invalid metric type `nope` for `x`; write counter, gauge, histogram or summary",
		"metrics: {address: nowhere}":           `metrics.address: "nowhere" is no address; write host:port`,
		"metrics: {address: 'unix://m.sock', collect: {x: {type: gauge}, y_x: {type: gauge}, z: {type: gauge, namespace: y, labels: x}}}": "",
		"metrics: {address: 'unix://m.sock', collect: {rrd_state: {type: gauge}}}":                                                        "metrics.collect.rrd_state: ",
	} {
		a := newSite(t, plain+config)
		if want == "" {
			a.serve()
			a.stop()
			continue
		}
		a.start()
		if code := a.wait(); code != 1 || !a.output.has(want) {
			t.Errorf("%s: exit status %d, no %q in\n%s", config, code, want, a.output)
		}
	}
}
