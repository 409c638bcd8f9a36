package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
)

// refusal is a request that never reaches a worker: its body cannot be read or
// its form cannot be understood.
type refusal struct {
	status int
	text   string // for the client: about its request, nothing of ours
	err    error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// badForm refuses a form; it is the client's fault (RoadRunner answers 500).
func badForm(err error) error { return badBody(err, urlencodedBody) }

// badBody tells whose fault it is that a body could not be read.
func badBody(err error, kind bodyKind) error {
	switch {
	case errors.Is(err, errTooLarge):
		text := "serve_http: " + errTooLarge.Error()
		if kind == multipartBody {
			text = "serve_http: multipart: NextPart: " + errTooLarge.Error()
		}
		return &refusal{http.StatusRequestEntityTooLarge, text, err}
	case errors.Is(err, errFieldsTooLong), errors.Is(err, multipart.ErrMessageTooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, "form fields too large", err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, "request body did not arrive in time", err}
	case errors.Is(err, context.Canceled):
		return &refusal{statusClientGone, "client closed request", err}
	}
	return &refusal{http.StatusBadRequest, "bad request: " + reason(err, kind), err}
}

// reason says in the client's terms what is wrong.
func reason(err error, kind bodyKind) string {
	var conflict *conflictError
	var escape url.EscapeError
	switch {
	case errors.As(err, &conflict):
		return fmt.Sprintf("form field %q is used as a value and as a list or map", conflict.key)
	case errors.As(err, &escape):
		return "malformed percent-encoding in form or query"
	case errors.Is(err, errSemicolon):
		return "unescaped semicolon in form or query"
	case errors.Is(err, errTooManyParams), errors.Is(err, errTooManyParts):
		return "too many form fields"
	case errors.Is(err, errNoBoundary):
		return "Content-Type has no usable multipart boundary"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "body ended too early"
	case kind == rawBody:
		return "malformed body"
	}
	return "malformed form"
}

// statusClientGone stands in logs for a client that left before its answer.
const statusClientGone = 499
