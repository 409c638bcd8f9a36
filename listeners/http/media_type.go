package http

import (
	"mime"
	"strings"
)

type bodyKind uint8

const (
	rawBody bodyKind = iota
	urlencodedBody
	multipartBody
)

// classify decides what a body is by its first Content-Type. Only the media
// type counts, compared as a whole and in any case (RoadRunner searches for the
// text anywhere in the field). A form with invalid parameters is an error.
func classify(contentType string) (kind bodyKind, params map[string]string, err error) {
	mediaType, rest, hasParams := strings.Cut(contentType, ";")
	mediaType = trimSpace(mediaType)
	switch {
	case strings.EqualFold(mediaType, "application/x-www-form-urlencoded"):
		kind = urlencodedBody
	case strings.EqualFold(mediaType, "multipart/form-data"):
		kind = multipartBody
	default:
		return rawBody, nil, nil
	}
	if hasParams && trimSpace(rest) != "" {
		_, params, err = mime.ParseMediaType(contentType)
	}
	return kind, params, err
}
