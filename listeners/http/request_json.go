package http

import "net/http"

// appendJSONContext appends the context of a request in JSON, the form that
// every PHP client understands:
//
//	{"remoteAddr":"10.0.0.7","protocol":"HTTP/1.1","method":"GET",
//	 "uri":"http://shop.local/a?b=1","headers":{"Accept":["*/*"]},
//	 "cookies":{"sid":"x"},"rawQuery":"b=1","parsed":false,"uploads":null,
//	 "attributes":{}}
func (e *exchange) appendJSONContext(dst []byte, r *http.Request) []byte {
	dst = append(dst, `{"remoteAddr":`...)
	dst = appendJSONString(dst, e.remoteIP)
	dst = append(dst, `,"protocol":`...)
	dst = appendJSONString(dst, r.Proto)
	dst = append(dst, `,"method":`...)
	dst = appendJSONString(dst, r.Method)
	dst = append(dst, `,"uri":`...)
	e.scratch = appendURI(e.scratch[:0], r)
	dst = appendJSONBytes(dst, e.scratch)

	dst = append(dst, `,"headers":{`...)
	mark := len(dst)
	for name, values := range r.Header {
		dst = appendJSONList(dst, mark, name, values)
	}

	dst = append(dst, `},"cookies":{`...)
	mark = len(dst)
	e.scratch = eachCookie(r.Header, e.scratch, func(name string, value []byte) {
		dst = appendJSONBytes(appendJSONKey(dst, mark, name), value)
	})

	dst = append(dst, `},"rawQuery":`...)
	e.scratch = appendURIText(e.scratch[:0], r.URL.RawQuery)
	dst = appendJSONBytes(dst, e.scratch)
	if e.parsed {
		dst = append(dst, `,"parsed":true,"uploads":`...)
	} else {
		dst = append(dst, `,"parsed":false,"uploads":`...)
	}
	if e.uploads != nil {
		dst = append(dst, e.uploads...)
	} else {
		dst = append(dst, "null"...)
	}

	dst = append(dst, `,"attributes":{`...)
	mark = len(dst)
	for _, a := range e.attributes {
		dst = appendJSONList(dst, mark, a.name, a.values)
	}
	return append(dst, "}}"...)
}

// appendJSONKey appends a key and, unless it is the first since mark, a comma.
func appendJSONKey(dst []byte, mark int, key string) []byte {
	if len(dst) > mark {
		dst = append(dst, ',')
	}
	return append(appendJSONString(dst, key), ':')
}

func appendJSONList(dst []byte, mark int, key string, values []string) []byte {
	dst = append(appendJSONKey(dst, mark, key), '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, v)
	}
	return append(dst, ']')
}
