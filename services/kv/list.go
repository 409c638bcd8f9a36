package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rr-systemd/rrd/services/rpc"
)

// Lister is a Storage that can tell which keys it has.
type Lister interface {
	// Keys returns keys that exist and begin with prefix, limit of them at most,
	// in any order. It may miss or have keys that are written meanwhile.
	Keys(ctx context.Context, prefix string, limit int) ([]string, error)
}

// ErrNoList: the driver cannot tell its keys.
var ErrNoList = errors.New("the store cannot list its keys")

// StorageInfo is a storage in the answer of kv.Storages.
type StorageInfo struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
}

// KeysRequest is the argument of kv.Keys.
type KeysRequest struct {
	Storage string `json:"storage"`
	Prefix  string `json:"prefix,omitempty"`
	// Limit bounds the answer; 0 is 1000, and more than 100,000 is not given.
	Limit int `json:"limit,omitempty"`
}

// KeysResult is the result of kv.Keys.
type KeysResult struct {
	Keys []string `json:"keys"` // sorted
	// More: there are others, which the limit left out.
	More bool `json:"more,omitempty"`
}

// Bounds of KeysRequest.Limit.
const (
	usualKeys = 1000
	mostKeys  = 100_000
)

// registerLists adds the methods that RoadRunner lacks. Keys are for admins: a
// client that knows a key may read it, and only such a client.
func (v *service) registerLists(s *rpc.Server) {
	rpc.Register(s, "kv.Storages", rpc.Anyone, func(_ context.Context, _ *bool, out *[]StorageInfo) error {
		*out = make([]StorageInfo, 0, len(v.storages))
		for name, m := range v.storages {
			*out = append(*out, StorageInfo{name, m.Driver})
		}
		slices.SortFunc(*out, func(a, b StorageInfo) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	rpc.Register(s, "kv.Keys", rpc.Admin, func(ctx context.Context, in *KeysRequest, out *KeysResult) error {
		m := v.storages[in.Storage]
		if m == nil {
			return missing("keys", in.Storage)
		}
		lister, ok := m.Storage.(Lister)
		if !ok {
			return fmt.Errorf("cannot list the keys of %s (%s): %w", in.Storage, m.Driver, ErrNoList)
		}
		limit := in.Limit
		if limit <= 0 {
			limit = usualKeys
		}
		limit = min(limit, mostKeys)
		keys, err := lister.Keys(ctx, in.Prefix, limit+1)
		if err != nil {
			return fmt.Errorf("cannot list the keys of %s: %w", in.Storage, err)
		}
		slices.Sort(keys)
		out.Keys = keys
		if len(keys) > limit {
			out.Keys, out.More = keys[:limit], true
		}
		if out.Keys == nil {
			out.Keys = []string{}
		}
		return nil
	})
}
