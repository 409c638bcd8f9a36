package http

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/rr-systemd/rrd/ipc"
)

func decoded(flags byte, context []byte) (int64, map[string][]string, error) {
	var a answer
	err := a.decode(&ipc.Message{Flags: flags, Context: context})
	m := map[string][]string{}
	for _, f := range a.fields {
		m[f.name] = append(m[f.name], f.value)
	}
	return a.status, m, err
}

func TestDecodeJSON(t *testing.T) {
	for _, tt := range []struct {
		text   string
		status int64
		want   map[string][]string
	}{
		{`{"status":200,"headers":{"Content-Type":["text\/html"],"Set-Cookie":["a=1","b=2"]}}`, 200,
			map[string][]string{"Content-Type": {"text/html"}, "Set-Cookie": {"a=1", "b=2"}}},
		{` { "headers" : { } , "status" : -7 } `, -7, nil},
		{`{"status":204,"headers":[]}`, 204, nil},
		{`{"status":204,"headers":null}`, 204, nil},
		{`{}`, 0, nil},
		{`{"other":{"a":[1,2.5e-3,true,false,null,"\u00e4"]},"status":599}`, 599, nil},
		{`{"headers":{"A":"x","B":[1,-2.5,true,null],"C":[],"D":null}}`, 0, map[string][]string{"A": {"x"}, "B": {"1", "-2.5", "true"}}},
		{`{"headers":{"A":["\u00e4\ud83d\ude00\ud800x\"\\\b\f\n\r\t"]}}`, 0, map[string][]string{"A": {"ä😀\uFFFDx\"\\\b\f\n\r\t"}}},
		{`{"headers":{"":["` + "\xff" + `"]}}`, 0, map[string][]string{"": {"\xff"}}},
	} {
		status, got, err := decoded(0x08, []byte(tt.text))
		if tt.want == nil {
			tt.want = map[string][]string{}
		}
		if err != nil || status != tt.status || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %d %q %v", tt.text, status, got, err)
		}
	}
	for _, text := range []string{`{`, `[]`, `x`, `{"status":"200"}`, `{"status":1.0}`, `{"status":1e2}`, `{"status":1234567890123456789}`,
		`{"status":200} x`, `{"status":200,}`, `{"status":01}`, `{"headers":[1]}`, `{"headers":{"a":{}}}`, `{"headers":{"a":[[]]}}`,
		`{"headers":{"a":["\x"]}}`, `{"headers":{"a":["\u12"]}}`, "{\"a\":\"\n\"}", `{"a":tru}`, `{"a":` + strings.Repeat("[", 5000)} {
		if status, got, err := decoded(0x08, []byte(text)); err == nil {
			t.Errorf("%.60s: accepted as %d %q", text, status, got)
		}
	}
}

func TestDecodeProto(t *testing.T) {
	want := map[string][]string{"Content-Type": {"text/html"}, "Set-Cookie": {"a=1", "b=\xff"}, "": {""}}
	status, got, err := decoded(0x80, protoResponse(t, 418, want))
	if err != nil || status != 418 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d %q %v", status, got, err)
	}
	if _, _, err := decoded(0x80, []byte(`{"stop":true}`)); err == nil {
		t.Error("JSON accepted as protobuf")
	}
}

func TestDecodeCodec(t *testing.T) {
	ok := protoResponse(t, 200, nil)
	for _, tt := range []struct {
		flags   byte
		context []byte
		ok      bool
	}{
		{0x80, ok, true}, {0x80, nil, true}, {0x08, []byte(`{}`), true}, {0x08, nil, true},
		{0, []byte(`{}`), true}, // packages before 3.5
		{0, nil, true},
		{0x04, nil, true},
		{0, ok, false}, {0x88, ok, false}, {0x81, nil, false}, {0x04, []byte(`{}`), false}, {0x10, []byte(`{}`), false},
	} {
		if _, _, err := decoded(tt.flags, tt.context); (err == nil) != tt.ok {
			t.Errorf("0x%02x %q: %v", tt.flags, tt.context, err)
		}
	}
}

// FuzzDecodeJSON compares with encoding/json wherever the documents are of the
// strict form.
func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"status":200,"headers":{"A":["b","\ud83d\ude00\/"],"C":["x"]},"z":[{"a":1e5}]}`)
	f.Add(`{"status":-0,"headers":[]}`)
	f.Add(`{"headers":{"a":["` + "\xff" + `"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		status, got, err := decoded(0x08, []byte(text))
		if err == nil && text != "" && !json.Valid([]byte(text)) {
			t.Fatalf("accepted %q", text)
		}
		var raw map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &raw) != nil || !utf8.ValidString(text) || strings.Count(text, "status") > 1 || strings.Count(text, "eaders") > 1 || strings.Contains(text, `\u`) {
			return
		}
		var want struct {
			Status  int64
			Headers map[string][]string
		}
		// encoding/json ignores the case of names, PHP does not.
		for name := range raw {
			if name != "status" && name != "headers" && (strings.EqualFold(name, "status") || strings.EqualFold(name, "headers")) {
				return
			}
		}
		if json.Unmarshal([]byte(text), &want) != nil || strings.Contains(text, "null") || text == "null" {
			return
		}
		if err != nil {
			if want.Status > 1e17 || want.Status < -1e17 || strings.Count(text, "[")+strings.Count(text, "{") > maxJSONDepth {
				return
			}
			t.Fatalf("refused %q: %v", text, err)
		}
		if status != want.Status {
			t.Fatalf("status %d, want %d", status, want.Status)
		}
		seen := map[string]bool{} // of a name that comes twice, encoding/json keeps the last
		for name, values := range want.Headers {
			if len(values) > 0 && !seen[name] && len(got[name]) < len(values) {
				t.Fatalf("%q: %q, want %q", name, got[name], values)
			}
		}
	})
}

// FuzzDecodeProto compares with the protobuf library.
func FuzzDecodeProto(f *testing.F) {
	f.Add(protoResponse(f, 200, map[string][]string{"A": {"b", "c"}, "D": {"e"}}))
	f.Add([]byte("\x12\x02\x12\x00\x08\x01\x1b\x1c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		status, got, err := decoded(0x80, b)
		m := dynamicpb.NewMessage(responseType)
		if !valid(b, m) {
			return
		}
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if len(b) > 0 && status != get(m, "status").Int() {
			t.Fatalf("status %d, want %d", status, get(m, "status").Int())
		}
		for name, values := range lists(m, "headers") {
			if len(got[name]) < len(values) {
				t.Fatalf("%q: %q, want %q", name, got[name], values)
			}
		}
	})
}

// valid unmarshals b; dynamicpb panics on a map entry without a key.
func valid(b []byte, m proto.Message) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return proto.Unmarshal(b, m) == nil
}

func TestAddTo(t *testing.T) {
	a := answer{fields: []field{{"x-a", "1"}, {"X-A", "2"}, {"bad name", "x"}, {"Trailer:X", "x"}, {"", "x"}, {"Vary", "b"}}}
	h := http.Header{"Vary": {"a"}}
	names := a.addTo(h, nil)
	want := http.Header{"Vary": {"a", "b"}, "X-A": {"1", "2"}}
	if !reflect.DeepEqual(h, want) || !reflect.DeepEqual(names, []string{"X-A"}) {
		t.Errorf("%q %q", h, names)
	}
}
