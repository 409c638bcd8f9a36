package brokers

import (
	"fmt"
	"strings"
	"testing"
)

// Memcached starts a memcached.
func Memcached(t testing.TB) *Server {
	t.Helper()
	return start(t, func(port, _ string) []string {
		// -u matters only to root
		return []string{"memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "64", "-u", "nobody"}
	}, func(addr string) error {
		got, err := Ask(addr, "version\r\n", "\r\n")
		if err == nil && !strings.HasPrefix(got, "VERSION") {
			err = fmt.Errorf("it said %q", got)
		}
		return err
	})
}
