package lock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/lockpb"
	"github.com/rr-systemd/rrd/services/lock/memory"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// served are locks behind a real server.
func served(t testing.TB) (*memory.Locks, string) {
	l := memory.New()
	t.Cleanup(func() { _ = l.Close() })
	return l, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { lock.Register(s, l, l) })
}

func request(resource, id string, ttl, wait int64) *lockpb.Request {
	return &lockpb.Request{Resource: resource, Id: id, Ttl: &ttl, Wait: &wait}
}

// eventually polls a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestEveryCodec(t *testing.T) {
	_, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	for _, codec := range []wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack} {
		resource := codec.String()
		for _, step := range []struct {
			method, id string
			want       bool
		}{
			{"lock.LockRead", "a", true}, {"lock.LockRead", "b", true}, {"lock.Lock", "c", false},
			{"lock.Exists", "a", true}, {"lock.Exists", "*", true}, {"lock.Exists", "c", false},
			{"lock.UpdateTTL", "a", true}, {"lock.UpdateTTL", "c", false},
			{"lock.Release", "a", true}, {"lock.Release", "a", false}, {"lock.Lock", "b", true},
			{"lock.ForceRelease", "", true}, {"lock.Exists", "*", false}, {"lock.ForceRelease", "", true},
		} {
			var reply lockpb.Response
			if err := c.Call(t.Context(), step.method, codec, request(resource, step.id, 60e6, 0), &reply); err != nil || reply.Ok != step.want {
				t.Errorf("%s: %s of %q: %v, %v", codec, step.method, step.id, reply.Ok, err)
			}
		}
	}
}

func TestArgumentsThatAreRefused(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	for _, method := range []string{"lock.Lock", "lock.LockRead", "lock.Release", "lock.Exists", "lock.UpdateTTL"} {
		err := c.Call(t.Context(), method, wire.Proto, request("r", "", 1, 0), new(lockpb.Response))
		if err == nil || err.Error() != "empty ID is not allowed" {
			t.Errorf("%s without an id: %v", method, err)
		}
	}
	for _, method := range []string{"lock.Lock", "lock.LockRead", "lock.UpdateTTL"} {
		for _, ttl := range []int64{-1, math.MinInt64} {
			err := c.Call(t.Context(), method, wire.Proto, request("r", "a", ttl, 0), new(lockpb.Response))
			if err == nil || !strings.HasPrefix(err.Error(), lock.ErrNegativeTTL.Error()) {
				t.Errorf("%s with ttl %d: %v", method, ttl, err)
			}
		}
	}
	if s := l.Stats(); s != (memory.Stats{}) {
		t.Errorf("%+v is held", s)
	}
}

func TestTimesOnTheWire(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	for ttl, want := range map[int64]time.Duration{
		0: lock.DefaultTTL, 5e6: 5 * time.Second, math.MaxInt64: lock.MaxTTL, math.MaxInt64 / 1000: lock.MaxTTL,
	} {
		resource := fmt.Sprint(ttl)
		var reply lockpb.Response
		if err := c.Call(t.Context(), "lock.Lock", wire.Proto, request(resource, "a", ttl, -5), &reply); err != nil || !reply.Ok {
			t.Fatal(err, reply.Ok)
		}
		list, _ := l.List(t.Context())
		got := -1.0
		for _, r := range list {
			if r.Name == resource {
				got = r.Holders[0].TTL
			}
		}
		// A slow machine may have used up some of it.
		if got > want.Seconds() || got < want.Seconds()-4 {
			t.Errorf("ttl %d: %v s are left, want %v", ttl, got, want)
		}
	}
}

// TestAnswerIsRoadRunners: the token is there for those only who ask for it.
func TestAnswerIsRoadRunners(t *testing.T) {
	_, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	var last uint64
	for i := range 4 {
		q := request("r", "a", 0, 0)
		q.Fencing = i > 0
		var reply lockpb.Response
		if err := c.Call(t.Context(), "lock.Lock", wire.Proto, q, &reply); err != nil || !reply.Ok {
			t.Fatal(err, reply.Ok)
		}
		if b, _ := proto.Marshal(&reply); i == 0 && string(b) != "\x08\x01" {
			t.Errorf("%q", b)
		}
		if i > 0 && reply.Token <= last {
			t.Errorf("token %d after %d", reply.Token, last)
		}
		last = reply.Token
		_ = c.Call(t.Context(), "lock.Release", wire.Proto, q, &reply)
	}
}

// TestWaitBlocksItsCallOnly, not the connection.
func TestWaitBlocksItsCallOnly(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	call := func(method, id string) bool {
		var reply lockpb.Response
		if err := c.Call(t.Context(), method, wire.Proto, request("r", id, 0, 3600e6), &reply); err != nil {
			t.Error(err)
		}
		return reply.Ok
	}
	call("lock.Lock", "a")
	got := make(chan bool)
	go func() { got <- call("lock.Lock", "b") }()
	eventually(t, "b waits", func() bool { return l.Stats().Waiting == 1 })
	if !call("lock.Exists", "a") || !call("lock.Release", "a") || !<-got {
		t.Error("b did not get the lock on the same connection")
	}
}

// TestClientThatDiesLeavesTheQueue: in RoadRunner it gets the lock, and keeps it
// for all of its time to live.
func TestClientThatDiesLeavesTheQueue(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	if err := c.Call(t.Context(), "lock.Lock", wire.Proto, request("r", "a", 0, 0), new(lockpb.Response)); err != nil {
		t.Fatal(err)
	}
	dying := rpctest.Dial(t, dsn)
	ended := make(chan error, 1)
	go func() {
		ended <- dying.Call(t.Context(), "lock.Lock", wire.Proto, request("r", "dead", 0, 3600e6), new(lockpb.Response))
	}()
	eventually(t, "it waits", func() bool { return l.Stats().Waiting == 1 })
	_ = dying.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	eventually(t, "the queue is empty", func() bool { return l.Stats().Waiting == 0 })
	var reply lockpb.Response
	_ = c.Call(t.Context(), "lock.Release", wire.Proto, request("r", "a", 0, 0), &reply)
	if err := c.Call(t.Context(), "lock.Lock", wire.Proto, request("r", "b", 0, 0), &reply); err != nil || !reply.Ok {
		t.Error("the dead client has the lock", err)
	}
}

func TestDrainAnswersThoseThatWait(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	_ = c.Call(t.Context(), "lock.Lock", wire.Proto, request("r", "a", 0, 0), new(lockpb.Response))
	ended := make(chan error, 1)
	go func() {
		ended <- c.Call(t.Context(), "lock.Lock", wire.Proto, request("r", "b", 0, 3600e6), new(lockpb.Response))
	}()
	eventually(t, "b waits", func() bool { return l.Stats().Waiting == 1 })
	l.Drain()
	var remote *wire.RemoteError
	if err := <-ended; !errors.As(err, &remote) || remote.Text != lock.ErrStopping.Error() {
		t.Error(err)
	}
}

func TestListIsJSON(t *testing.T) {
	_, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	_ = c.Call(t.Context(), "lock.LockRead", wire.Proto, request("r", "a", 0, 0), new(lockpb.Response))
	var list []lock.Resource
	arg := true
	if err := c.Call(t.Context(), "lock.List", wire.JSON, &arg, &list); err != nil || len(list) != 1 || list[0].Mode != "read" {
		t.Error(err, list)
	}
	if b, err := json.Marshal(list); err != nil || !strings.Contains(string(b), `"waiting":0`) {
		t.Errorf("%s %v", b, err)
	}
}

// TestAnyArguments: whatever they are, a method answers, and what is locked can
// be released by its id.
func TestAnyArguments(t *testing.T) {
	l, dsn := served(t)
	c := rpctest.Dial(t, dsn)
	rapid.Check(t, func(t *rapid.T) {
		q := request(rapid.String().Draw(t, "resource"), rapid.String().Draw(t, "id"),
			rapid.Int64().Draw(t, "ttl"), rapid.Int64Max(1000).Draw(t, "wait"))
		q.Fencing = rapid.Bool().Draw(t, "fencing")
		codec := rapid.SampledFrom([]wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack}).Draw(t, "codec")
		var reply lockpb.Response
		for _, method := range []string{"lock.Lock", "lock.LockRead", "lock.Exists", "lock.UpdateTTL", "lock.Release", "lock.ForceRelease"} {
			var remote *wire.RemoteError
			if err := c.Call(context.Background(), method, codec, q, &reply); err != nil && !errors.As(err, &remote) {
				t.Fatalf("%s: %v", method, err)
			}
		}
		if s := l.Stats(); s != (memory.Stats{}) {
			t.Fatalf("%+v is held", s)
		}
	})
}

// FuzzRequest: no fields of a request bring more than an error.
func FuzzRequest(f *testing.F) {
	_, dsn := served(f)
	c := rpctest.Dial(f, dsn)
	methods := []string{"lock.Lock", "lock.LockRead", "lock.Release", "lock.ForceRelease", "lock.Exists", "lock.UpdateTTL"}
	valid, err := proto.Marshal(request("r", "a", 1, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), valid)
	f.Add(uint8(5), []byte{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, method uint8, data []byte) {
		// The bytes themselves are the codec's, which has its own fuzz targets. A
		// wait would only be slow.
		var q lockpb.Request
		if proto.Unmarshal(data, &q) != nil || q.GetWait() > 1000 {
			return
		}
		var remote *wire.RemoteError
		name := methods[int(method)%len(methods)]
		if err := c.Call(context.Background(), name, wire.Proto, &q, new(lockpb.Response)); err != nil && !errors.As(err, &remote) {
			t.Fatal(err)
		}
	})
}
