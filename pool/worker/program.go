package worker

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/pool/cgroup"
)

// Program starts a program that is no worker: it reads nothing, and what it
// writes to stdout and stderr goes to spec.Stderr. With the process ends all that
// it has started; then its leaf is closed, which belongs to the process from now
// on, also on error.
func (s *Spawner) Program(spec *Spec) (*Process, error) {
	p, err := s.program(spec)
	if err != nil {
		_ = spec.Leaf.Close()
		return nil, err
	}
	return p, nil
}

func (s *Spawner) program(spec *Spec) (*Process, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	outR, outW, err := pipe("output", true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(outW)
	own := *spec
	own.alone = true
	return s.spawn(&own, []uintptr{uintptr(null), uintptr(outW), uintptr(outW)}, outR)
}

// OOM is what out-of-memory kills did to a program, once Done is closed.
func (p *Process) OOM() cgroup.OOM { return p.oom }
