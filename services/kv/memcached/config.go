package memcached

import (
	"fmt"
	"net"
	"strings"
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
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("addr: %q is no address; write host:port, for example 127.0.0.1:11211", a)
		}
	}
	return nil
}
