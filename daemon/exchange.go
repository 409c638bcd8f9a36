package daemon

import (
	"context"
	"errors"
	"sync"

	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/control"
)

// plan is what a pool is to run after a reload.
type plan struct {
	config pool.Config
	spec   worker.Spec
}

// exchange gives all pools a new generation of workers, or none of them:
//
//  1. New workers boot in every pool: all of them, or the first reload.surge. If
//     one does not, all new ones end at once, and no pool has changed.
//  2. The pools with reload.surge go on, one after the other, so that their memory
//     stays within it. If one fails now it rolls back, and so do those before it,
//     by one exchange more.
//  3. The pools without it hand over, which cannot fail.
//
// Only with two or more pools that have reload.surge something has to be undone,
// and only where the application was changed in place, or does not boot any more
// as it was, a pool cannot return to its old code; its outcome says so.
func (d *Daemon) exchange(pools []*workers, plans []plan) []control.PoolReload {
	problems := make([]string, len(pools))
	staged := make([]*pool.Staged, len(pools))
	errs := make([]error, len(pools))
	booting, callOff := context.WithCancelCause(d.life)
	defer callOff(nil)
	var failing sync.Mutex
	failed := "" // name of a pool
	var wg sync.WaitGroup
	for i, w := range pools {
		wg.Go(func() {
			staged[i], errs[i] = w.pool.Stage(booting, plans[i].config, plans[i].spec)
			failing.Lock()
			defer failing.Unlock()
			if errs[i] != nil && failed == "" {
				failed = w.name
				callOff(leftAlone(failed)) // others may boot for long
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			problems[i] = explained(err).Error()
		}
	}
	// Those whose Commit may fail come first.
	order := make([]int, 0, len(pools))
	for _, rolls := range []bool{true, false} {
		for i, s := range staged {
			if s != nil && s.Rolls() == rolls {
				order = append(order, i)
			}
		}
	}
	committed := 0
	for ; failed == "" && committed < len(order); committed++ {
		i := order[committed]
		if err := staged[i].Commit(d.life); err != nil {
			failed, problems[i] = pools[i].name, explained(err).Error()
			break
		}
	}
	if failed != "" {
		for k, i := range order {
			switch {
			case problems[i] != "":
			case k < committed:
				problems[i] = undo(d.life, staged[i], failed)
			default:
				why := leftAlone(failed)
				problems[i] = why.Error()
				staged[i].Discard(why)
			}
		}
	}
	outcome := make([]control.PoolReload, len(pools))
	for i, w := range pools {
		s := w.pool.Stats()
		outcome[i] = control.PoolReload{Name: w.name, Generation: s.Generation, Workers: s.Workers, Error: problems[i]}
	}
	return outcome
}

// leftAlone is why a pool has not changed that would have.
func leftAlone(failed string) error {
	return errors.New("left alone, because " + failed + " failed")
}

// undo takes a pool back that serves a new generation already, and tells what it
// serves then.
func undo(ctx context.Context, s *pool.Staged, failed string) string {
	before, after := s.Dirs()
	if err := s.Undo(ctx); err != nil {
		return "serves the new code although " + failed + " failed, because it cannot return: " + explained(err).Error()
	}
	if before != after {
		return "returned to " + before + ", because " + failed + " failed"
	}
	return "returned to its old configuration, because " + failed + " failed; its code is what the folder holds now (let server.dir be a link to a release to return to the old code)"
}
