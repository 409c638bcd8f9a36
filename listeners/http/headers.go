package http

import (
	"net/http"
)

// Headers is the section http.headers.
type Headers struct {
	// Request fields are added to every request; Response fields are set before
	// PHP runs, and sent beside those of PHP with the same name.
	Request  map[string]string `cfg:"request"`
	Response map[string]string `cfg:"response"`
	CORS     *CORS             `cfg:"cors"`
}

func (c *Headers) validate() error {
	if err := validFields("http.headers.request", c.Request); err != nil {
		return err
	}
	if err := validFields("http.headers.response", c.Response); err != nil {
		return err
	}
	if c.CORS != nil {
		return c.CORS.validate()
	}
	return nil
}

func newHeaders(c Config, env Environment) (Middleware, error) {
	if c.Headers == nil {
		return missingSection(env, "headers", "http.headers")
	}
	request, response := newPresetFields(c.Headers.Request), newPresetFields(c.Headers.Response)
	cors := func(next http.Handler) http.Handler { return next }
	if c.Headers.CORS != nil {
		cors = c.Headers.CORS.middleware(env.Log)
	}
	return func(next http.Handler) http.Handler {
		next = cors(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			request.add(r.Header)
			response.set(w.Header())
			next.ServeHTTP(w, r)
		})
	}, nil
}
