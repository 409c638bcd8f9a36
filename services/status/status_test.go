package status_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
	"github.com/rr-systemd/rrd/services/status"
	"github.com/rr-systemd/rrd/services/status/statuspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fake struct {
	state   status.State
	plugins []status.Plugin
	jobs    []status.Job
}

func (f *fake) State() status.State                       { return f.state }
func (f *fake) Plugins() []status.Plugin                  { return f.plugins }
func (f *fake) Jobs(context.Context) ([]status.Job, bool) { return f.jobs, f.jobs != nil }

func TestPages(t *testing.T) {
	free := status.Plugin{Name: "http", Ready: 1, Working: 1}
	busy := status.Plugin{Name: "grpc", Working: 2}
	dead := status.Plugin{Name: "jobs"}
	well := func(name string) string { return `{"plugin_name":"` + name + `","error_message":"","status_code":200}` }
	ill := func(name string) string {
		return `{"plugin_name":"` + name + `","error_message":"internal server error, see logs","status_code":599}`
	}
	all := []status.Plugin{free, busy, dead}
	for _, c := range []struct {
		state, path string
		plugins     []status.Plugin
		code        int
		body        string
	}{
		{"ready", "/health", all, 599, "[" + well("http") + "," + well("grpc") + "," + ill("jobs") + "]"},
		{"ready", "/ready", all, 599, "[" + well("http") + "," + ill("grpc") + "," + ill("jobs") + "]"},
		{"degraded", "/ready?plugin=http", all, 200, "[" + well("http") + "]"},
		{"reloading", "/ready?plugin=http&plugin=nope", all, 200, "[" + well("http") + "]"},
		{"ready", "/health?plugin=http,grpc", all, 200, "[]"},
		{"ready", "/ready", nil, 200, "[]"},
		{"starting", "/health", nil, 200, "service is starting\n"},
		{"starting", "/ready", nil, 503, "service is starting\n"},
		{"draining", "/health", all, 200, "service is shutting down\n"},
		{"draining", "/ready", all, 503, "service is shutting down\n"},
		{"draining", "/jobs", all, 503, "service is shutting down\n"},
		{"ready", "/jobs", nil, 599, "jobs plugin not found\n"},
		{"ready", "/", nil, 404, "404 page not found\n"},
		{"degraded", "/state", nil, 200, `{"state":"degraded","reason":"why","since":"2025-01-31T10:00:00Z"}`},
		{"draining", "/state", nil, 599, `{"state":"draining","reason":"why","since":"2025-01-31T10:00:00Z"}`},
	} {
		cfg := status.Config{Unavailable: 599}
		cfg.Defaults()
		source := &fake{state: status.State{Name: c.state, Reason: "why", Since: time.Date(2025, 1, 31, 10, 0, 0, 0, time.UTC)}, plugins: c.plugins}
		w := httptest.NewRecorder()
		status.Pages(cfg, source).ServeHTTP(w, httptest.NewRequest("POST", c.path, nil))
		if w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.state, c.path, w.Code, w.Body, c.code, c.body)
		}
	}
	w := httptest.NewRecorder()
	source := &fake{state: status.State{Name: "ready"}, jobs: []status.Job{{Pipeline: "p", Priority: 7, Ready: true, Queue: "q", Active: 1, Delayed: 2, Reserved: 3, Driver: "memory"}}}
	status.Pages(status.Config{}, source).ServeHTTP(w, httptest.NewRequest("GET", "/jobs", nil))
	if want := `[{"pipeline":"p","priority":7,"ready":true,"queue":"q","active":1,"delayed":2,"reserved":3,"driver":"memory","error_message":""}]`; w.Body.String() != want {
		t.Errorf("%s", w.Body)
	}
}

func TestMethods(t *testing.T) {
	source := &fake{plugins: []status.Plugin{{Name: "http", Working: 1}}}
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { status.Register(s, source) }))
	for _, v := range []struct {
		method, plugin string
		code           int64
		err            string
	}{
		{"status.Status", "http", 200, ""},
		{"status.Ready", "http", 503, ""},
		{"status.Status", "x", 0, "checker_rpc_status:\n\tchecker_plugin_status: no such plugin: x"},
		{"status.Ready", "", 0, "checker_rpc_ready:\n\tchecker_plugin_ready: no such plugin: "},
	} {
		var r statuspb.Response
		err := c.Call(t.Context(), v.method, wire.Proto, &statuspb.Request{Plugin: v.plugin}, &r)
		if r.GetCode() != v.code || (err == nil) != (v.err == "") || err != nil && !strings.HasSuffix(err.Error(), v.err) {
			t.Errorf("%s %s: %v %v", v.method, v.plugin, r.GetCode(), err)
		}
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]time.Duration{"60": time.Minute, "30s": 30 * time.Second, "0": 0, "-1": -1, "x": -1, "-1s": -1} {
		var s status.Seconds
		if err := s.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && time.Duration(s) != want {
			t.Errorf("%s: %v %v", text, time.Duration(s), err)
		}
	}
	c := status.Config{}
	c.Defaults()
	if c.Unavailable != 503 || c.Timeout != status.Seconds(time.Minute) || c.Validate() != nil {
		t.Errorf("%+v", c)
	}
	c.Unavailable = 42
	if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "status.unavailable_status_code: 42 ") {
		t.Error(err)
	}
}
