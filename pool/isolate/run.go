package isolate

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// failed is the exit status of a first step that went wrong; its stderr says why.
const failed = 126

// Run does nothing in an ordinary process. In the first step of a worker (see the
// package's comment) it restricts the process, executes the worker and does not
// return. main, and TestMain of packages that start such workers, call it before
// anything else.
func Run() {
	if len(os.Args) == 0 || os.Args[0] != name {
		return
	}
	err := execute(os.Args)
	fmt.Fprintln(os.Stderr, "rrd: cannot isolate the worker:", err)
	os.Exit(failed)
}

func execute(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("%s is not for people", name)
	}
	var f filter
	if err := json.Unmarshal([]byte(args[1]), &f); err != nil {
		return err
	}
	// What follows holds for this thread, and exec makes the process of it.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if f.Landlock {
		if err := restrictFiles(f.Read, f.Write); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
	}{{"as", unix.RLIMIT_AS, f.AS}, {"nproc", unix.RLIMIT_NPROC, f.Nproc}} {
		if l.value == 0 {
			continue
		}
		if err := unix.Prlimit(0, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil); err != nil {
			return fmt.Errorf("limits.%s: %w", l.name, err)
		}
	}
	env := os.Environ()
	if f.Profile != "" {
		// Last, because it may forbid what the steps above need.
		if err := restrictCalls(&f); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	if err := syscall.Exec(args[2], args[3:], env); err != nil {
		return fmt.Errorf("cannot execute %s: %w", args[2], err)
	}
	return nil
}
