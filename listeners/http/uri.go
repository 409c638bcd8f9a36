package http

import (
	"net/http"
	"net/url"
	"unicode/utf8"
)

// appendURI appends the absolute URI of a request as RoadRunner forms it: the
// text of an absolute-form target as it is; otherwise https for TLS, else http,
// with the Host field, the path and the query. X-Forwarded-Proto is not asked.
func appendURI(dst []byte, r *http.Request) []byte {
	u := r.URL
	if u.Host != "" || u.Scheme != "" {
		return appendURIText(dst, u.String())
	}
	if r.TLS != nil {
		dst = append(dst, "https://"...)
	} else {
		dst = append(dst, "http://"...)
	}
	dst = appendURIText(dst, r.Host)
	dst = appendURIText(dst, u.EscapedPath())
	if u.ForceQuery || u.RawQuery != "" {
		dst = append(dst, '?')
		dst = appendURIText(dst, u.RawQuery)
	}
	return dst
}

// appendURIText appends s without CR and LF. Bytes that are not UTF-8 are
// percent-encoded: to PHP the two spellings are the same, while neither codec
// can carry them (RoadRunner answers such a request with 500).
func appendURIText(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		} else if c != '\r' && c != '\n' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if c >= utf8.RuneSelf {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

const upperHex = "0123456789ABCDEF"

// checkQuery reports why a query string cannot be parsed as form parameters.
// A form request with such a query is refused, as in RoadRunner, whose parser
// reads both; other requests get their query unchecked.
func checkQuery(query string) error {
	params := 0
	for query != "" {
		var part string
		part, query = cutByte(query, '&')
		if part == "" {
			continue
		}
		if params++; params > maxFormParams {
			return errTooManyParams
		}
		for i := 0; i < len(part); i++ {
			switch part[i] {
			case ';':
				return errSemicolon
			case '%':
				if i+2 >= len(part) || !isHex(part[i+1]) || !isHex(part[i+2]) {
					return url.EscapeError(part[i:min(i+3, len(part))])
				}
				i += 2
			}
		}
	}
	return nil
}

func cutByte(s string, sep byte) (before, after string) {
	for i := 0; i < len(s); i++ {
		if s[i] == sep {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
