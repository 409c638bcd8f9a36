package http

import (
	"errors"
	"unicode/utf8"
)

var errJSON = errors.New("context is not a JSON response")

// maxJSONDepth bounds the nesting of values that are skipped.
const maxJSONDepth = 64

// decodeJSON reads {"status":200,"headers":{"Name":["value",...]}}. Other keys
// are skipped. A header may also be a single value instead of a list, a value a
// number or a boolean, which is taken as written; null is no value. "headers"
// may be [], which is how PHP encodes an empty array.
func (a *answer) decodeJSON(b []byte) error {
	p := jsonParser{b: b}
	p.object(func() bool {
		switch start := len(a.raw); {
		case !p.string(&a.raw):
			return false
		case string(a.raw[start:]) == "status":
			a.raw = a.raw[:start]
			return p.colon() && p.integer(&a.status)
		case string(a.raw[start:]) == "headers":
			a.raw = a.raw[:start]
			return p.colon() && a.headers(&p)
		default:
			a.raw = a.raw[:start]
			return p.colon() && p.skip(0)
		}
	})
	if p.space(); p.bad || p.at != len(p.b) {
		return errJSON
	}
	return nil
}

func (a *answer) headers(p *jsonParser) bool {
	switch p.peek() {
	case '[': // only an empty one
		return p.array(func() bool { return false })
	case 'n':
		return p.literal("null")
	}
	return p.object(func() bool {
		name := len(a.raw)
		if !p.string(&a.raw) || !p.colon() {
			return false
		}
		nameEnd := len(a.raw)
		one := func() bool {
			value := len(a.raw)
			switch c := p.peek(); c {
			case 'n':
				return p.literal("null")
			case '"':
				if !p.string(&a.raw) {
					return false
				}
			case '[', '{':
				return false
			default:
				at := p.at
				if !p.skip(0) {
					return false
				}
				a.raw = append(a.raw, p.b[at:p.at]...)
			}
			a.spans = append(a.spans, span{name, nameEnd, value, len(a.raw)})
			return true
		}
		if p.peek() == '[' {
			return p.array(one)
		}
		return one()
	})
}

// jsonParser reads JSON from b. Every method reports success; after a failure
// bad is set.
type jsonParser struct {
	b   []byte
	at  int
	bad bool
}

func (p *jsonParser) fail() bool {
	p.bad = true
	return false
}

func (p *jsonParser) space() {
	for p.at < len(p.b) {
		switch p.b[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.space(); p.at < len(p.b) {
		return p.b[p.at]
	}
	return 0
}

func (p *jsonParser) take(c byte) bool {
	if p.peek() != c || p.at == len(p.b) {
		return p.fail()
	}
	p.at++
	return true
}

func (p *jsonParser) colon() bool { return p.take(':') }

// object calls member at the beginning of every key.
func (p *jsonParser) object(member func() bool) bool { return p.list('{', '}', member) }

// array calls element at the beginning of every value.
func (p *jsonParser) array(element func() bool) bool { return p.list('[', ']', element) }

func (p *jsonParser) list(left, right byte, item func() bool) bool {
	if !p.take(left) {
		return false
	}
	if p.peek() == right {
		return p.take(right)
	}
	for {
		p.space()
		if !item() {
			return p.fail()
		}
		switch p.peek() {
		case ',':
			p.at++
		case right:
			p.at++
			return true
		default:
			return p.fail()
		}
	}
}

func (p *jsonParser) literal(word string) bool {
	if len(p.b)-p.at < len(word) || string(p.b[p.at:p.at+len(word)]) != word {
		return p.fail()
	}
	p.at += len(word)
	return true
}

// number moves behind a number.
func (p *jsonParser) number() bool {
	digits := func() bool {
		start := p.at
		for p.at < len(p.b) && p.b[p.at]-'0' <= 9 {
			p.at++
		}
		return p.at > start
	}
	if p.peek() == '-' {
		p.at++
	}
	zero := p.at < len(p.b) && p.b[p.at] == '0'
	start := p.at
	if !digits() || zero && p.at-start > 1 {
		return p.fail()
	}
	if p.at < len(p.b) && p.b[p.at] == '.' {
		if p.at++; !digits() {
			return p.fail()
		}
	}
	if p.at < len(p.b) && p.b[p.at]|0x20 == 'e' {
		p.at++
		if p.at < len(p.b) && (p.b[p.at] == '+' || p.b[p.at] == '-') {
			p.at++
		}
		if !digits() {
			return p.fail()
		}
	}
	return true
}

// integer reads a whole number of at most 18 digits.
func (p *jsonParser) integer(n *int64) bool {
	p.space()
	start := p.at
	if !p.number() {
		return false
	}
	text := p.b[start:p.at]
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) > 18 {
		return p.fail()
	}
	*n = 0
	for _, c := range text {
		if c-'0' > 9 {
			return p.fail()
		}
		*n = *n*10 + int64(c-'0')
	}
	if negative {
		*n = -*n
	}
	return true
}

// skip moves behind one value.
func (p *jsonParser) skip(depth int) bool {
	if depth > maxJSONDepth {
		return p.fail()
	}
	switch p.peek() {
	case '"':
		return p.string(nil)
	case '{':
		return p.object(func() bool { return p.string(nil) && p.colon() && p.skip(depth+1) })
	case '[':
		return p.array(func() bool { return p.skip(depth + 1) })
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	}
	return p.number()
}

// string reads a string and appends it to dst, if any. Bytes that are not UTF-8
// are taken as they are.
func (p *jsonParser) string(dst *[]byte) bool {
	if !p.take('"') {
		return false
	}
	start := p.at
	flush := func() {
		if dst != nil {
			*dst = append(*dst, p.b[start:p.at]...)
		}
	}
	for p.at < len(p.b) {
		switch c := p.b[p.at]; {
		case c == '"':
			flush()
			p.at++
			return true
		case c < ' ':
			return p.fail()
		case c == '\\':
			flush()
			if !p.escape(dst) {
				return p.fail()
			}
			start = p.at
		default:
			p.at++
		}
	}
	return p.fail()
}

// escape reads one escape sequence, of surrogates a pair.
func (p *jsonParser) escape(dst *[]byte) bool {
	if p.at+1 >= len(p.b) {
		return false
	}
	c := p.b[p.at+1]
	if c == 'u' {
		r, ok := p.unicode()
		if ok && dst != nil {
			*dst = utf8.AppendRune(*dst, r)
		}
		return ok
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return false
	}
	p.at += 2
	if dst != nil {
		*dst = append(*dst, c)
	}
	return true
}

// unicode reads \uXXXX, and a second one if they are a surrogate pair. A lone
// surrogate becomes U+FFFD.
func (p *jsonParser) unicode() (rune, bool) {
	r, ok := p.hex4()
	if !ok {
		return 0, false
	}
	if r < 0xD800 || r > 0xDFFF {
		return r, true
	}
	if r < 0xDC00 && p.at+1 < len(p.b) && p.b[p.at] == '\\' && p.b[p.at+1] == 'u' {
		back := p.at
		low, ok := p.hex4()
		if !ok {
			return 0, false
		}
		if low >= 0xDC00 && low <= 0xDFFF {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, true
		}
		p.at = back
	}
	return utf8.RuneError, true
}

func (p *jsonParser) hex4() (r rune, ok bool) {
	if p.at+6 > len(p.b) {
		return 0, false
	}
	for _, c := range p.b[p.at+2 : p.at+6] {
		if !isHex(c) {
			return 0, false
		}
		r = r<<4 | rune(unhex(c))
	}
	p.at += 6
	return r, true
}
