package http

import (
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string.
//
// PHP's json_decode refuses a document with invalid UTF-8 as a whole, so a
// string that is not UTF-8 is sent as ISO 8859-1: every byte becomes the code
// point of the same number. Unlike U+FFFD, which RoadRunner puts in its place,
// that loses no byte (mb_convert_encoding($s, 'ISO-8859-1', 'UTF-8') gives the
// original), and it is what header fields and old forms usually mean.
func appendJSONString(dst []byte, s string) []byte {
	mark := len(dst)
	dst = append(dst, '"')
	start, valid := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plainByte[c] {
			continue
		}
		if c >= utf8.RuneSelf {
			if !valid && !utf8.ValidString(s[i:]) {
				return appendLatin1(dst[:mark], s)
			}
			valid = true
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plainByte tells the ASCII bytes that stand for themselves in a JSON string.
var plainByte = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendJSONBytes is appendJSONString for bytes.
func appendJSONBytes(dst, b []byte) []byte { return appendJSONString(dst, view(b)) }

// view is b as a string without a copy. It must not outlive b's content.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func appendLatin1(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			dst = utf8.AppendRune(dst, rune(c))
		case c < ' ' || c == '"' || c == '\\':
			dst = appendEscape(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
