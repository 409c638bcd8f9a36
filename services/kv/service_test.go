package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/boltdb"
	"github.com/rr-systemd/rrd/services/kv/kvv1"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// broken is a storage whose store is down.
type broken struct{ err error }

func (b broken) Has(context.Context, []string) ([]string, error)   { return nil, b.err }
func (b broken) MGet(context.Context, []string) ([]kv.Item, error) { return nil, b.err }
func (b broken) Set(context.Context, []kv.Item) error              { return b.err }
func (b broken) MExpire(context.Context, []kv.Item) error          { return b.err }
func (b broken) TTL(context.Context, []string) ([]kv.Item, error)  { return nil, b.err }
func (b broken) Delete(context.Context, []string) error            { return b.err }
func (b broken) Clear(context.Context) error                       { return b.err }

var errDown = errors.New("connection refused")

func newBolt(t testing.TB) *boltdb.Storage {
	c := boltdb.Config{File: filepath.Join(t.TempDir(), "kv.db")}
	c.Defaults()
	s, err := boltdb.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// serve has the storages mem, bolt and, under the names of their drivers, ones
// that are down.
func serve(t testing.TB, o kv.Options) *wire.Client {
	storages := map[string]kv.Mounted{
		"mem":  {Driver: "memory", Storage: memory.New(memory.Config{})},
		"bolt": {Driver: "boltdb", Storage: newBolt(t)},
	}
	for _, driver := range []string{"memory", "boltdb", "redis", "memcached"} {
		storages[driver] = kv.Mounted{Driver: driver, Storage: broken{errDown}}
	}
	return rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { kv.Register(s, storages, o) }))
}

func request(storage string, items ...*kvv1.Item) *kvv1.Request {
	return &kvv1.Request{Storage: storage, Items: items}
}

func item(key string) *kvv1.Item { return &kvv1.Item{Key: key} }

// fails calls a method and wants an error with this text.
func fails(t *testing.T, c *wire.Client, method string, r *kvv1.Request, want string) {
	t.Helper()
	err := c.Call(t.Context(), "kv."+method, wire.Proto, r, new(kvv1.Response))
	if err == nil || err.Error() != want {
		t.Errorf("%s of %s: %q, want %q", method, r.GetStorage(), err, want)
	}
}

func TestErrorTexts(t *testing.T) {
	c := serve(t, kv.Options{})
	operations := map[string]string{
		"Has": "rpc_has", "Set": "rpc_set", "MGet": "rpc_mget", "MExpire": "rpc_mexpire", "TTL": "rpc_ttl",
		"Delete": "rcp_delete", "Clear": "rcp_delete",
	}
	for method, op := range operations {
		fails(t, c, method, request("Nope", item("a")), op+": no such storage: Nope")
		want := op + ": no storage provided"
		if method == "Set" {
			want = "rpc_set: no such storage: "
		}
		fails(t, c, method, request("", item("a")), want)
	}

	const year = "2099-01-01T00:00:00Z"
	in := func(key, timeout string) *kvv1.Item { return &kvv1.Item{Key: key, Timeout: timeout} }
	for driver, ops := range map[string]string{"memory": "in_memory_plugin", "boltdb": "boltdb_driver", "redis": "redis_driver", "memcached": "memcached_plugin"} {
		for method, op := range map[string]string{"Has": "rpc_has", "MGet": "rpc_mget", "TTL": "rpc_ttl", "Delete": "rcp_delete"} {
			if driver == "memcached" && method == "TTL" {
				continue
			}
			name := ops + "_" + strings.ToLower(method)
			if driver == "boltdb" && method == "Has" {
				name += ":\n\t" + name
			}
			for _, key := range []string{"", " ", "\t\n"} {
				fails(t, c, method, request(driver, item("a"), item(key)), op+": key can't be empty string:\n\t"+name)
			}
		}
		text := "should set timeout and at least one key"
		if driver == "memory" {
			text = "timeout for MExpire is empty or key is empty"
		}
		for _, bad := range []*kvv1.Item{in("a", ""), in("", year), in(" ", year), in("", "")} {
			fails(t, c, "MExpire", request(driver, in("b", year), bad), "rpc_mexpire:\n\t"+ops+"_mexpire: "+text)
		}
	}

	const parse = `parsing time "tomorrow" as "2006-01-02T15:04:05Z07:00": cannot parse "tomorrow" as "2006"`
	bad := in("a", "tomorrow")
	fails(t, c, "Set", request("mem", bad), "rpc_set: "+parse)
	fails(t, c, "Set", request("bolt", bad), "rpc_set:\n\tboltdb_driver_set: "+parse)
	fails(t, c, "Set", request("redis", bad), "rpc_set: "+parse)
	fails(t, c, "Set", request("memcached", bad), "rpc_set: "+parse)
	fails(t, c, "MExpire", request("mem", bad), "rpc_mexpire:\n\tin_memory_plugin_mexpire: "+parse)
	fails(t, c, "MExpire", request("bolt", bad), "rpc_mexpire:\n\tboltdb_driver_mexpire: "+parse)
	fails(t, c, "MExpire", request("redis", bad), "rpc_mexpire: "+parse)
	fails(t, c, "MExpire", request("memcached", bad), "rpc_mexpire:\n\tmemcached_plugin_mexpire: "+parse)
	fails(t, c, "Set", request("bolt", item("")), "rpc_set:\n\tboltdb_driver_set: key required")

	// The store is down.
	fails(t, c, "Has", request("redis", item("a")), "rpc_has: connection refused")
	fails(t, c, "MGet", request("redis", item("a")), "rpc_mget:\n\tredis_driver_mget: connection refused")
	fails(t, c, "Delete", request("redis"), "rcp_delete: connection refused")
	fails(t, c, "Clear", request("redis"), "rcp_delete: connection refused")
	fails(t, c, "Set", request("memcached", item("a")), "rpc_set: connection refused")
	fails(t, c, "Delete", request("memcached", item("a")), "rcp_delete:\n\tmemcached_plugin_delete: connection refused")
	fails(t, c, "TTL", request("memcached", item("")), "rpc_ttl:\n\tmemcached_plugin_ttl: connection refused")
	// Items before one with a bad time go to stores that have no transactions.
	fails(t, c, "Set", request("redis", item("a"), bad), "rpc_set: connection refused")
	if err := c.Call(t.Context(), "kv.Nope", wire.Proto, request("mem"), new(kvv1.Response)); err == nil || err.Error() != "rpc: can't find method kv.Nope" {
		t.Error(err)
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	c := serve(t, kv.Options{})
	for _, storage := range []string{"mem", "bolt"} {
		out := new(kvv1.Response)
		r := request(storage, item("a"), &kvv1.Item{Key: "b", Timeout: "x"}, item("c"))
		if err := c.Call(t.Context(), "kv.Set", wire.Proto, r, out); err == nil {
			t.Error("no error")
		}
		if err := c.Call(t.Context(), "kv.Has", wire.Proto, r, out); err != nil || len(out.Items) > 0 {
			t.Errorf("%s: %v, %v", storage, out, err)
		}
	}
}

// Every codec but raw, which has no messages.
func TestCodecs(t *testing.T) {
	c := serve(t, kv.Options{})
	for _, codec := range []wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack} {
		for _, storage := range []string{"mem", "bolt"} {
			call := func(method string, r *kvv1.Request) *kvv1.Response {
				t.Helper()
				out := new(kvv1.Response)
				if err := c.Call(t.Context(), "kv."+method, codec, r, out); err != nil {
					t.Fatalf("%s %s: %v", codec, method, err)
				}
				return out
			}
			value := []byte("\x00\xffv")
			const end = "2099-01-02T03:04:05+00:00"
			call("Clear", request(storage))
			call("Set", request(storage, &kvv1.Item{Key: "a", Value: value, Timeout: end}, item("b")))
			for method, want := range map[string]*kvv1.Response{
				"Has":    {Items: []*kvv1.Item{item("a")}},
				"MGet":   {Items: []*kvv1.Item{{Key: "a", Value: value}}},
				"TTL":    {Items: []*kvv1.Item{{Key: "a", Timeout: end}}},
				"Delete": {}, "MExpire": {}, "Set": {},
			} {
				r := request(storage, &kvv1.Item{Key: "a", Value: value, Timeout: end}, &kvv1.Item{Key: "a", Value: value, Timeout: end})
				call("Set", r)
				if got := call(method, r); !proto.Equal(got, want) {
					t.Errorf("%s %s: %v, want %v", codec, method, got, want)
				}
			}
			if got := call("Has", request(storage)); len(got.Items) != 0 {
				t.Errorf("%s: Has of nothing: %v", codec, got)
			}
			call("Clear", request(storage, item("a")))
			if got := call("Has", request(storage, item("a"), item("b"))); len(got.Items) != 0 {
				t.Errorf("%s: after Clear: %v", codec, got)
			}
		}
	}
	raw := []byte("x")
	if err := c.Call(t.Context(), "kv.Has", wire.Raw, &raw, &raw); err == nil {
		t.Error("raw was accepted")
	}
}

func TestTrace(t *testing.T) {
	type key struct{}
	var mu sync.Mutex
	var got []string
	c := serve(t, kv.Options{Trace: func(ctx context.Context, call kv.Call) (context.Context, func(error)) {
		return context.WithValue(ctx, key{}, call.Method), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%+v %v", call, err))
		}
	}})
	_ = c.Call(t.Context(), "kv.Set", wire.Proto, request("mem", item("a"), item("b")), new(kvv1.Response))
	_ = c.Call(t.Context(), "kv.Has", wire.Proto, request("redis", item("a")), new(kvv1.Response))
	_ = c.Call(t.Context(), "kv.Has", wire.Proto, request("nope"), new(kvv1.Response))
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		"{Method:set Storage:mem Driver:memory Items:2} <nil>",
		"{Method:has Storage:redis Driver:redis Items:1} rpc_has: connection refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// 1,000 clients at once, each with its own keys.
func TestManyClients(t *testing.T) {
	dsn := rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		kv.Register(s, map[string]kv.Mounted{"mem": {Driver: "memory", Storage: memory.New(memory.Config{})}}, kv.Options{})
	})
	var clients sync.WaitGroup
	begin := make(chan struct{})
	for i := range 1000 {
		c := rpctest.Dial(t, dsn)
		clients.Go(func() {
			<-begin
			for n := range 5 {
				key, want := fmt.Sprint("key-", i), fmt.Sprint(i, "-", n)
				out := new(kvv1.Response)
				err := c.Call(t.Context(), "kv.Set", wire.Proto, request("mem", &kvv1.Item{Key: key, Value: []byte(want)}), out)
				if err == nil {
					err = c.Call(t.Context(), "kv.MGet", wire.Proto, request("mem", item(key)), out)
				}
				if err != nil || len(out.Items) != 1 || string(out.Items[0].Value) != want {
					t.Errorf("client %d: %v, %v", i, out, err)
					return
				}
			}
		})
	}
	close(begin)
	clients.Wait()
}

// FuzzMethods calls every method with any argument, in every codec: an answer or
// an error, and no panic, which the server would report as an internal error.
func FuzzMethods(f *testing.F) {
	methods := []string{"Has", "Set", "MGet", "MExpire", "TTL", "Delete", "Clear"}
	codecs := []wire.Codec{wire.Proto, wire.JSON, wire.Gob, wire.Msgpack}
	for m := range methods {
		for i, codec := range codecs {
			for _, storage := range []string{"mem", "bolt", "nope"} {
				r := request(storage, &kvv1.Item{Key: "a", Value: []byte("v"), Timeout: "2099-01-01T00:00:00Z"}, &kvv1.Item{Key: " ", Timeout: "0001-01-01T00:00:00Z"})
				data, err := wire.Append(nil, codec, r)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(byte(m), byte(i), data)
			}
		}
		f.Add(byte(m), byte(1), []byte(`{"storage":"mem","items":[null,{"key":null},{"key":"a","timeout":"9999-12-31T23:59:59.999999999Z"}]}`))
	}
	c := serve(f, kv.Options{})
	f.Fuzz(func(t *testing.T, m, i byte, data []byte) {
		method, codec := methods[int(m)%len(methods)], codecs[int(i)%len(codecs)]
		r := new(kvv1.Request)
		if err := wire.Decode(codec, data, r); err != nil {
			return // not this service's; the codecs have a test of their own
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Call(ctx, "kv."+method, codec, r, new(kvv1.Response))
		if err != nil && (strings.Contains(err.Error(), "internal error") || errors.Is(err, wire.ErrClosed) || ctx.Err() != nil) {
			t.Fatal(err)
		}
	})
}

func TestExpiry(t *testing.T) {
	now := time.Now()
	for text, passed := range map[string]bool{
		"": false, "0001-01-01T00:00:00Z": true, "1970-01-01T00:00:00Z": true, "9999-12-31T23:59:59Z": false, "2001-01-01T00:00:00.5+02:00": true,
	} {
		x, err := kv.ParseExpiry(text)
		if err != nil || x.Passed(now) != passed || x.Never() != (text == "") || x.Text != text {
			t.Errorf("%q: %+v, %v", text, x, err)
		}
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 600e6, time.FixedZone("", 3600))
	if got := kv.ExpiryAt(at).Text; got != "2030-01-02T02:04:06+00:00" {
		t.Error(got)
	}
}
