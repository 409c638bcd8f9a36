package http

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of http.v1.Response { int64 status = 1; map<string, HeaderValue>
// headers = 2; } and HeaderValue { repeated bytes value = 1; }.
const (
	respStatus  = 1
	respHeaders = 2
	mapKey      = 1
	mapValue    = 2
	headerValue = 1
)

var errProto = errors.New("context is not a http.v1.Response")

func (a *answer) decodeProto(b []byte) error {
	return eachProtoField(b, func(num protowire.Number, typ protowire.Type, v []byte) bool {
		switch {
		case num == respStatus && typ == protowire.VarintType:
			n, _ := protowire.ConsumeVarint(v)
			a.status = int64(n)
		case num == respHeaders && typ == protowire.BytesType:
			return a.decodeProtoHeader(v) == nil
		}
		return true
	})
}

// decodeProtoHeader reads one map entry. The key may come after the value.
func (a *answer) decodeProtoHeader(entry []byte) error {
	var name, list []byte
	err := eachProtoField(entry, func(num protowire.Number, typ protowire.Type, v []byte) bool {
		switch {
		case typ != protowire.BytesType:
		case num == mapKey:
			name = v
		case num == mapValue:
			list = v
		}
		return true
	})
	if err != nil {
		return err
	}
	start := len(a.raw)
	a.raw = append(a.raw, name...)
	nameEnd := len(a.raw)
	return eachProtoField(list, func(num protowire.Number, typ protowire.Type, v []byte) bool {
		if num == headerValue && typ == protowire.BytesType {
			value := len(a.raw)
			a.raw = append(a.raw, v...)
			a.spans = append(a.spans, span{start, nameEnd, value, len(a.raw)})
		}
		return true
	})
}

// eachProtoField calls f with every field of a message; v is the content of a
// bytes field, else the field's encoding. Unknown fields are passed too.
func eachProtoField(b []byte, f func(num protowire.Number, typ protowire.Type, v []byte) bool) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errProto
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return errProto
		}
		v := b[:n]
		if typ == protowire.BytesType {
			v, _ = protowire.ConsumeBytes(v)
		}
		if !f(num, typ, v) {
			return errProto
		}
		b = b[n:]
	}
	return nil
}
