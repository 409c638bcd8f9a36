package http

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logEntry is a request that has been answered.
type logEntry struct {
	start       time.Time
	elapsed     time.Duration
	peer        string // remote address when the request came
	r           *http.Request
	w           *statusWriter
	requestBody countedBody
}

// countedBody counts what is read of a request's body.
type countedBody struct {
	io.ReadCloser
	n int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

// Named formats, and the layout of Apache's time.
const (
	formatCommon   = `%{remote_addr} - %{remote_user} [%{time_local}] "%{request}" %{status} %{bytes_sent}`
	formatCombined = formatCommon + ` "%{http_referer}" "%{http_user_agent}"`

	apacheTime = "02/Jan/2006:15:04:05 -0700"
)

// logVariables are the names in %{NAME} of a format. Beside them, http_NAME and
// sent_http_NAME are fields of the request and of the answer.
var logVariables = map[string]func(dst []byte, e *logEntry) []byte{
	"remote_addr": func(dst []byte, e *logEntry) []byte {
		ip, _ := remoteIP(e.r.RemoteAddr)
		return append(dst, ip...)
	},
	"peer_addr": func(dst []byte, e *logEntry) []byte { return append(dst, e.peer...) },
	"remote_user": func(dst []byte, e *logEntry) []byte {
		return append(dst, basicUser(e.r)...)
	},
	"time_local":   func(dst []byte, e *logEntry) []byte { return e.start.AppendFormat(dst, apacheTime) },
	"time_iso8601": func(dst []byte, e *logEntry) []byte { return e.start.AppendFormat(dst, time.RFC3339) },
	"msec": func(dst []byte, e *logEntry) []byte {
		return strconv.AppendFloat(dst, float64(e.start.UnixMilli())/1000, 'f', 3, 64)
	},
	"request": func(dst []byte, e *logEntry) []byte {
		dst = append(append(dst, e.r.Method...), ' ')
		dst = append(append(dst, e.r.RequestURI...), ' ')
		return append(dst, e.r.Proto...)
	},
	"method":       func(dst []byte, e *logEntry) []byte { return append(dst, e.r.Method...) },
	"uri":          func(dst []byte, e *logEntry) []byte { return append(dst, e.r.RequestURI...) },
	"path":         func(dst []byte, e *logEntry) []byte { return append(dst, e.r.URL.Path...) },
	"query":        func(dst []byte, e *logEntry) []byte { return append(dst, e.r.URL.RawQuery...) },
	"protocol":     func(dst []byte, e *logEntry) []byte { return append(dst, e.r.Proto...) },
	"host":         func(dst []byte, e *logEntry) []byte { return append(dst, e.r.Host...) },
	"status":       func(dst []byte, e *logEntry) []byte { return strconv.AppendInt(dst, int64(e.w.final()), 10) },
	"bytes_sent":   func(dst []byte, e *logEntry) []byte { return strconv.AppendInt(dst, e.w.bytes, 10) },
	"bytes_read":   func(dst []byte, e *logEntry) []byte { return strconv.AppendInt(dst, e.requestBody.n, 10) },
	"elapsed_ms":   func(dst []byte, e *logEntry) []byte { return strconv.AppendInt(dst, e.elapsed.Milliseconds(), 10) },
	"request_time": func(dst []byte, e *logEntry) []byte { return strconv.AppendFloat(dst, e.elapsed.Seconds(), 'f', 3, 64) },
	"request_id":   func(dst []byte, e *logEntry) []byte { return append(dst, e.r.Header.Get(requestIDHeader)...) },
	"content_len":  func(dst []byte, e *logEntry) []byte { return strconv.AppendInt(dst, e.r.ContentLength, 10) },
	"scheme":       func(dst []byte, e *logEntry) []byte { return append(dst, scheme(e.r)...) },
}

// jsonFields are the keys of the format json: RoadRunner's, and after them what
// it lacks.
var jsonFields = []struct {
	key, variable string
	number        bool
}{
	{"read_bytes", "bytes_read", true}, {"write_bytes", "bytes_sent", true}, {"status", "status", true},
	{"method", "method", false}, {"URI", "uri", false}, {"remote_address", "remote_addr", false},
	{"query", "query", false}, {"content_len", "content_len", true}, {"host", "host", false},
	{"user_agent", "http_user_agent", false}, {"referer", "http_referer", false}, {"time_local", "time_iso8601", false},
	{"elapsed", "elapsed_ms", true}, {"request_id", "request_id", false}, {"protocol", "protocol", false},
}

// logFormat is a format that was read: pieces one after the other.
type logFormat []logPiece

// logPiece is a text, or a variable.
type logPiece struct {
	text  string
	value func(dst []byte, e *logEntry) []byte
	quote func(dst, value []byte) []byte
}

// parseLogFormat reads the name of a format, or a text with variables %{NAME};
// "%%" is a percent sign. (nginx's $NAME would be a reference to the
// environment in this configuration, whose syntax has no escape.)
func parseLogFormat(format string) (logFormat, error) {
	switch format {
	case "", "combined":
		format = formatCombined
	case "common":
		format = formatCommon
	case "json":
		return jsonFormat(), nil
	}
	var pieces logFormat
	for format != "" {
		text, rest, found := strings.Cut(format, "%")
		if text != "" {
			pieces = append(pieces, logPiece{text: text})
		}
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(rest, "%"); ok {
			pieces, format = append(pieces, logPiece{text: "%"}), after
			continue
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok || !strings.HasPrefix(name, "{") {
			return nil, fmt.Errorf("%q is no variable: write %%{NAME}, or %%%% for a percent sign", "%"+rest)
		}
		value := logVariable(name[1:])
		if value == nil {
			return nil, fmt.Errorf("unknown variable %q: use %s, or http_NAME and sent_http_NAME for header fields", name[1:], variableNames())
		}
		pieces, format = append(pieces, logPiece{value: value, quote: appendEscaped}), after
	}
	return pieces, nil
}

func logVariable(name string) func(dst []byte, e *logEntry) []byte {
	if v := logVariables[name]; v != nil {
		return v
	}
	field := func(prefix string) string {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" {
			return ""
		}
		return http.CanonicalHeaderKey(strings.ReplaceAll(rest, "_", "-"))
	}
	if key := field("sent_http_"); key != "" {
		return func(dst []byte, e *logEntry) []byte { return append(dst, strings.Join(e.w.Header()[key], ", ")...) }
	}
	if key := field("http_"); key != "" {
		return func(dst []byte, e *logEntry) []byte { return append(dst, strings.Join(e.r.Header[key], ", ")...) }
	}
	return nil
}

func variableNames() string {
	var names []string
	for name := range logVariables {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func jsonFormat() (f logFormat) {
	for i, field := range jsonFields {
		text := `,"` + field.key + `":`
		if i == 0 {
			text = `{"` + field.key + `":`
		}
		quote := func(dst, value []byte) []byte { return appendJSONString(dst, string(value)) }
		if field.number {
			quote = func(dst, value []byte) []byte { return append(dst, value...) }
		}
		f = append(f, logPiece{text: text}, logPiece{value: logVariable(field.variable), quote: quote})
	}
	return append(f, logPiece{text: "}"})
}

// append appends the line of a request, without an end of line.
func (f logFormat) append(dst []byte, e *logEntry) []byte {
	var scratch [256]byte
	for _, p := range f {
		if p.value == nil {
			dst = append(dst, p.text...)
			continue
		}
		dst = p.quote(dst, p.value(scratch[:0], e))
	}
	return dst
}

// appendEscaped writes "-" for nothing, and what could end the line or a quoted
// text as \xXX, like nginx: no request can write a line of its own.
func appendEscaped(dst, value []byte) []byte {
	if len(value) == 0 {
		return append(dst, '-')
	}
	for _, c := range value {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			dst = append(dst, '\\', 'x', upperHex[c>>4], upperHex[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// basicUser is the name that a request claims.
func basicUser(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	text, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(string(text), ":")
	return name
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
