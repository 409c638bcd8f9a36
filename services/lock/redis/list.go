package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rr-systemd/rrd/services/lock"
)

// globChars have a meaning in the pattern of SCAN.
var globChars = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// List implements lock.Lister: the locks of all daemons. Each resource is as it was
// at one moment, not all at the same.
func (l *Locks) List(ctx context.Context) ([]lock.Resource, error) {
	var mu sync.Mutex
	names := make(map[string]bool) // SCAN may give a key twice
	scan := func(ctx context.Context, node redis.Cmdable) error {
		it := node.Scan(ctx, 0, globChars.Replace(l.key)+"*", 1000).Iterator()
		for it.Next(ctx) {
			mu.Lock()
			names[strings.TrimPrefix(it.Val(), l.key)] = true
			mu.Unlock()
		}
		return it.Err()
	}
	var err error
	if cluster, ok := l.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, l.client)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	list := []lock.Resource{}
	for name := range names {
		r, err := l.describe(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(r.Holders) > 0 {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b lock.Resource) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func (l *Locks) describe(ctx context.Context, name string) (lock.Resource, error) {
	answer, err := l.call(ctx, name, "list").Slice()
	if err != nil {
		return lock.Resource{}, err
	}
	r := lock.Resource{Name: name, Mode: lock.Read.String()}
	if answer[0].(int64) == 1 {
		r.Mode = lock.Write.String()
	}
	r.Waiting = int(answer[1].(int64))
	for h := range slices.Chunk(answer[2:], 3) {
		ttl := time.Duration(h[1].(int64)) * time.Microsecond
		r.Holders = append(r.Holders, lock.Holder{ID: h[0].(string), TTL: ttl.Seconds(), Token: uint64(h[2].(int64))})
	}
	return r, nil
}
