package config

import "time"

// Endure is the section `endure`: the life of the daemon.
type Endure struct {
	GracePeriod time.Duration `cfg:"grace_period"` // for running work at stop
	// WatchdogSec is how many seconds pass between two watchdog messages. 0: as
	// the service manager asks for.
	WatchdogSec int `cfg:"watchdog_sec"`
	// LogLevel and PrintGraph are about RoadRunner's plugin container; there is
	// none here.
	LogLevel   any `cfg:"log_level,ignored"`
	PrintGraph any `cfg:"print_graph,ignored"`
}

// Defaults fills what is not set.
func (e *Endure) Defaults() {
	if e.GracePeriod == 0 {
		e.GracePeriod = 30 * time.Second
	}
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
	return errs.orNil()
}
