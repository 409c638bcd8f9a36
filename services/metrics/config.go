package metrics

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/rr-systemd/rrd/ipc/address"
)

// DefaultAddress is where RoadRunner serves its metrics.
const DefaultAddress = "127.0.0.1:2112"

// Config is the section `metrics`.
type Config struct {
	// Address is where the page is served: host:port, tcp://host:port or
	// unix://path. A socket called "metrics" that was inherited takes its place.
	Address string `cfg:"address"`
	// Collect declares collectors of the application, by name.
	Collect map[string]*Declaration `cfg:"collect"`
}

// Declaration is a collector in the configuration.
type Declaration struct {
	Collector `cfg:",squash"`
	// Quantiles is the key objectives. A dot in a key separates levels there, so
	// {0.5: 0.05} arrives as {0: {5: 0.05}}.
	Quantiles map[string]any `cfg:"objectives"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
}

// KeyError is a value that cannot be used.
type KeyError struct {
	Key     string // metrics.collect.NAME
	Problem string
	Fix     string
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem + "; " + e.Fix }

// ConfigError lets the configuration's owner add file and line.
func (e *KeyError) ConfigError() (key, problem, fix string) { return e.Key, e.Problem, e.Fix }

// Validate returns a [*KeyError] for the first value that cannot be used,
// and puts Quantiles into Objectives.
func (c *Config) Validate() error {
	var wrong *address.Error
	if c.Address != "" && errors.As(address.Listen(c.Address), &wrong) {
		return &KeyError{"metrics.address", wrong.Problem, wrong.Fix}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Collect)) {
		d := c.Collect[name]
		if d == nil {
			d = new(Declaration)
		}
		key := "metrics.collect." + name
		if !d.known() {
			return &KeyError{key, fmt.Sprintf("invalid metric type `%s` for `%s`", d.Type, name), "write counter, gauge, histogram or summary"}
		}
		if len(d.Quantiles) > 0 {
			d.Objectives = make(map[float64]float64)
			if err := quantiles(d.Objectives, "", d.Quantiles); err != nil {
				return &KeyError{key + ".objectives", err.Error(), "write QUANTILE: ERROR, for example 0.99: 0.001"}
			}
		}
		if _, err := newCollector(name, d.Collector); err != nil {
			return &KeyError{key, err.Error(), "change it"}
		}
	}
	return nil
}

// quantiles puts the levels of a key together again.
func quantiles(out map[float64]float64, prefix string, levels map[string]any) error {
	for key, value := range levels {
		if prefix != "" {
			key = prefix + "." + key
		}
		if below, ok := value.(map[string]any); ok {
			if err := quantiles(out, key, below); err != nil {
				return err
			}
			continue
		}
		q, err := strconv.ParseFloat(key, 64)
		if err != nil {
			return fmt.Errorf("%q is no quantile", key)
		}
		if out[q], err = strconv.ParseFloat(fmt.Sprint(value), 64); err != nil {
			return fmt.Errorf("the error %v of the quantile %s is no number", value, key)
		}
	}
	return nil
}
