package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

type fake struct {
	reload error
	stops  chan control.StopRequest
}

var since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (*fake) Status() control.Status {
	return control.Status{
		Instance: "app", Version: "1", PID: 5, State: "ready", Since: since, Started: since,
		Listeners: []control.Listener{{Name: "http", Network: "tcp", Address: ":8080", Inherited: true}},
		Pools:     []control.Pool{{Name: "http", Generation: 2, Workers: 4, Ready: 3, Working: 1, Queue: 6, Execs: 7}, {Name: "jobs"}, {Name: "empty"}},
	}
}

func (*fake) Workers() []control.Worker {
	return []control.Worker{
		{Pool: "http", PID: 1, State: "working", Created: since, Request: &control.Request{Label: "GET", Detail: "/", Age: 0.5}},
		{Pool: "jobs", PID: 2, State: "ready", Created: since, LastCause: "max_jobs"},
	}
}

func (*fake) Metrics() (string, error) { return "up 1\n", nil }

func (f *fake) Reload(context.Context) (*control.ReloadResult, error) {
	return &control.ReloadResult{Pools: []control.PoolReload{{Name: "http", Generation: 3}}, NeedsRestart: []string{"http.address"}}, f.reload
}

func (f *fake) Stop(r control.StopRequest) error {
	f.stops <- r
	return nil
}

func TestControl(t *testing.T) {
	f := &fake{stops: make(chan control.StopRequest, 1)}
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { control.Register(s, f, f) }))
	ctx := t.Context()

	var s control.Status
	if err := c.Call(ctx, "rrd.Status", wire.JSON, &control.Done{}, &s); err != nil || !reflect.DeepEqual(s, f.Status()) || !s.Ready() {
		t.Errorf("Status: %+v, %v", s, err)
	}
	var w control.WorkersResult
	if err := c.Call(ctx, "rrd.Workers", wire.JSON, &control.WorkersRequest{}, &w); err != nil || !reflect.DeepEqual(w.Workers, f.Workers()) {
		t.Errorf("Workers: %+v, %v", w, err)
	}
	w = control.WorkersResult{}
	if err := c.Call(ctx, "rrd.Workers", wire.JSON, &control.WorkersRequest{Pools: []string{"jobs"}}, &w); err != nil || len(w.Workers) != 1 || w.Workers[0].PID != 2 {
		t.Errorf("Workers of jobs: %+v, %v", w, err)
	}
	var raw json.RawMessage
	if err := c.Call(ctx, "rrd.Workers", wire.JSON, &control.WorkersRequest{Pools: []string{"empty"}}, &raw); err != nil || string(raw) != `{"workers":[]}` {
		t.Errorf("Workers of a pool without any: %s, %v", raw, err)
	}
	if err := c.Call(ctx, "rrd.Workers", wire.JSON, &control.WorkersRequest{Pools: []string{"http", "nope"}}, &raw); err == nil || err.Error() != `there is no pool "nope"; there is: http, jobs, empty` {
		t.Errorf("Workers of nope: %v", err)
	}
	var m control.MetricsResult
	if err := c.Call(ctx, "rrd.Metrics", wire.JSON, &control.Done{}, &m); err != nil || m.Text != "up 1\n" {
		t.Errorf("Metrics: %+v, %v", m, err)
	}
	var table control.MethodsResult
	if err := c.Call(ctx, "rrd.Methods", wire.JSON, &control.Done{}, &table); err != nil || !slices.Contains(table.Methods, control.Method{Name: "rrd.Stop", Role: "admin"}) {
		t.Errorf("Methods: %+v, %v", table, err)
	}
	var r control.ReloadResult
	if err := c.Call(ctx, "rrd.Reload", wire.JSON, &control.ReloadRequest{}, &r); err != nil || len(r.Pools) != 1 || len(r.NeedsRestart) != 1 {
		t.Errorf("Reload: %+v, %v", r, err)
	}
	if err := c.Call(ctx, "rrd.Stop", wire.JSON, &control.StopRequest{Force: true}, &control.Done{}); err != nil || !(<-f.stops).Force {
		t.Errorf("Stop: %v", err)
	}
	f.reload = errors.New("http: PHP Parse error")
	if err := c.Call(ctx, "rrd.Reload", wire.JSON, &control.ReloadRequest{}, &r); err == nil || err.Error() != "http: PHP Parse error" {
		t.Errorf("Reload: %v", err)
	}
}
