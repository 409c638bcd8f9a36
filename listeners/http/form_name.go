package http

import "strings"

// maxFormLevels is how deep a field's name may nest. A deeper field is dropped
// silently, as in RoadRunner.
const maxFormLevels = 127

// appendNameKeys appends the keys that a field's name stands for: "a[b][]" is
// a, b and "". The rules are RoadRunner's, which are laxer than PHP's: spaces
// are removed everywhere, text after "]" begins another key ("a[b]c" is a, b,
// c), an open "[" counts as closed, a repeated one is ignored, dots stay. There
// is at least one key; ok is false when there are too many.
func appendNameKeys(keys []string, name string) (_ []string, ok bool) {
	if strings.IndexByte(name, ' ') >= 0 {
		name = strings.ReplaceAll(name, " ", "")
	}
	first := strings.IndexAny(name, "[]")
	if first < 0 {
		return append(keys, name), true
	}
	keys = append(keys, name[:first])
	open := false // the last byte was "["
	for i := first; i < len(name); {
		switch name[i] {
		case '[':
			open = true
			i++
		case ']':
			if open {
				keys = append(keys, "")
			}
			open = false
			i++
		default:
			end := i
			for end < len(name) && name[end] != '[' && name[end] != ']' {
				end++
			}
			keys = append(keys, name[i:end])
			open = false
			i = end
		}
		if len(keys) > maxFormLevels {
			return keys, false
		}
	}
	return keys, true
}
