package http

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Route gives the requests that match it to a pool, with limits of their own.
// The first route that matches counts; without one a request goes to http.pool
// with the limits of the http section.
type Route struct {
	Match Match `cfg:"match"`
	// Pool is a name of http.pools; empty means http.pool.
	Pool string `cfg:"pool"`
	// Timeout bounds the worker's time until its answer begins, and for each part
	// of a stream, beside supervisor.exec_ttl. 0 means that only that does.
	Timeout time.Duration `cfg:"timeout"`
	// AllocateTimeout bounds the wait for a worker, beside the pool's.
	AllocateTimeout time.Duration `cfg:"allocate_timeout"`
	// MaxQueueSize is how many requests of this route may wait for a worker, 0 for
	// no limit beside the pool's.
	MaxQueueSize int `cfg:"max_queue_size"`
	// MaxRequestSize bounds a body, in MiB; 0 means http.max_request_size.
	MaxRequestSize uint64 `cfg:"max_request_size"`
	// Priority of waiting requests: high, normal (default) or low.
	Priority string `cfg:"priority"`
	// Retry and RequestStreaming are as in Config, whose values they replace.
	Retry            *bool `cfg:"retry"`
	RequestStreaming *bool `cfg:"request_streaming"`
}

// Match is what a request must have, all of it; of a list, one entry. What is
// left out does not matter.
type Match struct {
	// Host names without port, in any case; *.example.com is all below
	// example.com.
	Host []string `cfg:"host"`
	// Path patterns. One without * and ? is a prefix that ends at a slash:
	// /api is /api and /api/users, not /apis. Else it is the whole path: ? is a
	// character, * any number of them without a slash, ** any number.
	Path []string `cfg:"path"`
	// Method names.
	Method []string `cfg:"method"`
	// Header fields and what they contain; * stands for any text.
	Header map[string]string `cfg:"header"`
}

func (m *Match) empty() bool {
	return len(m.Host) == 0 && len(m.Path) == 0 && len(m.Method) == 0 && len(m.Header) == 0
}

func (c *Config) validateRoutes() error {
	for i := range c.Routes {
		r := &c.Routes[i]
		key := fmt.Sprintf("http.routes[%d]", i)
		if err := r.validate(key); err != nil {
			return err
		}
		if r.Match.empty() && i < len(c.Routes)-1 {
			return fmt.Errorf("%s.match: is empty and matches every request, so the routes below it are never used: say what it matches, or put it last", key)
		}
	}
	return nil
}

func (r *Route) validate(key string) error {
	for _, host := range r.Match.Host {
		if name := strings.TrimPrefix(host, "*."); name == "" || strings.ContainsAny(name, "*/:@ ") {
			return fmt.Errorf("%s.match.host: %q is no host name: write example.com or *.example.com, without port", key, host)
		}
	}
	for _, path := range r.Match.Path {
		if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "**") {
			return fmt.Errorf("%s.match.path: %q matches no path: begin it with / or **", key, path)
		}
	}
	for _, method := range r.Match.Method {
		if !isToken(method) {
			return fmt.Errorf("%s.match.method: %q is no method: write for example POST", key, method)
		}
	}
	for name := range r.Match.Header {
		if !isToken(name) {
			return fmt.Errorf("%s.match.header: %q is no name of a header field", key, name)
		}
	}
	switch {
	case r.Timeout < 0 || 0 < r.Timeout && r.Timeout < time.Millisecond:
		return fmt.Errorf("%s.timeout: %s is no time to wait: write for example 5s; 0 leaves it to supervisor.exec_ttl", key, r.Timeout)
	case r.AllocateTimeout < 0 || 0 < r.AllocateTimeout && r.AllocateTimeout < time.Millisecond:
		return fmt.Errorf("%s.allocate_timeout: %s is no time to wait: write for example 5s; 0 leaves it to the pool", key, r.AllocateTimeout)
	case r.MaxQueueSize < 0:
		return fmt.Errorf("%s.max_queue_size: cannot be negative, got %d: use 0 for no limit beside the pool's", key, r.MaxQueueSize)
	case r.MaxRequestSize > maxRequestMiB:
		return fmt.Errorf("%s.max_request_size: %d MiB do not fit into one frame to a worker: use at most %d", key, r.MaxRequestSize, maxRequestMiB)
	}
	if _, ok := priorities[r.Priority]; !ok {
		return fmt.Errorf("%s.priority: unknown priority %q: use high, normal or low", key, r.Priority)
	}
	return nil
}

// poolName: the name is part of a control group's, of labels and of log fields.
var poolName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// CheckPools reports the first name of http.pools that is none, or the first route to a
// pool that is not there. known are the names, in lower case as all keys are.
func (c *Config) CheckPools(known []string) error {
	slices.Sort(known)
	for _, name := range known {
		switch {
		case name == "http" || name == "pool":
			return fmt.Errorf("http.pools.%s: this name is that of http.pool: choose another one, such as slow", name)
		case !poolName.MatchString(name):
			return fmt.Errorf("http.pools.%s: %q is no name for a pool: use up to 63 letters, digits, - and _, a letter or digit first", name, name)
		}
	}
	for i, r := range c.Routes {
		if r.Pool == "" || slices.Contains(known, r.Pool) {
			continue
		}
		fix := "add it to http.pools, with {} for the defaults"
		if len(known) > 0 {
			fix = "write one of http.pools (" + strings.Join(known, ", ") + "), or nothing for http.pool"
		}
		return fmt.Errorf("http.routes[%d].pool: unknown pool %q: %s", i, r.Pool, fix)
	}
	return nil
}
