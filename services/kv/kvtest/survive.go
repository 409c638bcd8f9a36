package kvtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rr-systemd/rrd/services/kv"
)

// Survive calls a storage from several clients while its store goes away and
// comes back. Each client has a key of its own, which may be lost with the store
// but never be another's or half.
func Survive(t *testing.T, s kv.Storage, away, back func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var failed, worked int // since the last look
	count := func() (f, w int) {
		mu.Lock()
		defer mu.Unlock()
		f, w, failed, worked = failed, worked, 0, 0
		return f, w
	}
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			key := fmt.Sprint("client-", c)
			for n := 0; ctx.Err() == nil; n++ {
				value := bytes.Repeat(fmt.Appendf(nil, "%d.%d ", c, n), 500)
				err := s.Set(ctx, []kv.Item{{Key: key, Value: value}})
				var got []kv.Item
				if err == nil {
					got, err = s.MGet(ctx, []string{key})
				}
				if err == nil && len(got) == 1 && !bytes.Equal(got[0].Value, value) {
					t.Errorf("%s: read %.20q, wrote %.20q", key, got[0].Value, value)
					return
				}
				if err != nil && ctx.Err() == nil && strings.TrimSpace(err.Error()) == "" {
					t.Errorf("an error without a text: %#v", err)
				}
				mu.Lock()
				if err != nil {
					failed++
				} else {
					worked++
				}
				mu.Unlock()
			}
		})
	}
	defer clients.Wait()
	defer cancel()
	Poll(t, "calls work", func() bool { _, w := count(); return w > 20 })
	away()
	Poll(t, "calls fail", func() bool { f, _ := count(); return f > 0 })
	back()
	Poll(t, "calls work again", func() bool { f, w := count(); return w > 20 && f == 0 })
}
