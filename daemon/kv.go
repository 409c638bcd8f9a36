package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/boltdb"
	"github.com/rr-systemd/rrd/services/kv/memcached"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/kv/redis"
)

var kvModule = module{
	name:     "kv",
	sections: []string{"kv"},
	named:    kvSections,
	settings: func(tree *config.Tree) section {
		if !tree.Has("kv") {
			return nil
		}
		return new(kvSettings)
	},
	start: startKV,
}

// kvStorages are the storages of the section kv at work.
type kvStorages struct {
	log     *slog.Logger
	mounted map[string]kv.Mounted
	memory  []namedMemory
}

type namedMemory struct {
	name string
	*memory.Storage
}

func startKV(d *Daemon, s *settings) (*service, error) {
	k := &kvStorages{log: d.root.With(logkey.Logger, "kv"), mounted: make(map[string]kv.Mounted)}
	for _, c := range s.modules["kv"].(*kvSettings).storages {
		storage, err := k.open(c)
		if err != nil {
			return nil, errors.Join(s.tree.At("kv."+c.name, err), k.close())
		}
		k.mounted[c.name] = kv.Mounted{Driver: c.driver, Storage: storage}
		if m, ok := storage.(interface {
			Collector(storage string) prometheus.Collector
		}); ok {
			if err := d.metrics.Register(m.Collector(c.name)); err != nil {
				return nil, errors.Join(err, k.close())
			}
		}
	}
	k.load(d.saved("kv"))
	kv.Register(d.rpc.server, k.mounted, kv.Options{Trace: d.traceKV()})
	svc := &service{run: k.run, close: k.close}
	if len(k.memory) > 0 {
		svc.save = k.save
	}
	return svc, nil
}

func (k *kvStorages) open(c kvStorage) (kv.Storage, error) {
	switch o := c.config.(type) {
	case *memory.Config:
		m := memory.New(*o)
		k.memory = append(k.memory, namedMemory{c.name, m})
		return m, nil
	case *boltdb.Config:
		return boltdb.New(*o, k.log)
	case *redis.Config:
		return redis.New(*o, k.log)
	case *memcached.Config:
		return memcached.New(*o)
	}
	return nil, fmt.Errorf("driver %s cannot be started", c.driver)
}

// run does what the storages do beside calls.
func (k *kvStorages) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for name, m := range k.mounted {
		if r, ok := m.Storage.(interface{ Run(context.Context) error }); ok {
			g.Go(func() error { return r.Run(ctx) })
		}
		if p, ok := m.Storage.(interface{ Ping(context.Context) error }); ok {
			g.Go(func() error {
				k.ping(ctx, name, m.Driver, p.Ping)
				return nil
			})
		}
	}
	<-ctx.Done()
	return g.Wait()
}

// ping tells at the start, and not only when a user comes, that a store cannot be
// reached. It is no error: the store may come later, and calls find out anew.
func (k *kvStorages) ping(ctx context.Context, name, driver string, ping func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := ping(ctx); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		k.log.Warn("the store of a kv storage cannot be reached", "storage", name, "driver", driver, logkey.Error, err)
	}
}

// save writes the storages that are in memory: for each the length of its name,
// its name, and what memory.Storage.Save writes.
func (k *kvStorages) save(w io.Writer) error {
	for _, m := range k.memory {
		if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(m.name))), m.name...)); err != nil {
			return err
		}
		if err := m.Save(w); err != nil {
			return err
		}
	}
	return nil
}

// load reads what save wrote before a restart.
func (k *kvStorages) load(saved []byte) {
	r := bufio.NewReader(bytes.NewReader(saved))
	for {
		name, err := readName(r)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = k.find(name).Load(r)
		}
		if err != nil {
			k.log.Error("cannot read all keys from before the restart", "storage", name, logkey.Error, err)
			return
		}
	}
}

// find returns the storage of a name, one that nobody sees if there is none any
// more.
func (k *kvStorages) find(name string) *memory.Storage {
	for _, m := range k.memory {
		if m.name == name {
			return m.Storage
		}
	}
	k.log.Warn("keys from before the restart are dropped: the storage is not in the configuration any more", "storage", name)
	return memory.New(memory.Config{})
}

func readName(r *bufio.Reader) (string, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if n > 1<<16 {
		return "", errors.New("the saved state is damaged")
	}
	name := make([]byte, n)
	_, err = io.ReadFull(r, name)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return string(name), err
}

func (k *kvStorages) close() error {
	var errs []error
	for name, m := range k.mounted {
		if c, ok := m.Storage.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("cannot close kv storage %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}
