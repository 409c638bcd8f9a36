package isolate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	landlock "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// ABI versions of Landlock: the first that knows a right.
const (
	abiTruncate = 3 // Linux 6.2
	abiScope    = 6 // Linux 6.12: signals
)

// Check finds out whether this kernel can do what the options ask for. The error
// begins with the key and names what is missing; so does each warning, for what is
// left open although the rest is enforced.
func (o *Options) Check() (warnings []string, err error) {
	if o.Seccomp.on() && !hasFilters() {
		return nil, errors.New("seccomp.profile: this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER): set it to off")
	}
	if o.Landlock == nil {
		return nil, nil
	}
	abi, err := landlock.LandlockGetABIVersion()
	switch {
	case errors.Is(err, unix.ENOSYS):
		return nil, errors.New("landlock: this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK): remove the section, or use ProtectSystem= and ReadWritePaths= of the unit")
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, errors.New("landlock: Landlock is not enabled at boot: add landlock to lsm= on the kernel's command line, or remove the section")
	case errors.Is(err, unix.EPERM):
		return nil, errors.New("landlock: its system calls are forbidden to the daemon: add landlock_create_ruleset, landlock_add_rule and landlock_restrict_self to SystemCallFilter= of the unit")
	case err != nil:
		return nil, fmt.Errorf("landlock: cannot ask the kernel for its version: %w", err)
	}
	for _, list := range []struct {
		key   string
		paths []string
	}{{"read", o.Landlock.Read}, {"write", o.Landlock.Write}} {
		for _, path := range list.paths {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("landlock.%s: %q does not exist: create it or remove it from the list", list.key, path)
			}
		}
	}
	if abi < abiTruncate {
		warnings = append(warnings, fmt.Sprintf("landlock: this kernel (Landlock %d) cannot forbid to truncate files; Linux 6.2 can", abi))
	}
	if abi < abiScope {
		warnings = append(warnings, fmt.Sprintf("landlock: this kernel (Landlock %d) cannot forbid to signal other processes; Linux 6.12 can", abi))
	}
	return warnings, nil
}

// hasFilters asks by prctl(2) with a filter at address 0. The daemon's own filter
// may forbid seccomp(2).
func hasFilters() bool {
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0) == unix.EFAULT
}
