package http

import (
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// presetFields are header fields of the configuration, ready to be put into a
// header without an allocation.
type presetFields []presetField

type presetField struct {
	name   string
	values []string // one, with no room behind it: who appends gets a copy
}

func newPresetFields(m map[string]string) presetFields {
	var list presetFields
	for name, value := range m {
		list = append(list, presetField{http.CanonicalHeaderKey(name), []string{value}[:1:1]})
	}
	return list
}

// set replaces fields of the same names.
func (p presetFields) set(h http.Header) {
	for _, f := range p {
		h[f.name] = f.values
	}
}

// add keeps fields of the same names.
func (p presetFields) add(h http.Header) {
	for _, f := range p {
		if old := h[f.name]; len(old) > 0 {
			h[f.name] = append(old[:len(old):len(old)], f.values[0])
			continue
		}
		h[f.name] = f.values
	}
}

// validFields reports a field that cannot be sent.
func validFields(key string, m map[string]string) error {
	for name, value := range m {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("%s: %q is no name of a header field: use letters, digits and -", key, name)
		case !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("%s.%s: the value %q cannot be sent in a header: remove line breaks and control characters", key, name, value)
		}
	}
	return nil
}
