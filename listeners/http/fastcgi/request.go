package fastcgi

import (
	"errors"
	"io"
	"net/http"
	"net/http/cgi"
	"net/url"
	"strings"
)

var (
	errParamsTooLarge = errors.New("request header too large")
	errRequestURI     = errors.New("REQUEST_URI is no path")
)

// newRequest makes the request that the parameters (RFC 3875, 4.1) describe.
// Behind HTTPS=on its TLS is set, as cgi.RequestFromMap does.
func newRequest(req *request, body io.ReadCloser, hasBody bool) (*http.Request, error) {
	if req.tooLarge {
		return nil, errParamsTooLarge
	}
	params, err := parseParams(req.params)
	if err != nil {
		return nil, err
	}
	req.params = nil
	uri := params["REQUEST_URI"]
	absolute := false
	if uri != "" && uri[0] != '/' && uri != "*" {
		// RequestFromMap puts the host before it, and would take "@other.test/" for
		// another host. What a web server passes on in absolute form has its own.
		if u, err := url.Parse(uri); err != nil || u.Host == "" || u.Scheme == "" {
			return nil, errRequestURI
		}
		absolute = true
		delete(params, "HTTP_HOST")
	}
	host := params["HTTP_HOST"]
	r, err := cgi.RequestFromMap(params)
	if err != nil {
		return nil, err
	}
	if absolute {
		host = r.URL.Host
	}
	r.Host, r.RequestURI = host, uri
	if uri == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	switch {
	case !hasBody && r.ContentLength <= 0:
		r.Body = http.NoBody
		_ = body.Close()
	case params["CONTENT_LENGTH"] == "":
		r.ContentLength = -1
		r.Body = body
	default:
		r.Body = &wholeBody{body, r.ContentLength}
	}
	return r.WithContext(req.ctx), nil
}

// wholeBody fails when the body ends before its announced length: half an upload
// must not be taken for a whole one.
type wholeBody struct {
	io.ReadCloser
	left int64
}

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// refusal is the status and text for a request that no handler sees.
func refusal(err error) (status int, text string) {
	if errors.Is(err, errParamsTooLarge) {
		return http.StatusRequestHeaderFieldsTooLarge, err.Error()
	}
	return http.StatusBadRequest, "bad request: " + strings.TrimPrefix(err.Error(), "cgi: ")
}
