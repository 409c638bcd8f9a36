package rpc

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		flags            byte
		argument, answer Codec
	}{
		{0x08, JSON, JSON},
		{0x20, Gob, Gob},
		{0xA0, Proto, Proto}, // RoadRunner's client with proto messages
		{0x28, JSON, JSON},
		{0x0C, JSON, JSON},
		{0x18, JSON, JSON},
		{0x24, Gob, Raw},
		{0x30, Gob, Msgpack},
		{0x14, Raw, Raw},
		{0x48, JSON, JSON}, // the ERROR flag of a request means nothing
		{0x09, JSON, JSON}, // nor does CONTROL
		{0xFF, Proto, Proto},
	} {
		argument, err := ArgumentCodec(c.flags)
		if err != nil || argument != c.argument || AnswerCodec(c.flags) != c.answer {
			t.Errorf("%#x: argument %s, answer %s, %v, want %s and %s", c.flags, argument, AnswerCodec(c.flags), err, c.argument, c.answer)
		}
	}
	for _, flags := range []byte{0, 0x40, 0x01, 0x02} {
		if _, err := ArgumentCodec(flags); !errors.Is(err, ErrNoCodec) || AnswerCodec(flags) != Gob {
			t.Errorf("%#x: %v, answer %s", flags, err, AnswerCodec(flags))
		}
	}
}

type record struct {
	Pid   int64 `json:"pid"`
	Names []string
	Data  []byte
	Load  float64
	Sub   *record
	Map   map[string]string
}

var sample = record{Pid: -5, Names: []string{"a", ""}, Data: []byte{0, 255}, Load: 0.5, Sub: &record{Pid: 7}, Map: map[string]string{"k": "v"}}

func TestRoundTrip(t *testing.T) {
	for _, c := range []Codec{JSON, Gob, Msgpack} {
		b, err := Append([]byte("prefix"), c, &sample)
		if err != nil || !bytes.HasPrefix(b, []byte("prefix")) {
			t.Fatalf("%s: %q, %v", c, b, err)
		}
		var got record
		if err := Decode(c, b[len("prefix"):], &got); err != nil || !reflect.DeepEqual(got, sample) {
			t.Errorf("%s: %+v, %v", c, got, err)
		}
	}
	in, out := []byte{1, 0, 2}, []byte(nil)
	for _, c := range []Codec{Raw, JSON, Gob, Msgpack} {
		b, err := Append(nil, c, &in)
		if err == nil {
			err = Decode(c, b, &out)
		}
		if err != nil || !bytes.Equal(in, out) {
			t.Errorf("%s: % x, %v", c, out, err)
		}
		clear(b)
		if !bytes.Equal(in, out) {
			t.Errorf("%s: the decoded bytes refer to the input", c)
		}
	}
	m, got := wrapperspb.String("x"), new(wrapperspb.StringValue)
	b, err := Append(nil, Proto, m)
	if err == nil {
		err = Decode(Proto, b, got)
	}
	if err != nil || !proto.Equal(m, got) {
		t.Errorf("proto: %v, %v", got, err)
	}
}

func TestWireNames(t *testing.T) {
	b, err := Append(nil, Msgpack, &record{Pid: 1})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := msgpack.Unmarshal(b, &m); err != nil || m["Pid"] == nil {
		t.Errorf("msgpack keys are not the Go field names: %v, %v", m, err)
	}
	// Protobuf as JSON: snake case names, 64 bit integers as numbers.
	b, err = Append(nil, JSON, &apipb.Method{RequestTypeUrl: "u", RequestStreaming: true})
	if err != nil || string(b) != `{"request_type_url":"u","request_streaming":true}` {
		t.Errorf("%s, %v", b, err)
	}
	b, err = Append(nil, JSON, wrapperspb.Int64(math.MaxInt64))
	if err != nil || string(b) != `{"value":9223372036854775807}` {
		t.Errorf("%s, %v", b, err)
	}
	got := new(apipb.Method)
	if err := Decode(JSON, []byte(`{"REQUEST_type_url":"u"}`), got); err != nil || got.RequestTypeUrl != "u" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEmptyArgumentKeepsTheZeroValue(t *testing.T) {
	for _, c := range []Codec{JSON, Gob, Msgpack, Raw} {
		s := "unchanged"
		if err := Decode(c, nil, &s); err != nil || s != "unchanged" {
			t.Errorf("%s: %q, %v", c, s, err)
		}
	}
	if err := Decode(Proto, nil, new(string)); !errors.Is(err, ErrNotProto) {
		t.Errorf("proto into a string: %v", err)
	}
}

func TestAccepts(t *testing.T) {
	var s string
	var b []byte
	m := new(wrapperspb.StringValue)
	for _, c := range []struct {
		flags      byte
		arg, reply any
		want       error
	}{
		{0x08, &s, &s, nil},
		{0x80, m, m, nil},
		{0xA0, m, m, nil},
		{0x80, &s, m, ErrNotProto},
		{0x80, m, &s, ErrNotProto},
		{0x04, &s, &b, nil},
		{0x04, &b, &s, ErrNotRaw},
		{0x24, &s, &s, ErrNotRaw},
		{0x00, &s, &s, ErrNoCodec},
	} {
		if err := Accepts(c.flags, c.arg, c.reply); !errors.Is(err, c.want) {
			t.Errorf("%#x %T %T: %v, want %v", c.flags, c.arg, c.reply, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	var n int
	for c, data := range map[Codec]string{
		JSON: `{"x"`, Gob: "\x04\x0c\x00\x01x", Msgpack: "\xa1x", Codec(0): "x", Codec(3): "x",
	} {
		if err := Decode(c, []byte(data), &n); err == nil {
			t.Errorf("%s: %q was decoded into an int", c, data)
		}
	}
	if _, err := Append(nil, Raw, &n); !errors.Is(err, ErrNotRaw) {
		t.Error(err)
	}
	if _, err := Append(nil, Proto, &n); !errors.Is(err, ErrNotProto) {
		t.Error(err)
	}
	if _, err := Append(nil, JSON, make(chan int)); err == nil {
		t.Error("a channel was encoded")
	}
}

func TestMsgpackLimits(t *testing.T) {
	deep := strings.Repeat("\x91", 1<<20) + "\xc0"
	for name, data := range map[string]string{
		"deep arrays":        deep,
		"deep maps":          strings.Repeat("\x81\xa1k", 1<<20) + "\xc0",
		"deep unknown field": "\x81\xa7Unknown" + deep,
		"array of 4 G":       "\xdd\xff\xff\xff\xff\xc0",
		"map of 4 G":         "\xdf\xff\xff\xff\xff\xa1k\xc0",
		"bytes of 4 GiB":     "\xc6\xff\xff\xff\xffx",
		"ext of 4 GiB":       "\xc9\xff\xff\xff\xff\x01x",
		"cut length":         "\xdb\x00\x00",
		"cut string":         "\xa5abc",
		"never used":         "\xc1",
	} {
		if err := Decode(Msgpack, []byte(data), new(record)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := Decode(Msgpack, []byte(data), new(any)); err == nil {
			t.Errorf("%s into any: no error", name)
		}
	}
	// Every head that the encoder can write passes.
	for _, v := range []any{
		nil, true, 1, -1, 200, -200, 1 << 20, -(1 << 20), uint64(math.MaxUint64), int64(math.MinInt64), float32(1), 1.5,
		"", strings.Repeat("s", 40), strings.Repeat("s", 300), strings.Repeat("s", 70000),
		make([]byte, 10), make([]byte, 300), make([]byte, 70000), make([]int, 3), make([]int, 20), make([]int, 70000),
		map[string]any{"a": []any{1, "x", map[string]any{}}}, manyKeys(20), manyKeys(70000),
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkMsgpack(b); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	for _, ext := range []string{"\xd4\x011", "\xd5\x0112", "\xd6\x011234", "\xd7\x0112345678", "\xd8\x010123456789abcdef", "\xc7\x01\x05x", "\xc8\x00\x01\x05x", "\xc9\x00\x00\x00\x01\x05x"} {
		if err := checkMsgpack([]byte(ext)); err != nil {
			t.Errorf("% x: %v", ext, err)
		}
		if err := checkMsgpack([]byte(ext[:len(ext)-1])); err == nil {
			t.Errorf("% x is cut and passed", ext[:len(ext)-1])
		}
	}
}

func manyKeys(n int) map[int]int {
	m := make(map[int]int, n)
	for i := range n {
		m[i] = i
	}
	return m
}

func TestDSN(t *testing.T) {
	for dsn, want := range map[string][2]string{
		"tcp://127.0.0.1:6001": {"tcp", "127.0.0.1:6001"},
		"tcp://:6001":          {"tcp", ":6001"},
		"unix:///run/x.sock":   {"unix", "/run/x.sock"},
		"unix://rr.sock":       {"unix", "rr.sock"},
	} {
		network, address, err := ParseDSN(dsn)
		if err != nil || network != want[0] || address != want[1] {
			t.Errorf("%s: %s %s %v", dsn, network, address, err)
		}
	}
	for _, dsn := range []string{"", "127.0.0.1:6001", "/run/x.sock", "udp://x:1", "unix://", "://x"} {
		if _, _, err := ParseDSN(dsn); !errors.Is(err, ErrDSN) {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}
