package daemon

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

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

// Error has one line for each mistake, with key, file and line where they are
// known, and what to do about it.
func (e *StartError) Error() string {
	if e.Phase != PhaseServe {
		return e.Err.Error()
	}
	return "cannot start " + e.Section + ": " + oneLine(e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// whileServing is an error of the last phase, unless it says itself of which
// it is.
func whileServing(section string, err error) error {
	var own *StartError
	if errors.As(err, &own) {
		return own
	}
	return &StartError{Phase: PhaseServe, Section: section, Err: err}
}

// maxWords is how many of a dead worker's last lines go into one line of ours.
const maxWords = 5

// oneLine is what went wrong while starting, with its key and place. For a
// worker that did not boot it adds what a person needs to mend it: the command,
// how it ended, what it wrote last, the likely fix.
func oneLine(err error) string {
	text := err.Error()
	var at *config.Error
	if errors.As(err, &at) {
		text = (*config.Warning)(at).String() // without "cannot read"
	}
	var boot *pool.BootError
	if !errors.As(err, &boot) {
		return flat(text)
	}
	if before, garbage, ok := strings.Cut(text, ", invalid message: "); ok && quotes(boot.Hint, garbage) {
		text = before
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %q", strings.TrimSpace(text), strings.Join(boot.Argv, " "))
	if boot.Dir != "" {
		fmt.Fprintf(&b, " in %s", boot.Dir)
	}
	if boot.Exit.Known {
		fmt.Fprintf(&b, " ended with %s", boot.Exit)
	}
	if last := boot.Stderr; len(last) > 0 {
		fmt.Fprintf(&b, "; it wrote: %s", strings.Join(last[max(0, len(last)-maxWords):], "\n"))
	}
	if boot.Hint != "" {
		fmt.Fprintf(&b, "; %s", boot.Hint)
	}
	return flat(b.String())
}

// quotes tells whether a hint ends with a line of what the worker printed.
func quotes(hint, printed string) bool {
	i := strings.LastIndex(hint, ": ")
	return i >= 0 && i+2 < len(hint) && strings.Contains(printed, hint[i+2:])
}

// flat makes one printable line of a text that may hold anything that a program
// has written.
func flat(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return ' '
		}, line)
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " | ")
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

// saidByRoadRunner is RoadRunner's whole text, for a mistake that it finds in
// another phase than rrd does.
type saidByRoadRunner string

func (s saidByRoadRunner) Error() string { return string(s) }

// RoadRunner is the text that `rr serve` prints for the same failure (recorded
// from v2025.1.15).
func (e *StartError) RoadRunner() string {
	var said saidByRoadRunner
	if errors.As(e.Err, &said) {
		return said.Error()
	}
	cause := e.Err.Error()
	var own *config.Error
	if errors.As(e.Err, &own) {
		cause = own.Problem
	}
	switch {
	case e.Phase == PhaseServe:
		return fmt.Sprintf("handle_serve_command: Function call error:\n\tserve error from the plugin *%s.Plugin stopping execution, error: %s", e.Section, cause)
	case e.Section == "":
		return "handle_serve_command: " + cause
	}
	operation := "\n\t" + e.Section + "_plugin_init: "
	switch {
	case own != nil && own.Key == "http.trusted_subnets":
		operation = "\n\tproxy_ip_parser_init: "
	case own != nil && strings.HasPrefix(own.Key, "http.static."):
		operation = "\n\tstatic_plugin_init:\n\tstatic_plugin_valid: "
	case e.Section == "http":
		operation = "\n\thttp_plugin_init:\n\tvalidation: "
		if own != nil && strings.HasPrefix(own.Key, "http.ssl.") {
			operation = "\n\thttp_plugin_init:\n\tvalidation:\n\tssl_valid: "
		}
	}
	return "handle_serve_command:" + operation + cause
}
