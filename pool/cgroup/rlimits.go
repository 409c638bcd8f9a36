package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Rlimits are limits of a single process, which its children inherit. 0 and nil
// leave what the daemon has.
type Rlimits struct {
	// Nofile is the number of open descriptors.
	Nofile uint64 `cfg:"nofile"`
	// Core is the size of a core dump: 0 for none, -1 for no limit.
	Core *int64 `cfg:"core,size"`
	// AS is the address space. Opcache and shared libraries count in full, so
	// memory is the better limit where control groups work.
	AS int64 `cfg:"as,size"`
	// Nproc is the number of processes and threads of the worker's user in the
	// whole system; pids counts only the worker's own.
	Nproc uint64 `cfg:"nproc"`
	// OOMScoreAdj, -1000 to 1000, is added when the kernel chooses whom to kill
	// because the machine has no memory left; less than the daemon's own
	// needs CAP_SYS_RESOURCE.
	OOMScoreAdj *int `cfg:"oom_score_adj"`
}

// leastNofile is what PHP and its libraries need to start.
const leastNofile = 16

// Validate checks the values. Keys are named without "limits.".
func (r *Rlimits) Validate() error {
	switch {
	case r.Nofile > 0 && r.Nofile < leastNofile:
		return fmt.Errorf("nofile: %d is too small for a PHP process; write at least %d, 0 for the daemon's own limit", r.Nofile, leastNofile)
	case r.Core != nil && *r.Core < -1:
		return fmt.Errorf("core: cannot be negative, got %d; use 0 for no core dumps, -1 for no limit", *r.Core)
	case r.AS < 0:
		return fmt.Errorf("as: cannot be negative, got %d; use 0 for no limit", r.AS)
	case r.AS > 0 && r.AS < leastMemory:
		return fmt.Errorf("as: %d bytes are too few to start PHP; write %dM for MiB", r.AS, r.AS)
	case r.OOMScoreAdj != nil && (*r.OOMScoreAdj < -1000 || *r.OOMScoreAdj > 1000):
		return fmt.Errorf("oom_score_adj: %d is out of range; write -1000 to 1000", *r.OOMScoreAdj)
	}
	return nil
}

// Empty reports whether there is nothing to apply.
func (r *Rlimits) Empty() bool { return *r == Rlimits{} }

// Apply sets the limits of a process, 0 for the calling one: soft and hard, so
// that it cannot raise them again. It works from outside as long as the process
// has the user of the caller (or the caller is privileged), and takes effect at
// once: open descriptors and mapped memory above a new limit stay. The error
// names the keys that failed; the others are applied all the same.
func (r *Rlimits) Apply(pid int) error {
	var errs []error
	set := func(key string, resource int, value uint64) {
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			if err == unix.EPERM {
				err = fmt.Errorf("%d is above the hard limit of the service: %w", value, err)
			}
			errs = append(errs, fmt.Errorf("cannot set limits.%s: %w", key, err))
		}
	}
	if r.Nofile > 0 {
		set("nofile", unix.RLIMIT_NOFILE, r.Nofile)
	}
	if r.Core != nil {
		set("core", unix.RLIMIT_CORE, uint64(*r.Core)) // -1 is RLIM_INFINITY
	}
	if r.AS > 0 {
		set("as", unix.RLIMIT_AS, uint64(r.AS))
	}
	if r.Nproc > 0 {
		set("nproc", unix.RLIMIT_NPROC, r.Nproc)
	}
	if r.OOMScoreAdj != nil {
		name := "self"
		if pid != 0 {
			name = strconv.Itoa(pid)
		}
		if err := os.WriteFile("/proc/"+name+"/oom_score_adj", strconv.AppendInt(nil, int64(*r.OOMScoreAdj), 10), 0); err != nil {
			errs = append(errs, fmt.Errorf("cannot set limits.oom_score_adj: %w", err))
		}
	}
	return errors.Join(errs...)
}
