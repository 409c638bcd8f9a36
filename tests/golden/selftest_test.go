package golden_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// The replayer is tested on the recordings themselves: they hold raw bytes
// beside their decoded form.

func eachStep(t *testing.T, do string, f func(t *testing.T, c *goldenCase, st *step, want map[string]any)) {
	t.Helper()
	n := 0
	for _, file := range []string{"http.jsonl", "worker.jsonl", "rpc.jsonl"} {
		cases, err := loadCases(*dataDir, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			for _, st := range c.Steps {
				if want, _ := st.Expect.(map[string]any); st.Do == do {
					n++
					f(t, c, st, want)
				}
			}
		}
	}
	if n == 0 {
		t.Fatalf("no step %q in the recordings", do)
	}
}

// TestResponseReader reads every recorded raw response.
func TestResponseReader(t *testing.T) {
	eachStep(t, "response", func(t *testing.T, c *goldenCase, st *step, want map[string]any) {
		raw, err := base64.StdEncoding.DecodeString(stringOf(want["raw"]))
		if err != nil || len(raw) == 0 || strings.Contains(string(raw), "{https_port}") {
			return
		}
		ours, theirs := net.Pipe()
		w := newWire(ours)
		go func() {
			// In small pieces, to meet every state of the reader.
			for piece := range slices.Chunk(raw, 7) {
				_, _ = theirs.Write(piece)
			}
			_ = theirs.Close()
		}()
		got, err := w.response(st.Method, time.Second)
		if err == nil {
			err = new(replay).compareResponse(st, want, got)
		}
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
		}
		_ = ours.Close()
		w.closed(time.Second)
	})
}

// TestRequestDecoder decodes every recorded request context.
func TestRequestDecoder(t *testing.T) {
	eachStep(t, "frame", func(t *testing.T, c *goldenCase, st *step, want map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(stringOf(want["context_raw"]))
		if len(raw) == 0 || st.Context == "json" || bytes.Contains(raw, []byte("{TMP}")) {
			return // a placeholder of another length breaks the encoding
		}
		got, err := decodeRequest(flagProto, raw)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		for _, d := range (matcher{}).diff("", want["context"], got) {
			t.Errorf("%s: %s", c.ID, d)
		}
	})
}

func TestJSONRequest(t *testing.T) {
	got, err := decodeRequest(flagJSON, []byte(`{"remoteAddr":"10.0.0.7","protocol":"HTTP/1.1","method":"GET","uri":"http://shop.local/a?b=1",`+
		`"headers":{"Accept":["*/*"]},"cookies":{"sid":"x"},"rawQuery":"b=1","parsed":false,"uploads":null,"attributes":null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"remote_addr": "10.0.0.7", "protocol": "HTTP/1.1", "method": "GET", "uri": "http://shop.local/a?b=1", "raw_query": "b=1",
		"header": map[string]any{"Accept": []any{"*/*"}}, "cookies": map[string]any{"sid": []any{"x"}},
		"attributes": map[string]any{}, "parsed": false, "uploads": nil,
	}
	if d := (matcher{}).diff("", want, got); len(d) > 0 {
		t.Error(d)
	}
	for _, bad := range []string{`{}`, `[]`, "", "{\"method\":\"\xff\"}"} {
		if _, err := decodeRequest(flagJSON, []byte(bad)); err == nil {
			t.Errorf("%q is decoded", bad)
		}
	}
}

// TestAnswerEncoder encodes every recorded answer anew: the bytes are the
// recorded ones up to the order of the headers.
func TestAnswerEncoder(t *testing.T) {
	eachStep(t, "answer", func(t *testing.T, c *goldenCase, st *step, _ map[string]any) {
		if st.Fixed || st.About == nil {
			return
		}
		got, err := encodeAnswer(st.About, flagProto)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		if a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values([]byte(st.Data))); !bytes.Equal(a, b) {
			t.Errorf("%s: got % x, want % x", c.ID, got[:min(200, len(got))], st.Data[:min(200, len(st.Data))])
		}
		if _, err := encodeAnswer(st.About, flagJSON); err != nil && protoOnly[c.ID] == "" {
			t.Errorf("%s in JSON: %v", c.ID, err)
		}
	})
}

// TestRPCDecoder decodes every recorded answer of the RPC server.
func TestRPCDecoder(t *testing.T) {
	eachStep(t, "rpc", func(t *testing.T, c *goldenCase, st *step, want map[string]any) {
		raw, _ := hex.DecodeString(stringOf(want["frame_hex"]))
		if len(raw) == 0 {
			return
		}
		ours, theirs := net.Pipe()
		w := newWire(ours)
		go func() {
			_, _ = theirs.Write(raw)
			_ = theirs.Close()
		}()
		a, err := w.rpcAnswer(time.Second)
		_ = ours.Close()
		w.closed(time.Second)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		got, err := a.value()
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		delete(want, "frame_hex")
		for _, d := range (matcher{unordered: st.Unordered}).diff("", want, got) {
			t.Errorf("%s: %s", c.ID, d)
		}
	})
}

func TestFrameCodec(t *testing.T) {
	for _, v := range []struct {
		hex           string
		flags, stream byte
		options       []uint32
		payload       string
	}{
		{"13090d0000003a6bfacb00007b2273746f70223a747275657d", 0x09, 0, nil, `{"stop":true}`},
		{"1404070000005 77fd241000002000000 7b7d68656c6c6f", 0x04, 0, []uint32{2}, "{}hello"},
		{"13000000000096d180340200", 0, 2, nil, ""},
		{"134004000000881e11e30000626f6f6d", 0x40, 0, nil, "boom"},
	} {
		raw, err := hex.DecodeString(strings.ReplaceAll(v.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := appendFrame(nil, v.flags, v.stream, v.options, []byte(v.payload)); !bytes.Equal(got, raw) {
			t.Errorf("got % x, want % x", got, raw)
		}
		f, n, err := parseFrame(append(slices.Clone(raw), "more"...))
		if err != nil || n != len(raw) || !f.CRC || f.Version != 1 || f.Flags != v.flags || f.Stream != v.stream ||
			!slices.Equal(f.Options, v.options) || string(f.Payload) != v.payload {
			t.Errorf("%s: parsed %+v, %d bytes, %v", v.hex, f, n, err)
		}
		if _, _, err := parseFrame(raw[:len(raw)-1]); err != errShortFrame {
			t.Errorf("a cut frame: %v", err)
		}
	}
}

func TestMatcher(t *testing.T) {
	vars := strings.NewReplacer("{tmp}", "/x")
	for _, v := range []struct {
		want, got string
		unordered bool
		ok        bool
	}{
		{`{"a":1}`, `{"a":1.0}`, false, true},
		{`{"a":1}`, `{"a":"1"}`, false, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false, false},
		{`{"a":1,"b":2}`, `{"a":1}`, false, false},
		{`["a","b"]`, `["b","a"]`, false, false},
		{`["a","b"]`, `["b","a"]`, true, true},
		{`["a","a"]`, `["a","b"]`, true, false},
		{`"{INT}"`, `12`, false, true},
		{`"{INT}"`, `12.5`, false, false},
		{`"{NUM}"`, `12.5`, false, true},
		{`"{STR}"`, `"x"`, false, true},
		{`"{STR}"`, `1`, false, false},
		{`"{ANY}"`, `{"x":1}`, false, true},
		{`"pid {INT}."`, `"pid 12."`, false, true},
		{`"pid {INT}."`, `"pid x."`, false, false},
		{`"{tmp}/up"`, `"/x/up"`, false, true},
		{`{"b64":"Zm9v"}`, `"foo"`, false, true},
		{`{"len":3,"sha256":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}`, `"foo"`, false, true},
		{`{"len":3,"sha256":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}`, `"fop"`, false, false},
		{`null`, `null`, false, true},
		{`null`, `{}`, false, false},
		{`true`, `false`, false, false},
		{`"{TIME} stop"`, `"2026/01/02 03:04:05 stop"`, false, true},
	} {
		var want, got any
		if err := decodeJSON([]byte(v.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := decodeJSON([]byte(v.got), &got); err != nil {
			t.Fatal(err)
		}
		if d := (matcher{vars: vars, unordered: v.unordered}).diff("", want, got); (len(d) == 0) != v.ok {
			t.Errorf("want %s, got %s: %v", v.want, v.got, d)
		}
	}
}

func TestMetricsParser(t *testing.T) {
	got, err := parseMetrics(strings.Join([]string{
		"# HELP cnt h", "# TYPE cnt counter", `cnt{b="2",a="x\"y"} 1`, "# HELP go_x y", "# TYPE go_x gauge", "go_x 1",
		"# HELP his h", "# TYPE his histogram", `his_bucket{le="1"} 1`, `his_bucket{le="+Inf"} 1`, "his_sum 0.5", "his_count 1",
		"# HELP w h", "# TYPE w gauge", `w{pid="12"} 5`, `w{pid="13"} 6`, "",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := decodeJSON([]byte(`{
		"cnt":{"help":"h","type":"counter","labels":[[["b","2"],["a","x\\\"y"]]],"values":{"cnt[[\"b\", \"2\"], [\"a\", \"x\\\\\\\"y\"]]":"1"}},
		"his":{"help":"h","type":"histogram","labels":[[]],"buckets":["1","+Inf"],"values":{"his_count[]":"1"}},
		"w":{"help":"h","type":"gauge","labels":[[["pid","PID"]]]}}`), &want); err != nil {
		t.Fatal(err)
	}
	keepValues(want, got)
	if d := (matcher{}).diff("", want, got); len(d) > 0 {
		t.Error(d)
	}
}

func TestFCGIReader(t *testing.T) {
	ours, theirs := net.Pipe()
	w := newWire(ours)
	go func() {
		_, _ = theirs.Write([]byte("\x01\x06\x00\x01\x00\x13\x05\x00Status: 404\r\n\r\nnoneppppp" + "\x01\x06\x00\x01\x00\x00\x00\x00" + "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
		_ = theirs.Close()
	}()
	headers, body, err := w.fcgi(time.Second)
	_ = ours.Close()
	w.closed(time.Second)
	if err != nil || body != "none" || !slices.Equal(headers, [][2]string{{"Status", "404"}}) {
		t.Errorf("got %v %q %v", headers, body, err)
	}
}

func TestNotYetGlob(t *testing.T) {
	l := notYet{"rpc-kv-*", "http-tls"}
	for id, want := range map[string]bool{"rpc-kv-mem": true, "http-tls": true, "http-tls-2": false} {
		if l.has(id) != want {
			t.Errorf("%s: %t", id, !want)
		}
	}
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}
