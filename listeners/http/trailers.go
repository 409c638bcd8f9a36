package http

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// takeTrailers removes the fields that the worker wants behind the body from
// the answer and returns them. It names them in a field spelt exactly
// "Trailer", which is removed too; the names must match the fields' exactly.
// (Spelt otherwise, it is a header field like any other, and net/http sends
// what it announces both ways, as RoadRunner does.)
func (a *answer) takeTrailers() (trailers []field) {
	var names []string
	for _, f := range a.fields {
		if f.name == "Trailer" {
			for name := range strings.SplitSeq(f.value, ",") {
				names = append(names, trimSpace(name))
			}
		}
	}
	if names == nil {
		return nil
	}
	a.fields = slices.DeleteFunc(a.fields, func(f field) bool {
		if slices.Contains(names, f.name) && f.name != "Trailer" {
			trailers = append(trailers, f)
			return true
		}
		return f.name == "Trailer"
	})
	return trailers
}

// setTrailers puts trailers where net/http looks for them after the body. Those
// of a later frame replace the earlier ones: PHP repeats the headers with every
// frame of a stream. Fields that frame or route the message are no trailers
// (RFC 9110, 6.5.1) and are dropped.
func setTrailers(h http.Header, trailers []field) {
	for _, f := range trailers {
		delete(h, http.TrailerPrefix+http.CanonicalHeaderKey(f.name))
	}
	for _, f := range trailers {
		name := http.CanonicalHeaderKey(f.name)
		if isToken(name) && httpguts.ValidTrailerHeader(name) {
			h[http.TrailerPrefix+name] = append(h[http.TrailerPrefix+name], f.value)
		}
	}
}
