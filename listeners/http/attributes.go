package http

import (
	"context"
	"net/http"
)

// attribute is a value that a middleware hands to PHP. PHP's protobuf client
// takes the first value of a name only.
type attribute struct {
	name   string
	values []string
}

type attributesKey struct{}

// WithAttribute returns r with one more attribute for PHP's
// ServerRequestInterface::getAttributes(). A name set before is replaced. An
// attribute "ipAddress" replaces the remote address in PHP's clients.
func WithAttribute(r *http.Request, name string, values ...string) *http.Request {
	old := attributes(r)
	list := make([]attribute, 0, len(old)+1)
	for _, a := range old {
		if a.name != name {
			list = append(list, a)
		}
	}
	list = append(list, attribute{name, values})
	return r.WithContext(context.WithValue(r.Context(), attributesKey{}, list))
}

func attributes(r *http.Request) []attribute {
	list, _ := r.Context().Value(attributesKey{}).([]attribute)
	return list
}
