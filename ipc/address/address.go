// Package address checks addresses as they are written in a configuration, before
// anything is bound or dialled: a mistake is told with its key at once, and not by
// the kernel or a resolver much later.
package address

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// maxPath is the length of a unix socket's path: sun_path of unix(7) has 108 bytes,
// the last of which is 0.
const maxPath = 107

const examplePath = "write unix://path, for example unix:///run/rr/app/http.sock"

// Error is an address that cannot be used.
type Error struct {
	Problem string // with the address
	Fix     string
}

func (e *Error) Error() string { return e.Problem + "; " + e.Fix }

// Listen checks host:port, tcp://host:port or unix://path. The host may be empty,
// and port 0 lets the kernel choose.
func Listen(a string) error {
	scheme, rest, ok := strings.Cut(a, "://")
	file, unix := strings.CutPrefix(a, "unix:")
	switch {
	case !ok && (unix || strings.HasPrefix(a, "/")):
		return &Error{fmt.Sprintf("%q is no address", a), "write unix://" + file}
	case !ok:
		return HostPort(a)
	case scheme == "tcp":
		return hostPort(a, rest)
	case scheme == "unix":
		return path(a, rest)
	}
	return &Error{fmt.Sprintf("%q has the unknown scheme %q", a, scheme), "write host:port, tcp://host:port or unix://path"}
}

// HostPort checks host:port, where the host may be empty.
func HostPort(a string) error { return hostPort(a, a) }

// Dial checks the host:port of a server: with a port, and a host is meant.
func Dial(a string) error {
	if err := HostPort(a); err != nil {
		return err
	}
	switch host, port, _ := net.SplitHostPort(a); {
	case host == "":
		return &Error{fmt.Sprintf("%q names no host", a), "write host:port, for example 127.0.0.1" + a}
	case port == "0":
		return &Error{fmt.Sprintf("%q: no server has port 0", a), "use 1..65535"}
	}
	return nil
}

func hostPort(whole, a string) error {
	host, port, err := net.SplitHostPort(a)
	switch {
	case err != nil && strings.Count(a, ":") > 1 && !strings.Contains(a, "["):
		return &Error{fmt.Sprintf("%q is no address", whole), "write host:port, and an IPv6 address in brackets, for example [::1]:8080"}
	case err != nil:
		return &Error{fmt.Sprintf("%q is no address", whole), "write host:port, for example 127.0.0.1:8080"}
	case port == "":
		return &Error{fmt.Sprintf("%q has no port", whole), "write host:port, for example " + net.JoinHostPort(host, "8080")}
	}
	// A name of /etc/services is a port, too.
	if _, err := net.LookupPort("tcp", port); err != nil {
		return &Error{fmt.Sprintf("%q: %s is no port", whole, port), "use 1..65535"}
	}
	if !validHost(host) {
		return &Error{fmt.Sprintf("%q: %q is no IP address and no host name", whole, host), "write host:port, for example 127.0.0.1:" + port}
	}
	return nil
}

// validHost accepts an address or what may be a name. A name whose last part is a
// number is a mistyped IPv4 address (RFC 1123, 2.1), which a resolver would look for.
func validHost(host string) bool {
	if host == "" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if name == "" || len(name) > 253 || strings.Trim(last, "0123456789") == "" {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		// Names that are not ASCII are left to the resolver.
		return r <= ' ' || r == 0x7f || r < 0x80 && strings.ContainsRune("/\\:@?#[]%!\"'`$&*()+,;<=>^{|}~", r)
	})
}

func path(whole, p string) error {
	switch {
	case p == "":
		return &Error{fmt.Sprintf("%q has no path", whole), examplePath}
	case len(p) > maxPath:
		return &Error{fmt.Sprintf("%q: the path of a unix socket has at most %d bytes, and this one has %d", whole, maxPath, len(p)), "choose a shorter one"}
	case strings.ContainsRune(p, 0) || strings.HasSuffix(p, "/"):
		return &Error{fmt.Sprintf("%q is no path of a file", whole), examplePath}
	}
	return nil
}
