package kv_test

import (
	"slices"
	"strings"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/kvv1"
)

func TestLists(t *testing.T) {
	c := serve(t, kv.Options{})
	var storages []kv.StorageInfo
	if err := c.Call(t.Context(), "kv.Storages", wire.JSON, new(bool), &storages); err != nil || len(storages) != 6 ||
		storages[0] != (kv.StorageInfo{Name: "bolt", Driver: "boltdb"}) {
		t.Errorf("%v, %v", storages, err)
	}
	for _, name := range []string{"mem", "bolt"} {
		q := &kvv1.Request{Storage: name, Items: []*kvv1.Item{{Key: "b"}, {Key: "a"}, {Key: "ab"}}}
		if err := c.Call(t.Context(), "kv.Set", wire.Proto, q, &kvv1.Response{}); err != nil {
			t.Fatal(err)
		}
		for _, k := range []struct {
			q    kv.KeysRequest
			want string
			more bool
		}{
			{kv.KeysRequest{Storage: name}, "a ab b", false},
			{kv.KeysRequest{Storage: name, Prefix: "a"}, "a ab", false},
			{kv.KeysRequest{Storage: name, Prefix: "a", Limit: 2}, "a ab", false},
			{kv.KeysRequest{Storage: name, Prefix: "b", Limit: 1}, "b", false},
			{kv.KeysRequest{Storage: name, Prefix: "x"}, "", false},
		} {
			var r kv.KeysResult
			if err := c.Call(t.Context(), "kv.Keys", wire.JSON, &k.q, &r); err != nil || r.Keys == nil || strings.Join(r.Keys, " ") != k.want || r.More != k.more {
				t.Errorf("%+v: %+v, %v", k.q, r, err)
			}
		}
		var r kv.KeysResult
		if err := c.Call(t.Context(), "kv.Keys", wire.JSON, &kv.KeysRequest{Storage: name, Limit: 2}, &r); err != nil || len(r.Keys) != 2 || !r.More || !slices.IsSorted(r.Keys) {
			t.Errorf("two of three: %+v, %v", r, err)
		}
	}
	for storage, want := range map[string]string{
		"nope": "no such storage: nope", "": "no storage provided",
		"memcached": "cannot list the keys of memcached (memcached): the store cannot list its keys",
	} {
		err := c.Call(t.Context(), "kv.Keys", wire.JSON, &kv.KeysRequest{Storage: storage}, &kv.KeysResult{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", storage, err)
		}
	}
}
