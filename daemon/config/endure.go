package config

import (
	"log/slog"
	"strings"
	"time"
)

// Endure is the section `endure`: the life of the daemon.
type Endure struct {
	GracePeriod time.Duration `cfg:"grace_period"` // for running work at stop
	LogLevel    string        `cfg:"log_level"`    // of the daemon's own life cycle: debug, info, warn, error
	// WatchdogSec is how many seconds RoadRunner lets pass between two watchdog
	// messages. 0: as the service manager asks for.
	WatchdogSec int `cfg:"watchdog_sec"`
	// PrintGraph shows RoadRunner's plugin graph; there is none here.
	PrintGraph any `cfg:"print_graph,ignored"`
}

// Defaults fills what is not set.
func (e *Endure) Defaults() {
	if e.GracePeriod == 0 {
		e.GracePeriod = 30 * time.Second
	}
	if e.LogLevel == "" {
		e.LogLevel = "error"
	}
}

// Level is LogLevel for slog.
func (e *Endure) Level() slog.Level {
	switch strings.ToLower(e.LogLevel) {
	case "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "warn", "warning":
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Validate returns [Errors].
func (e *Endure) Validate() error {
	var errs Errors
	if e.GracePeriod < 0 {
		errs = append(errs, &Error{Key: "endure.grace_period", Value: e.GracePeriod.String(), Problem: "grace period is negative", Fix: "write for example 30s"})
	}
	if e.WatchdogSec < 0 {
		errs = append(errs, &Error{Key: "endure.watchdog_sec", Problem: "number of seconds is negative", Fix: "write 0 to follow WatchdogSec= of the unit"})
	}
	switch strings.ToLower(e.LogLevel) {
	case "", "debug", "info", "warn", "warning", "error":
	default:
		errs = append(errs, &Error{Key: "endure.log_level", Value: e.LogLevel, Problem: "unknown log level \"" + e.LogLevel + "\"", Fix: "write debug, info, warn or error"})
	}
	return errs.orNil()
}
