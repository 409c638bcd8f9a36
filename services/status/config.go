package status

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Config is the section `status`.
type Config struct {
	// Address is where the pages are served: host:port, tcp://host:port or
	// unix://path. A socket called "status" that was inherited takes its place.
	Address string `cfg:"address"`
	// Unavailable is the status of an answer when something is not well; 0 means
	// 503.
	Unavailable int `cfg:"unavailable_status_code"`
	// Timeout bounds a check and what a client may take; 0 means a minute.
	Timeout Seconds `cfg:"check_timeout"`
}

// Seconds is a time in whole seconds or, as RoadRunner's documentation shows it,
// with a unit.
type Seconds time.Duration

// UnmarshalText reads "60" and "60s".
func (s *Seconds) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseUint(string(text), 10, 31); err == nil {
		*s = Seconds(time.Duration(n) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time: write a number of seconds", text)
	}
	*s = Seconds(d)
	return nil
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if c.Unavailable == 0 {
		c.Unavailable = http.StatusServiceUnavailable
	}
	if c.Timeout == 0 {
		c.Timeout = Seconds(time.Minute)
	}
}

// KeyError is a value that cannot be used.
type KeyError struct{ Key, Problem, Fix string }

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem + "; " + e.Fix }

// ConfigError lets the configuration's owner add file and line.
func (e *KeyError) ConfigError() (key, problem, fix string) { return e.Key, e.Problem, e.Fix }

// Validate returns a [*KeyError] for an address that cannot be one and
// a code that no answer can have.
func (c *Config) Validate() error {
	var wrong *address.Error
	if c.Address != "" && errors.As(address.Listen(c.Address), &wrong) {
		return &KeyError{"status.address", wrong.Problem, wrong.Fix}
	}
	if c.Unavailable < 200 || c.Unavailable > 599 {
		return &KeyError{"status.unavailable_status_code", fmt.Sprintf("%d is no status of an answer", c.Unavailable), "use 200..599, usually 503"}
	}
	return nil
}
