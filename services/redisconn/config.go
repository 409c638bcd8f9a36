package redisconn

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Config is kv.NAME.config of a redis storage, and lock.config of the driver redis.
type Config struct {
	// Addrs: one address is a server, several are a cluster, and with
	// MasterName all are sentinels.
	Addrs []string `cfg:"addrs"`
	// DB is not for clusters, which have one.
	DB       int    `cfg:"db"`
	Username string `cfg:"username"`
	Password string `cfg:"password"`

	MasterName       string `cfg:"master_name"`
	SentinelPassword string `cfg:"sentinel_password"`

	RouteByLatency bool `cfg:"route_by_latency"`
	RouteRandomly  bool `cfg:"route_randomly"`
	ReadOnly       bool `cfg:"read_only"`

	// MaxRetries is 3 if it is 0; -1 means none.
	MaxRetries int `cfg:"max_retries"`
	// The pause before a retry; 8ms and 512ms if they are 0, -1 means none.
	MinRetryBackoff time.Duration `cfg:"min_retry_backoff"`
	MaxRetryBackoff time.Duration `cfg:"max_retry_backoff"`

	DialTimeout  time.Duration `cfg:"dial_timeout"`
	ReadTimeout  time.Duration `cfg:"read_timeout"`
	WriteTimeout time.Duration `cfg:"write_timeout"`

	// PoolSize is 10 for each CPU if it is 0.
	PoolSize     int           `cfg:"pool_size"`
	MinIdleConns int           `cfg:"min_idle_conns"`
	MaxConnAge   time.Duration `cfg:"max_conn_age"`
	PoolTimeout  time.Duration `cfg:"pool_timeout"`
	IdleTimeout  time.Duration `cfg:"idle_timeout"`
	// IdleCheckFreq is in many files; the client needs no checks any more.
	IdleCheckFreq any `cfg:"idle_check_freq,ignored"`

	TLS *TLS `cfg:"tls"`

	// Prefix is put before every key by those who use the client, so that several
	// applications can share a database.
	Prefix string `cfg:"prefix"`
}

// TLS of the connections; version 1.2 or later.
type TLS struct {
	// Cert and Key are files with the client's certificate. They are read anew
	// for every connection.
	Cert string `cfg:"cert"`
	Key  string `cfg:"key"`
	// RootCA is a file with the certificates that the server's may be signed
	// by; the system's without it.
	RootCA string `cfg:"root_ca"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if len(c.Addrs) == 0 {
		c.Addrs = []string{"127.0.0.1:6379"}
	}
	if c.MinRetryBackoff == 0 {
		c.MinRetryBackoff = 8 * time.Millisecond
	}
	if c.MaxRetryBackoff == 0 {
		c.MaxRetryBackoff = 512 * time.Millisecond
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 3 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = c.ReadTimeout
	}
	if c.PoolTimeout == 0 {
		c.PoolTimeout = c.ReadTimeout + time.Second
	}
}

// Validate finds what is wrong; each error begins with the key.
func (c *Config) Validate() error {
	var errs []error
	for _, a := range c.Addrs {
		if strings.HasPrefix(a, "/") { // a unix socket
			continue
		}
		if err := address.Dial(a); err != nil {
			errs = append(errs, fmt.Errorf("addrs: %w", err))
		}
	}
	if c.DB < 0 {
		errs = append(errs, fmt.Errorf("db: %d is negative; write 0 or more", c.DB))
	}
	if c.TLS != nil && (c.TLS.Cert == "") != (c.TLS.Key == "") {
		errs = append(errs, errors.New("tls: cert and key belong together; write both or none"))
	}
	return errors.Join(errs...)
}
