package informer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/informer"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

type fake struct {
	plugins []string
	calls   chan string
}

var worker = informer.Worker{Pid: 4711, Status: 2, NumExecs: 3, Created: 1700000000000000001, MemoryUsage: 5, CPUPercent: 1.5, Command: "php x", StatusStr: "working"}

var job = informer.Job{Pipeline: "p", Driver: "memory", Queue: "q", Active: 1, Delayed: 2, Reserved: 3, Ready: true, Priority: 4, ErrorMessage: "e"}

func (f *fake) Plugins() []string { return f.plugins }

func (f *fake) Workers(plugin string) []*informer.Worker {
	if plugin != "http" {
		return nil
	}
	return []*informer.Worker{&worker}
}

func (f *fake) Jobs(_ context.Context, plugin string) []*informer.Job {
	if plugin != "jobs" {
		return nil
	}
	return []*informer.Job{&job}
}

func (f *fake) AddWorker(_ context.Context, plugin string) error {
	f.calls <- "add " + plugin
	return f.scale(plugin)
}

func (f *fake) RemoveWorker(_ context.Context, plugin string) error {
	f.calls <- "remove " + plugin
	return f.scale(plugin)
}

func (f *fake) scale(plugin string) error {
	switch plugin {
	case "http":
		return nil
	case "broken":
		return errors.New("cannot start the worker")
	}
	return fmt.Errorf("%s: %w", plugin, informer.ErrNotScalable)
}

func dial(t *testing.T, f *fake) *wire.Client {
	return rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { informer.Register(s, f, f) }))
}

func TestEveryCodecGivesTheSame(t *testing.T) {
	c := dial(t, &fake{plugins: []string{"http", "jobs"}})
	for _, codec := range []wire.Codec{wire.JSON, wire.Gob, wire.Msgpack} {
		var list []string
		if err := c.Call(t.Context(), "informer.List", codec, new(bool), &list); err != nil || !reflect.DeepEqual(list, []string{"http", "jobs"}) {
			t.Errorf("%s: List: %v, %v", codec, list, err)
		}
		plugin := "http"
		var workers informer.WorkerList
		if err := c.Call(t.Context(), "informer.Workers", codec, &plugin, &workers); err != nil || len(workers.Workers) != 1 || *workers.Workers[0] != worker {
			t.Errorf("%s: Workers: %v, %v", codec, workers, err)
		}
		plugin = "jobs"
		var jobs []*informer.Job
		if err := c.Call(t.Context(), "informer.Jobs", codec, &plugin, &jobs); err != nil || len(jobs) != 1 || *jobs[0] != job {
			t.Errorf("%s: Jobs: %v, %v", codec, jobs, err)
		}
	}
}

func TestJSONKeys(t *testing.T) {
	c := dial(t, &fake{})
	for _, v := range []struct{ method, arg, want string }{
		{"informer.List", "", `[]`},
		{"informer.Workers", "http", `{"workers":[{"pid":4711,"status":2,"numExecs":3,"created":1700000000000000001,"memoryUsage":5,"CPUPercent":1.5,"command":"php x","statusStr":"working"}]}`},
		{"informer.Workers", "nope", `{"workers":null}`},
		{"informer.Jobs", "jobs", `[{"Pipeline":"p","Driver":"memory","Queue":"q","Active":1,"Delayed":2,"Reserved":3,"Ready":true,"Priority":4,"ErrorMessage":"e"}]`},
		{"informer.Jobs", "http", `null`},
	} {
		var arg any = &v.arg
		if v.method == "informer.List" {
			arg = new(bool)
		}
		var got json.RawMessage
		if err := c.Call(t.Context(), v.method, wire.JSON, arg, &got); err != nil || string(got) != v.want {
			t.Errorf("%s %s: %s, %v, want %s", v.method, v.arg, got, err, v.want)
		}
	}
}

func TestScale(t *testing.T) {
	f := &fake{calls: make(chan string, 1)}
	c := dial(t, f)
	for plugin, want := range map[string]string{
		"http":   "",
		"broken": "cannot start the worker",
		"nope":   "plugin nope does not support workers management",
		"":       "plugin  does not support workers management",
	} {
		for method, call := range map[string]string{"informer.AddWorker": "add ", "informer.RemoveWorker": "remove "} {
			reply := false
			err := c.Call(t.Context(), method, wire.JSON, &plugin, &reply)
			if got := <-f.calls; got != call+plugin {
				t.Errorf("%s %q ran %q", method, plugin, got)
			}
			if text := fmt.Sprint(err); reply || want == "" && err != nil || want != "" && text != want {
				t.Errorf("%s %q: %v, %v, want %q", method, plugin, reply, err, want)
			}
		}
	}
}
