package http

import (
	"net/http"
	"strings"
)

// maxCookies a request; with more of them none is delivered, as in RoadRunner.
const maxCookies = 3000

// eachCookie calls f with name and decoded value of every cookie, in order. A
// name that comes twice is reported twice: the last one holds, in a JSON object
// and in a protobuf map alike.
//
// The rules are those of net/http (names are tokens, a value with a control
// character, a quote, a backslash or a byte above ASCII drops the cookie,
// surrounding quotes are removed), after which the value is query-unescaped; a
// bad escape drops the cookie. value is valid during the call, scratch is
// reused and returned.
func eachCookie(h http.Header, scratch []byte, f func(name string, value []byte)) []byte {
	lines := h["Cookie"]
	count := 0
	for _, line := range lines {
		if count += strings.Count(line, ";") + 1; count > maxCookies {
			return scratch
		}
	}
	for _, line := range lines {
		for line != "" {
			var part string
			part, line = cutByte(line, ';')
			name, value, _ := strings.Cut(trimSpace(part), "=")
			if name = trimSpace(name); !isToken(name) {
				continue
			}
			var ok bool
			if scratch, ok = appendCookieValue(scratch[:0], value); ok {
				f(name, scratch)
			}
		}
	}
	return scratch
}

func appendCookieValue(dst []byte, v string) ([]byte, bool) {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c < ' ' || c >= 0x7f || c == '"' || c == '\\':
			return dst, false
		case c == '+':
			dst = append(dst, ' ')
		case c == '%':
			if i+2 >= len(v) || !isHex(v[i+1]) || !isHex(v[i+2]) {
				return dst, false
			}
			dst = append(dst, unhex(v[i+1])<<4|unhex(v[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// trimSpace removes spaces and tabs, the white space of a header field.
func trimSpace(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether s is a token of RFC 9110.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenByte = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
