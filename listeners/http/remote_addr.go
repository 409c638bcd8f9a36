package http

import (
	"net"
	"net/netip"
	"strings"
)

// remoteIP is what PHP sees as the client's address: the host of host:port, a
// bare address in its canonical form, or the text as it is when it has no colon
// (unix sockets: "@" or nothing). ok is false when it is none of these; the
// address is then empty.
func remoteIP(addr string) (ip string, ok bool) {
	if !strings.Contains(addr, ":") {
		return addr, true
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host, true
	}
	if a, err := netip.ParseAddr(addr); err == nil {
		return a.String(), true
	}
	return "", false
}
