package http

import (
	"fmt"
	"net/http"
)

// RequestID is the section http.request_id, an extension to RoadRunner. The
// server gives every request an id for its logs in any case; the middleware
// request_id tells PHP and the client.
type RequestID struct {
	// Header is the field with the id. Default X-Request-Id.
	Header string `cfg:"header"`
	// Trust says whose ids are taken over: "all" (the default), "none", or
	// "proxies", those in http.trusted_subnets.
	Trust string `cfg:"trust"`
}

// Values of http.request_id.trust.
const (
	trustAll     = "all"
	trustNone    = "none"
	trustProxies = "proxies"
)

// requestIDHeader is where the handler looks for the id of a request.
const requestIDHeader = "X-Request-Id"

func (c *RequestID) validate() error {
	if c.Header != "" && !isToken(c.Header) {
		return fmt.Errorf("http.request_id.header: %q is no name of a header field: write it like X-Request-Id", c.Header)
	}
	switch c.Trust {
	case "", trustAll, trustNone, trustProxies:
		return nil
	}
	return fmt.Errorf("http.request_id.trust: unknown value %q: use all, none or proxies", c.Trust)
}

func newRequestID(c Config, _ Environment) (Middleware, error) {
	name := requestIDHeader
	if c.RequestID.Header != "" {
		name = http.CanonicalHeaderKey(c.RequestID.Header)
	}
	trusted := func(*http.Request) bool { return c.RequestID.Trust != trustNone }
	if c.RequestID.Trust == trustProxies {
		if len(c.TrustedSubnets) == 0 {
			return nil, fmt.Errorf("http.request_id.trust: proxies are trusted, but none is known: list them in http.trusted_subnets")
		}
		proxies, err := newTrustedProxies(c.TrustedSubnets, nil)
		if err != nil {
			return nil, err
		}
		trusted = func(r *http.Request) bool { return proxies.trusts(r.RemoteAddr) }
	}
	ids := newRequestIDs()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var id string
			if v := r.Header[name]; len(v) > 0 && saneID(v[0]) && trusted(r) {
				id = v[0]
			} else {
				id = ids.new()
			}
			// One slice for all: whoever appends gets a copy.
			value := []string{id}[:1:1]
			r.Header[name], r.Header[requestIDHeader] = value, value
			w.Header()[name] = value
			next.ServeHTTP(w, r)
		})
	}, nil
}
