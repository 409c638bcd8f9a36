package http

import (
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of http.v1.Request; header, cookies and attributes are maps from a
// string to HeaderValue { repeated bytes value = 1; }.
const (
	reqRemoteAddr = 1
	reqProtocol   = 2
	reqMethod     = 3
	reqURI        = 4
	reqHeader     = 5
	reqCookies    = 6
	reqRawQuery   = 7
	reqParsed     = 8
	reqUploads    = 9
	reqAttributes = 10
)

// appendProtoContext appends the context of a request as http.v1.Request. Map
// keys and the fields before header are proto3 strings, which must be UTF-8:
// a method and a header's name are tokens, the URI and the query are
// percent-encoded where needed, the rest is repaired.
func (e *exchange) appendProtoContext(dst []byte, r *http.Request) []byte {
	dst = appendProtoString(dst, reqRemoteAddr, e.remoteIP)
	dst = appendProtoString(dst, reqProtocol, r.Proto)
	dst = appendProtoString(dst, reqMethod, r.Method)
	e.scratch = appendURI(e.scratch[:0], r)
	dst = appendProtoBytes(dst, reqURI, e.scratch)
	for name, values := range r.Header {
		dst = appendProtoEntry(dst, reqHeader, name, values)
	}
	e.scratch = eachCookie(r.Header, e.scratch, func(name string, value []byte) {
		valueLen := protowire.SizeTag(1) + protowire.SizeBytes(len(value))
		dst = appendProtoEntryStart(dst, reqCookies, name, valueLen)
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendBytes(dst, value)
	})
	if r.URL.RawQuery != "" {
		e.scratch = appendURIText(e.scratch[:0], r.URL.RawQuery)
		dst = appendProtoBytes(dst, reqRawQuery, e.scratch)
	}
	if e.parsed {
		dst = protowire.AppendTag(dst, reqParsed, protowire.VarintType)
		dst = append(dst, 1)
	}
	if e.uploads != nil {
		dst = appendProtoBytes(dst, reqUploads, e.uploads)
	}
	for _, a := range e.attributes {
		dst = appendProtoEntry(dst, reqAttributes, strings.ToValidUTF8(a.name, "\uFFFD"), a.values)
	}
	return dst
}

func appendProtoString(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, strings.ToValidUTF8(s, "\uFFFD"))
}

func appendProtoBytes(dst []byte, field protowire.Number, b []byte) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendBytes(dst, b)
}

// appendProtoEntry appends one map entry { 1: name, 2: HeaderValue }.
func appendProtoEntry(dst []byte, field protowire.Number, name string, values []string) []byte {
	valueLen := 0
	for _, v := range values {
		valueLen += protowire.SizeTag(1) + protowire.SizeBytes(len(v))
	}
	dst = appendProtoEntryStart(dst, field, name, valueLen)
	for _, v := range values {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendString(dst, v)
	}
	return dst
}

// appendProtoEntryStart appends an entry up to its HeaderValue of valueLen bytes.
func appendProtoEntryStart(dst []byte, field protowire.Number, name string, valueLen int) []byte {
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(name)) + protowire.SizeTag(2) + protowire.SizeBytes(valueLen)
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendString(dst, name)
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(valueLen))
}
