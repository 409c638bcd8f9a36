package systemd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// maxName is systemd's FDNAME_MAX.
const maxName = 255

// storePrefix begins every name that StoreName makes. No socket unit of ours
// uses a slash in FileDescriptorName=.
const storePrefix = "store/"

// ErrName says that systemd would not accept the name of a descriptor. systemd
// itself says nothing to the sender: it stores the descriptor as "stored".
var ErrName = errors.New("invalid descriptor name")

// CheckName applies systemd's rule for descriptor names: printable ASCII
// without a colon, at most 255 bytes. The empty name, which systemd allows, is
// refused: nothing could find it again.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > maxName:
		return fmt.Errorf("%w %q: %d bytes, at most %d are allowed", ErrName, name, len(name), maxName)
	}
	for i := range len(name) {
		if !plain(name[i]) {
			return fmt.Errorf("%w %q: byte %#02x is not printable ASCII or is a colon", ErrName, name, name[i])
		}
	}
	return nil
}

func plain(b byte) bool { return b >= ' ' && b < 0x7f && b != ':' }

// StoreName makes a name for Store from parts, for example "listen", "http" and
// "127.0.0.1:8080". Bytes that systemd refuses, slashes and percent signs are
// written as %XX. Inherited.Stored finds such names again.
func StoreName(parts ...string) string {
	var b strings.Builder
	b.WriteString(storePrefix)
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		for j := range len(part) {
			if c := part[j]; plain(c) && c != '/' && c != '%' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	return b.String()
}

// ParseStoreName returns the parts of a name made by StoreName.
func ParseStoreName(name string) (parts []string, ok bool) {
	rest, ok := strings.CutPrefix(name, storePrefix)
	if !ok {
		return nil, false
	}
	for part := range strings.SplitSeq(rest, "/") {
		text, ok := unescape(part)
		if !ok {
			return nil, false
		}
		parts = append(parts, text)
	}
	return parts, true
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), true
}

const hexDigits = "0123456789ABCDEF"

// Store gives the manager a copy of the descriptor of c, which comes back from
// Inherit after a restart or crash. It is kept until the service is stopped
// (not restarted) or Remove is called: FDPOLL=0 tells the manager not to drop
// it on a hang-up or error of its own accord, which a datagram socket would
// suffer from any ICMP error. A second descriptor of one name is kept beside
// the first; the same open file again is ignored. The manager ignores what
// exceeds FileDescriptorStoreMax=.
func (n *Notifier) Store(name string, c syscall.Conn) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("cannot store a descriptor: %w", err)
	}
	if !n.Enabled() {
		return nil
	}
	return n.sendConn("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, c)
}

// Remove drops all descriptors of a name from the store.
func (n *Notifier) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("cannot remove a stored descriptor: %w", err)
	}
	return n.send("FDSTOREREMOVE=1\nFDNAME="+name, -1)
}

// Stored lists the names, not yet taken, of descriptors that an earlier run of
// the service stored under a StoreName; all others come from socket units.
func (in *Inherited) Stored() []string {
	return slices.DeleteFunc(in.Names(), func(name string) bool {
		_, ok := ParseStoreName(name)
		return !ok
	})
}
