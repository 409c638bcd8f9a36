package kv

import (
	"context"
	"fmt"

	"github.com/rr-systemd/rrd/services/kv/kvv1"
	"github.com/rr-systemd/rrd/services/rpc"
)

// Mounted is a storage under a name.
type Mounted struct {
	Driver  string // memory, boltdb, redis, memcached
	Storage Storage
}

// Options of the service.
type Options struct {
	// Trace follows the calls; nil does not.
	Trace Tracer
}

// Tracer begins the span of a call and returns the context for the driver and
// what ends the span, with the error that the caller gets.
type Tracer func(context.Context, Call) (context.Context, func(error))

// Call is what a span says of a call.
type Call struct {
	Method  string // has, set, mget, mexpire, ttl, delete, clear
	Storage string
	Driver  string
	Items   int
}

// Register adds the methods of kv to s. The storages and their names, which are
// in lower case as all of the configuration, are fixed then.
func Register(s *rpc.Server, storages map[string]Mounted, o Options) {
	v := &service{storages: make(map[string]*mounted, len(storages)), trace: o.Trace}
	for name, m := range storages {
		words, ok := dialects[m.Driver]
		if !ok {
			panic(fmt.Sprintf("kv: storage %s has the unknown driver %q", name, m.Driver))
		}
		_, prompt := m.Storage.(Prompt)
		v.storages[name] = &mounted{Mounted: m, dialect: words, prompt: prompt}
	}
	v.register(s, "Has", "has", (*mounted).has)
	v.register(s, "Set", "set", (*mounted).set)
	v.register(s, "MGet", "mget", (*mounted).mget)
	v.register(s, "MExpire", "mexpire", (*mounted).mexpire)
	v.register(s, "TTL", "ttl", (*mounted).ttl)
	v.register(s, "Delete", "delete", (*mounted).delete)
	v.register(s, "Clear", "clear", (*mounted).clear)
	v.registerLists(s)
}

type service struct {
	storages map[string]*mounted
	trace    Tracer
}

type mounted struct {
	Mounted
	dialect
	prompt bool
}

// register adds one method.
func (v *service) register(s *rpc.Server, name, method string, do func(*mounted, context.Context, []*kvv1.Item, *kvv1.Response) error) {
	inline := func(in *kvv1.Request) bool {
		m := v.storages[in.GetStorage()]
		return m == nil || m.prompt && method != "clear" // which takes long if there is much
	}
	rpc.RegisterInline(s, "kv."+name, rpc.Anyone, inline, func(ctx context.Context, in *kvv1.Request, out *kvv1.Response) error {
		m := v.storages[in.GetStorage()]
		if m == nil {
			return missing(method, in.GetStorage())
		}
		if v.trace == nil {
			return do(m, ctx, in.GetItems(), out)
		}
		ctx, end := v.trace(ctx, Call{Method: method, Storage: in.GetStorage(), Driver: m.Driver, Items: len(in.GetItems())})
		err := do(m, ctx, in.GetItems(), out)
		end(err)
		return err
	})
}

func missing(method, storage string) error {
	if storage == "" && method != "set" {
		return fmt.Errorf("%s: %w", operation(method), ErrNoStorage)
	}
	return fmt.Errorf("%s: %w: %s", operation(method), ErrUnknownStorage, storage)
}

func (m *mounted) has(ctx context.Context, items []*kvv1.Item, out *kvv1.Response) error {
	keys, err := m.keys("has", items)
	if err != nil {
		return err
	}
	found, err := m.Storage.Has(ctx, keys)
	for _, key := range found {
		out.Items = append(out.Items, &kvv1.Item{Key: key})
	}
	return m.failed("has", err)
}

func (m *mounted) mget(ctx context.Context, items []*kvv1.Item, out *kvv1.Response) error {
	keys, err := m.keys("mget", items)
	if err != nil {
		return err
	}
	found, err := m.Storage.MGet(ctx, keys)
	for _, item := range found {
		out.Items = append(out.Items, &kvv1.Item{Key: item.Key, Value: item.Value})
	}
	return m.failed("mget", err)
}

func (m *mounted) ttl(ctx context.Context, items []*kvv1.Item, out *kvv1.Response) error {
	if m.anyTTL {
		items = nil
	}
	keys, err := m.keys("ttl", items)
	if err != nil {
		return err
	}
	found, err := m.Storage.TTL(ctx, keys)
	for _, item := range found {
		out.Items = append(out.Items, &kvv1.Item{Key: item.Key, Timeout: item.Expiry.Text})
	}
	return m.failed("ttl", err)
}

func (m *mounted) delete(ctx context.Context, items []*kvv1.Item, _ *kvv1.Response) error {
	keys, err := m.keys("delete", items)
	if err != nil {
		return err
	}
	return m.failed("delete", m.Storage.Delete(ctx, keys))
}

func (m *mounted) clear(ctx context.Context, _ []*kvv1.Item, _ *kvv1.Response) error {
	return m.failed("clear", m.Storage.Clear(ctx))
}

func (m *mounted) set(ctx context.Context, items []*kvv1.Item, _ *kvv1.Response) error {
	list := make([]Item, 0, len(items))
	var bad error
	for _, item := range items {
		expiry, err := ParseExpiry(item.GetTimeout())
		if err != nil {
			bad = err
			break
		}
		list = append(list, Item{Key: item.GetKey(), Value: item.GetValue(), Expiry: expiry})
	}
	if bad != nil && !m.partial {
		return m.failed("set", bad)
	}
	err := bad
	if len(list) > 0 {
		if failure := m.Storage.Set(ctx, list); failure != nil {
			err = failure
		}
	}
	return m.failed("set", err)
}

func (m *mounted) mexpire(ctx context.Context, items []*kvv1.Item, _ *kvv1.Response) error {
	list := make([]Item, 0, len(items))
	for _, item := range items {
		if item.GetTimeout() == "" || Blank(item.GetKey()) {
			return m.incomplete()
		}
		expiry, err := ParseExpiry(item.GetTimeout())
		if err != nil {
			return m.failed("mexpire", err)
		}
		list = append(list, Item{Key: item.GetKey(), Expiry: expiry})
	}
	if len(list) == 0 {
		return nil
	}
	return m.failed("mexpire", m.Storage.MExpire(ctx, list))
}

// keys are the keys of the items, each once, in the order of the call.
func (m *mounted) keys(method string, items []*kvv1.Item) ([]string, error) {
	keys := make([]string, 0, len(items))
	var seen map[string]bool
	if len(items) > 1 {
		seen = make(map[string]bool, len(items))
	}
	for _, item := range items {
		key := item.GetKey()
		if Blank(key) {
			return nil, m.emptyKey(method)
		}
		if seen != nil {
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		keys = append(keys, key)
	}
	return keys, nil
}
