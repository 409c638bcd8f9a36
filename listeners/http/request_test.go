package http

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonRequest is the context as a PHP package reads it.
type jsonRequest struct {
	RemoteAddr string
	Protocol   string
	Method     string
	URI        string
	Headers    map[string][]string
	Cookies    map[string]string
	RawQuery   string
	Parsed     bool
	Uploads    any
	Attributes map[string][]string
}

func parseRequest(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// encode gives r's context in both codecs.
func encode(t testing.TB, e *exchange, r *http.Request) (jsonRequest, map[string]map[string][]string, map[string]string) {
	t.Helper()
	b := e.appendJSONContext(nil, r)
	if !utf8.Valid(b) {
		t.Fatalf("not UTF-8: %q", b)
	}
	var j jsonRequest
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	m := unmarshal(t, requestType, e.appendProtoContext(nil, r))
	maps := map[string]map[string][]string{}
	for _, name := range []string{"header", "cookies", "attributes"} {
		maps[name] = lists(m, requestType.Fields().ByTextName(name).Name())
	}
	texts := map[string]string{}
	for _, name := range []string{"remote_addr", "protocol", "method", "uri", "raw_query"} {
		texts[name] = get(m, requestType.Fields().ByTextName(name).Name()).String()
	}
	if get(m, "parsed").Bool() != e.parsed {
		t.Error("parsed")
	}
	return j, maps, texts
}

func TestContext(t *testing.T) {
	r := parseRequest(t, "POST /a%20b/ä?x=1&y=\xff HTTP/1.1\r\nHost: shop.local:8080\r\nAccept: a\r\nAccept: \"b\"\r\n"+
		"X-L: caf\xe9\r\nCookie: sid=x%3D1+2; q=\"v\"; bad=%zz; a[b]=1; sid=last\r\n\r\n")
	r = WithAttribute(r, "user", "7", "8")
	r = WithAttribute(r, "ip", "x")
	r = WithAttribute(r, "ip", "y")
	e := &exchange{remoteIP: "10.0.0.7", parsed: true, uploads: []byte(`{"f":1}`), attributes: attributes(r)}
	j, m, texts := encode(t, e, r)
	want := jsonRequest{
		RemoteAddr: "10.0.0.7", Protocol: "HTTP/1.1", Method: "POST",
		URI:      "http://shop.local:8080/a%20b/%C3%A4?x=1&y=%FF",
		Headers:  map[string][]string{"Accept": {"a", `"b"`}, "X-L": {"café"}, "Cookie": r.Header["Cookie"]},
		Cookies:  map[string]string{"sid": "last", "q": "v"},
		RawQuery: "x=1&y=%FF", Parsed: true, Uploads: map[string]any{"f": 1.0},
		Attributes: map[string][]string{"user": {"7", "8"}, "ip": {"y"}},
	}
	if !reflect.DeepEqual(j, want) {
		t.Errorf("JSON\n got %+v\nwant %+v", j, want)
	}
	if !maps.EqualFunc(m["header"], map[string][]string(r.Header), equal) {
		t.Errorf("header %q, want %q", m["header"], r.Header)
	}
	if !reflect.DeepEqual(m["cookies"], map[string][]string{"sid": {"last"}, "q": {"v"}}) {
		t.Errorf("cookies %q", m["cookies"])
	}
	if !reflect.DeepEqual(m["attributes"], want.Attributes) {
		t.Errorf("attributes %q", m["attributes"])
	}
	if !reflect.DeepEqual(texts, map[string]string{"remote_addr": want.RemoteAddr, "protocol": want.Protocol,
		"method": want.Method, "uri": want.URI, "raw_query": want.RawQuery}) {
		t.Errorf("%q", texts)
	}
}

func equal(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }

func TestURI(t *testing.T) {
	for _, tt := range []struct{ target, want string }{
		{"/", "http://h.test/"},
		{"/a#b", "http://h.test/a%23b"},
		{"/?a=b?c#d", "http://h.test/?a=b?c#d"},
		{"/?", "http://h.test/?"},
		{"//evil/x", "http://h.test//evil/x"},
		{"/[]{}|^", "http://h.test/%5B%5D%7B%7D%7C%5E"},
		{"http://Other.test:1/y?z", "http://Other.test:1/y?z"},
		{"http://u:p@o.test/", "http://u:p@o.test/"},
		{"*", "http://h.test*"},
	} {
		r := parseRequest(t, "GET "+tt.target+" HTTP/1.1\r\nHost: h.test\r\n\r\n")
		if got := string(appendURI(nil, r)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.target, got, tt.want)
		}
	}
	r := parseRequest(t, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
	if got := string(appendURI(nil, r)); got != "//h:443" {
		t.Error(got)
	}
	r = &http.Request{URL: &url.URL{Path: "/"}, Host: "a\r\nb\xff"}
	if got := string(appendURI(nil, r)); got != "http://ab%FF/" {
		t.Error(got)
	}
}

func TestRemoteIP(t *testing.T) {
	for _, tt := range []struct {
		addr, ip string
		ok       bool
	}{
		{"10.0.0.7:1234", "10.0.0.7", true},
		{"[2001:db8::1]:80", "2001:db8::1", true},
		{"2001:DB8::0:1", "2001:db8::1", true},
		{"@", "@", true},
		{"", "", true},
		{"unknown", "unknown", true},
		{"[2001:db8::1]", "", false},
		{"a:b:c", "", false},
	} {
		if ip, ok := remoteIP(tt.addr); ip != tt.ip || ok != tt.ok {
			t.Errorf("%s: %q %v", tt.addr, ip, ok)
		}
	}
}

func TestCookies(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"a=1; b=2", "a=1,b=2,"},
		{"a=x%20y%3D+", "a=x y= ,"},
		{`a="q v"`, "a=q v,"},
		{"=x; d=1", "d=1,"},
		{"abc; d=1", "abc=,d=1,"},
		{"a=1; ;b=2;", "a=1,b=2,"},
		{"a=\xc3\xa4; b=2", "b=2,"},
		{`a=b\c; d=1`, "d=1,"},
		{`a="; b=1`, "b=1,"},
		{"\t a = 1 ; b\t=2", "a= 1,b=2,"},
		{"a=%f; b=%FF", "b=\xff,"},
		{strings.Repeat("a=1;", maxCookies), ""},
	} {
		var got strings.Builder
		eachCookie(http.Header{"Cookie": {tt.line}}, nil, func(name string, value []byte) {
			got.WriteString(name + "=" + string(value) + ",")
		})
		if got.String() != tt.want {
			t.Errorf("%.40q: %.100q, want %q", tt.line, got.String(), tt.want)
		}
		// net/http is the reference for everything but the escapes.
		r := http.Request{Header: http.Header{"Cookie": {tt.line}}}
		var want strings.Builder
		for _, c := range r.Cookies() {
			if v, err := url.QueryUnescape(c.Value); err == nil {
				want.WriteString(c.Name + "=" + v + ",")
			}
		}
		if got.String() != want.String() {
			t.Errorf("%.40q: %.100q, net/http %q", tt.line, got.String(), want.String())
		}
	}
}

// FuzzContext decodes what both encoders make of any request that net/http
// accepts.
func FuzzContext(f *testing.F) {
	f.Add("GET /?a=b HTTP/1.1\r\nHost: x\r\nCookie: a=1;b=%ff;\"=\r\nX: \xff\r\n\r\n", "1.2.3.4:5", "k\xff")
	f.Add("CONNECT a:1 HTTP/1.0\r\n\r\n", "@", "")
	f.Fuzz(func(t *testing.T, text, addr, attr string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		r = WithAttribute(r, attr, attr, text)
		e := &exchange{attributes: attributes(r)}
		e.remoteIP, _ = remoteIP(addr)
		j, m, texts := encode(t, e, r)
		if j.Method != r.Method || texts["method"] != r.Method {
			t.Errorf("method %q %q", j.Method, texts["method"])
		}
		if len(j.Headers) != len(r.Header) || !maps.EqualFunc(m["header"], map[string][]string(r.Header), equal) {
			t.Errorf("header %q, want %q", m["header"], r.Header)
		}
		want := map[string]string{}
		for _, c := range r.Cookies() {
			if v, err := url.QueryUnescape(c.Value); err == nil {
				want[c.Name] = v
			}
		}
		if len(m["cookies"]) != len(want) || len(j.Cookies) != len(want) {
			t.Errorf("cookies %q, want %q", m["cookies"], want)
		}
		for name, v := range want {
			if m["cookies"][name][0] != v {
				t.Errorf("cookie %q %q, want %q", name, m["cookies"][name], v)
			}
		}
		if j.URI != texts["uri"] || j.RawQuery != texts["raw_query"] {
			t.Errorf("%+v %q", j, texts)
		}
	})
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		contentType string
		kind        bodyKind
		bad         bool
	}{
		{"application/x-www-form-urlencoded", urlencodedBody, false},
		{" Application/X-WWW-Form-URLEncoded ; charset=UTF-8", urlencodedBody, false},
		{"application/x-www-form-urlencoded;", urlencodedBody, false},
		{"application/x-www-form-urlencoded; charset", urlencodedBody, true},
		{"application/x-www-form-urlencoded-v2", rawBody, false},
		{`text/plain; x="application/x-www-form-urlencoded"`, rawBody, false},
		{"text/plain; charset", rawBody, false},
		{"multipart/form-data; boundary=x", multipartBody, false},
		{"multipart/mixed; boundary=x", rawBody, false},
		{"", rawBody, false},
	} {
		kind, _, err := classify(tt.contentType)
		if kind != tt.kind || (err != nil) != tt.bad {
			t.Errorf("%q: %v %v", tt.contentType, kind, err)
		}
	}
}

func TestContextIsNeverEmpty(t *testing.T) {
	// PHP takes an empty context with an empty body for the order to stop.
	e := new(exchange)
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
	if len(e.appendJSONContext(nil, r)) == 0 || len(e.appendProtoContext(nil, r)) == 0 {
		t.Error("empty")
	}
}
