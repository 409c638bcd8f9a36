package memcached

import (
	"fmt"
	"strings"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Config is kv.NAME.config of a memcached storage.
type Config struct {
	// Addr are the servers; a key's server is chosen by its hash.
	Addr []string `cfg:"addr"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if len(c.Addr) == 0 {
		c.Addr = []string{"127.0.0.1:11211"}
	}
}

// Validate finds what is wrong; the error begins with the key.
func (c *Config) Validate() error {
	for _, a := range c.Addr {
		if strings.Contains(a, "/") { // a unix socket
			continue
		}
		if err := address.Dial(a); err != nil {
			return fmt.Errorf("addr: %w", err)
		}
	}
	return nil
}
