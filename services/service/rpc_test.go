package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
	"github.com/rr-systemd/rrd/services/service/servicepb"
)

func served(t testing.TB) (*Manager, *fakes, *wire.Client) {
	f := &fakes{obeys: map[int]bool{int(syscall.SIGINT): true}}
	m := New(Options{Spawner: f})
	dsn := rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { Register(s, m) })
	t.Cleanup(func() { m.Close(context.Background()) })
	return m, f, rpctest.Dial(t, dsn)
}

func TestEveryCodec(t *testing.T) {
	m, f, c := served(t)
	for _, codec := range []wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack} {
		name := &servicepb.Service{Name: codec.String()}
		call := func(method string, arg, reply any) {
			t.Helper()
			if err := c.Call(t.Context(), "service."+method, codec, arg, reply); err != nil {
				t.Fatalf("%s %s: %v", codec, method, err)
			}
		}
		var r servicepb.Response
		call("Create", &servicepb.Create{
			Name: name.Name, Command: "sleep 100", ProcessNum: 2, ExecTimeout: 3600, RemainAfterExit: true,
			Env: map[string]string{"a": "b"}, RestartSec: 3, ServiceNameInLogs: true, TimeoutStopSec: 4,
		}, &r)
		if p := f.last().program; !r.Ok || p.Env["a"] != "b" || len(p.Argv) != 2 {
			t.Errorf("%s: %+v", codec, p)
		}
		r = servicepb.Response{}
		call("Restart", name, &r)
		var list servicepb.List
		call("List", &servicepb.Service{}, &list)
		var all servicepb.Statuses
		call("Statuses", name, &all)
		var one servicepb.Status
		call("Status", name, &one)
		if !r.Ok || len(list.Services) != 1 || len(all.Status) != 2 || one.MemoryUsage != 4096 || int(one.Pid) != f.last().pid || one.Command != "sleep 100" {
			t.Errorf("%s: %v %v %v", codec, &list, &all, &one)
		}
		f.last().end("exit status 1")
		call("Terminate", name, &r)
	}
	if err := m.Create("a", settings("x", func(s *Settings) { s.ProcessNum = 2 })); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{}, {"a"}} {
		var list []Status
		if err := c.Call(t.Context(), "service.Processes", wire.JSON, &names, &list); err != nil || len(list) != 2 || list[1].Memory != 4096 {
			t.Errorf("%+v %v", list, err)
		}
	}
	if err := c.Call(t.Context(), "service.Processes", wire.JSON, &[]string{"nope"}, new([]Status)); err == nil {
		t.Error("an unknown service")
	}
	if err := m.Terminate("a"); err != nil {
		t.Error(err)
	}
	if len(m.List()) != 0 {
		t.Error(m.List())
	}
}

func TestArgumentsThatAreRefused(t *testing.T) {
	m, f, c := served(t)
	for text, q := range map[string]*servicepb.Create{
		"the service with a name should have at least 1 process": {Name: "a", Command: "x"},
		"the name of the service should not be empty":            {Command: "x", ProcessNum: 1},
		"process_num: ":  {Name: "a", Command: "x", ProcessNum: math.MaxInt64},
		"exec_timeout: ": {Name: "a", Command: "x", ProcessNum: 1, ExecTimeout: -1},
		"env: ":          {Name: "a", Command: "x", ProcessNum: 1, Env: map[string]string{"": ""}},
	} {
		wantError(t, c.Call(t.Context(), "service.Create", wire.Proto, q, new(servicepb.Response)), text)
	}
	for _, method := range []string{"Terminate", "Restart", "Status", "Statuses"} {
		reply := proto.Message(new(servicepb.Response))
		switch method {
		case "Status":
			reply = new(servicepb.Status)
		case "Statuses":
			reply = new(servicepb.Statuses)
		}
		err := c.Call(t.Context(), "service."+method, wire.Proto, &servicepb.Service{Name: "nope"}, reply)
		wantError(t, err, "the service with nope name doesn't exist")
	}
	if len(m.List()) != 0 || len(f.all()) != 0 {
		t.Error("something was started")
	}
}

func TestStatusOfAnEndedProcess(t *testing.T) {
	_, f, c := served(t)
	q := &servicepb.Create{Name: "a", Command: "true", ProcessNum: 1}
	if err := c.Call(t.Context(), "service.Create", wire.Proto, q, new(servicepb.Response)); err != nil {
		t.Fatal(err)
	}
	f.last().end("")
	err := c.Call(t.Context(), "service.Status", wire.Proto, &servicepb.Service{Name: "a"}, new(servicepb.Status))
	wantError(t, err, "process_state: open /proc/100/statm: no such file or directory")
}

// TestAnyArguments: a method answers whatever they are, and what was created can
// be terminated.
func TestAnyArguments(t *testing.T) {
	m, _, c := served(t)
	rapid.Check(t, func(t *rapid.T) {
		q := &servicepb.Create{
			Name: rapid.String().Draw(t, "name"), Command: rapid.String().Draw(t, "command"),
			ProcessNum: rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 3)).Draw(t, "num"), ExecTimeout: rapid.Int64().Draw(t, "exec"),
			RemainAfterExit: rapid.Bool().Draw(t, "remain"), RestartSec: rapid.Uint64().Draw(t, "restart"),
			TimeoutStopSec: rapid.Uint64().Draw(t, "stop"), Env: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "env"),
		}
		codec := rapid.SampledFrom([]wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack}).Draw(t, "codec")
		call(t, c, codec, q)
		for _, name := range m.List() {
			if err := m.Terminate(name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func call(t interface{ Fatal(...any) }, c *wire.Client, codec wire.Codec, q *servicepb.Create) {
	name := &servicepb.Service{Name: q.GetName()}
	for _, step := range []struct {
		method     string
		arg, reply any
	}{
		{"Create", q, new(servicepb.Response)}, {"Restart", name, new(servicepb.Response)},
		{"Status", name, new(servicepb.Status)}, {"Statuses", name, new(servicepb.Statuses)},
		{"List", name, new(servicepb.List)}, {"Terminate", name, new(servicepb.Response)},
	} {
		var remote *wire.RemoteError
		if err := c.Call(context.Background(), "service."+step.method, codec, step.arg, step.reply); err != nil && !errors.As(err, &remote) {
			t.Fatal(fmt.Errorf("%s: %w", step.method, err))
		}
	}
}

func FuzzCreate(f *testing.F) {
	_, _, c := served(f)
	valid, err := proto.Marshal(&servicepb.Create{Name: "a", Command: "x y", ProcessNum: 2, Env: map[string]string{"A": "b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Fuzz(func(t *testing.T, data []byte) {
		var q servicepb.Create
		if proto.Unmarshal(data, &q) == nil {
			call(t, c, wire.Proto, &q)
		}
	})
}
