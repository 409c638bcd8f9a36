package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/pool"
)

// Phase of the start in which something failed.
type Phase uint8

const (
	// PhaseConfig: the file as a whole could not be read.
	PhaseConfig Phase = iota
	// PhaseInit: a section is wrong; nothing was started yet.
	PhaseInit
	// PhaseServe: a socket could not be opened or workers did not boot.
	PhaseServe
)

// StartError says why the daemon did not start.
type StartError struct {
	Phase Phase
	// Section of the configuration: http, rpc, server, ...
	Section string
	Err     error
}

func (e *StartError) Error() string {
	switch e.Phase {
	case PhaseServe:
		return fmt.Sprintf("cannot start %s: %s", e.Section, oneLine(e.Err))
	default:
		return e.Err.Error()
	}
}

func (e *StartError) Unwrap() error { return e.Err }

// oneLine adds to the text of a worker that did not boot what a person needs to
// mend it: the command, how it ended, what it wrote last, the likely fix.
func oneLine(err error) string {
	var boot *pool.BootError
	if !errors.As(err, &boot) {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %q", err, strings.Join(boot.Argv, " "))
	if boot.Dir != "" {
		fmt.Fprintf(&b, " in %s", boot.Dir)
	}
	if boot.Exit.Known {
		fmt.Fprintf(&b, " ended with %s", boot.Exit)
	}
	if len(boot.Stderr) > 0 {
		fmt.Fprintf(&b, "; it wrote: %s", strings.Join(boot.Stderr, " | "))
	}
	if boot.Hint != "" {
		fmt.Fprintf(&b, "; %s", boot.Hint)
	}
	return b.String()
}

// explained gives the error of a worker that did not boot its whole story, in
// several lines. The first is RoadRunner's text, which PHP clients get.
func explained(err error) error {
	var boot *pool.BootError
	if !errors.As(err, &boot) {
		return err
	}
	story := strings.TrimPrefix(boot.Explain(), boot.Error())
	return fmt.Errorf("%w%s", err, story)
}

// RoadRunner is the text that `rr serve` prints for the same failure
// (recorded from v2025.1.15). It is printed last, after our own line, when the
// daemon was started as `rr serve`.
func (e *StartError) RoadRunner() string {
	cause := e.Err.Error()
	var own *config.Error
	if errors.As(e.Err, &own) {
		cause = own.Problem
	}
	switch e.Phase {
	case PhaseConfig:
		if e.Section == "" {
			return "handle_serve_command: " + cause
		}
		return "handle_serve_command:\n\t" + e.Section + "_plugin_init: " + cause
	case PhaseInit:
		return "handle_serve_command:\n\t" + e.Section + "_plugin_init: " + cause
	default:
		return fmt.Sprintf("handle_serve_command: Function call error:\n\tserve error from the plugin *%s.Plugin stopping execution, error: %s", e.Section, cause)
	}
}
