package http

import (
	"net/netip"
	"strings"
)

// forwardedFor appends the "for" parameters of the values of Forwarded (RFC
// 7239, 4), from the client to the nearest proxy. An element without one is
// "", which is no address. What follows a syntax error is one such element.
func forwardedFor(list []string, values []string) []string {
	for _, v := range values {
		for rest := v; ; {
			var found string
			var hasFor, more, ok bool
			found, hasFor, rest, more, ok = forwardedElement(rest)
			if !ok {
				list = append(list, "")
				break
			}
			if hasFor {
				list = append(list, found)
			}
			if !more {
				break
			}
		}
	}
	return list
}

// forwardedElement reads one element, up to a comma: pairs NAME=VALUE with ";"
// between them.
func forwardedElement(s string) (found string, hasFor bool, rest string, more, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		end := strings.IndexAny(s, "=;,")
		if end < 0 {
			return found, hasFor, "", false, s == ""
		}
		if s[end] != '=' { // an empty pair, or an empty element
			if strings.TrimSpace(s[:end]) != "" {
				return "", false, "", false, false
			}
			if s[end] == ',' {
				return found, hasFor, s[end+1:], true, true
			}
			s = s[end+1:]
			continue
		}
		name := strings.TrimSpace(s[:end])
		value, after, valid := forwardedValue(s[end+1:])
		if !valid {
			return "", false, "", false, false
		}
		if strings.EqualFold(name, "for") {
			found, hasFor = value, true
		}
		s = strings.TrimLeft(after, " \t")
		switch {
		case s == "":
			return found, hasFor, "", false, true
		case s[0] == ',':
			return found, hasFor, s[1:], true, true
		case s[0] == ';':
			s = s[1:]
		default:
			return "", false, "", false, false
		}
	}
}

// forwardedValue reads a token or a quoted string.
func forwardedValue(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] != '"' {
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// forwardedAddr reads the address of a proxy header: an IP address, which may
// have a port, brackets and quotes. Names and "unknown" are none.
func forwardedAddr(s string) (netip.Addr, bool) {
	s = strings.Trim(strings.TrimSpace(s), `"`)
	a, err := netip.ParseAddr(s)
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(s); err == nil {
			a = ap.Addr()
		} else if inner, cut := strings.CutPrefix(s, "["); cut {
			if inner, cut = strings.CutSuffix(inner, "]"); !cut {
				return netip.Addr{}, false
			}
			a, err = netip.ParseAddr(inner)
		}
	}
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
