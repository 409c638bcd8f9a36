package http

import (
	"errors"
	"net/url"
	"strings"
)

// maxFormParams bounds the fields of a form, and of the query beside it, as
// net/http does since Go 1.25.
const maxFormParams = 10000

// Reasons to refuse a form; RoadRunner's clients know these texts.
var (
	errSemicolon     = errors.New("invalid semicolon separator in query")
	errTooManyParams = errors.New("too many form parameters")
)

// parseURLEncoded adds the fields of an urlencoded form to t. t refers to form.
func parseURLEncoded(t *tree[string], form string) error {
	for fields := 0; form != ""; {
		var part string
		part, form = cutByte(form, '&')
		if part == "" {
			continue
		}
		if fields++; fields > maxFormParams {
			return errTooManyParams
		}
		if strings.IndexByte(part, ';') >= 0 {
			return errSemicolon
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return err
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return err
		}
		if _, err := t.add(name, value, value == "", lastWins); err != nil {
			return err
		}
	}
	return nil
}
