package daemon

import (
	"context"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// processorsInterval is how often the daemon looks at what it used. A burst may
	// wait so long for more processors.
	processorsInterval = 250 * time.Millisecond
	// The daemon takes more processors when it uses more than this share of those it
	// has: at 0.6 of one, a request waits about as long for it as it takes of it.
	processorsBusy = 0.6
	// It takes fewer when it would use less than half of those, for so many intervals.
	processorsCalm = 0.25
	processorsWait = 8
)

// processors says how many processors the Go runtime may use at once (GOMAXPROCS):
// as few as the daemon's own work needs, from one to what the machine and the unit's
// CPUQuota= allow. A request makes a handful of goroutines ready one after the other,
// and for each the runtime wakes a thread on an idle processor to look for work that
// is not there. With PHP at work on the other processors that costs more than the
// requests themselves do (bench/README.md).
//
//	used > 0.6 n              n doubles, at most full
//	used < 0.25 n for 2 s     n halves, at least 1
//
// Who sets GOMAXPROCS decides for himself.
type processors struct {
	full int // what the machine and the quota allow
	n    int // in use
	calm int // intervals in a row in which half would have done
}

// next takes the processor time of one interval, in processors, and tells how many
// to use in the next.
func (p *processors) next(used float64) int {
	switch n := float64(p.n); {
	case used > processorsBusy*n && p.n < p.full:
		p.n, p.calm = min(2*p.n, p.full), 0
	case used < processorsCalm*n && p.n > 1:
		if p.calm++; p.calm == processorsWait {
			p.n, p.calm = p.n/2, 0
		}
	default:
		p.calm = 0
	}
	return p.n
}

// fitProcessors keeps the runtime at as few processors as do, until ctx ends.
func (d *Daemon) fitProcessors(ctx context.Context) {
	p := processors{full: runtime.GOMAXPROCS(0), n: 1}
	if os.Getenv("GOMAXPROCS") != "" || p.full == 1 {
		return
	}
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.GOMAXPROCS(p.n)
	tick := time.NewTicker(processorsInterval)
	defer tick.Stop()
	last, lastUsed := time.Now(), processTime()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.n == p.full { // the runtime follows a quota that changes
			p.full = runtime.GOMAXPROCS(0)
			p.n = p.full
		}
		now, used, before := time.Now(), processTime(), p.n
		switch n := p.next(float64(used-lastUsed) / float64(now.Sub(last))); n {
		case before:
		case p.full:
			runtime.SetDefaultGOMAXPROCS()
		default:
			runtime.GOMAXPROCS(n)
		}
		last, lastUsed = now, used
	}
}

// processTime is the processor time that this process has used.
func processTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0 // never on Linux
	}
	return time.Duration(t.Nano())
}
