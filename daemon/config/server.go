package config

import (
	"errors"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Server is the section `server`: how worker processes are started.
type Server struct {
	// Command of every pool without one of its own. One element is split at
	// every single space, more are the argument vector.
	Command []string `cfg:"command"`
	// Dir is the working directory of workers, with its symbolic links resolved
	// anew for every generation. Empty: that of the daemon. (extension)
	Dir   string            `cfg:"dir"`
	User  string            `cfg:"user"`
	Group string            `cfg:"group"`
	Env   map[string]string `cfg:"env"`
	// Relay is pipes, tcp://host:port or unix://path.
	Relay  string  `cfg:"relay"`
	OnInit *OnInit `cfg:"on_init"`

	// RelayTimeout has been without effect since RoadRunner v2024.1.
	RelayTimeout any `cfg:"relay_timeout,ignored"`
}

// OnInit is a command that runs once, before the first worker.
type OnInit struct {
	Command     []string          `cfg:"command"`
	ExecTimeout time.Duration     `cfg:"exec_timeout"` // then it is killed
	Env         map[string]string `cfg:"env"`
	User        string            `cfg:"user"`
	// ExitOnError ends the start when the command fails; else it is logged.
	ExitOnError bool `cfg:"exit_on_error"`
}

// Defaults fills what is not set.
func (s *Server) Defaults() {
	if s.Relay == "" {
		s.Relay = "pipes"
	}
	if s.OnInit != nil && s.OnInit.ExecTimeout == 0 {
		s.OnInit.ExecTimeout = time.Minute
	}
}

// Validate returns [Errors]; their Problem is RoadRunner's text.
func (s *Server) Validate() error {
	var errs Errors
	if emptyCommand(s.Command) {
		errs = append(errs, &Error{Key: "server.command", Problem: "command should not be empty", Fix: `write for example command: "php worker.php"`})
	}
	if s.Relay != "pipes" && !validDSN(s.Relay) {
		errs = append(errs, &Error{Key: "server.relay", Value: s.Relay, Problem: "invalid DSN (tcp://:6001, unix://file.sock)", Fix: "write pipes, tcp://127.0.0.1:7000 or unix:///run/relay.sock"})
	} else if s.Relay != "pipes" {
		errs = append(errs, checkAddress("server.relay", s.Relay)...)
	}
	if s.OnInit != nil {
		if emptyCommand(s.OnInit.Command) {
			errs = append(errs, &Error{Key: "server.on_init.command", Problem: "command should not be empty", Fix: "write the command, or remove on_init"})
		}
		if s.OnInit.ExecTimeout < 0 {
			errs = append(errs, &Error{Key: "server.on_init.exec_timeout", Value: s.OnInit.ExecTimeout.String(), Problem: "timeout is negative", Fix: "write for example 60s"})
		}
	}
	return errs.orNil()
}

func emptyCommand(argv []string) bool {
	return len(argv) == 0 || strings.TrimSpace(argv[0]) == ""
}

// validDSN accepts tcp://address and unix://path.
func validDSN(dsn string) bool {
	scheme, address, ok := strings.Cut(dsn, "://")
	return ok && address != "" && !strings.Contains(address, "://") && (scheme == "tcp" || scheme == "unix")
}

// checkAddress checks where to listen, if that is set.
func checkAddress(key, value string) Errors {
	var wrong *address.Error
	if value == "" || !errors.As(address.Listen(value), &wrong) {
		return nil
	}
	return Errors{{Key: key, Value: value, Problem: wrong.Problem, Fix: wrong.Fix}}
}
