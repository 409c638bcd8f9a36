package rpc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

func call(t testing.TB, flags byte, seq uint32, method, body string) []byte {
	t.Helper()
	f := append(AppendCall(nil, method), body...)
	if err := Seal(f, flags, seq, len(method)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFrameVectors(t *testing.T) {
	for _, c := range []struct {
		hex          string
		flags        byte
		seq          uint32
		method, body string
	}{
		{"1508110000" + "00b0490c3a0000" + "01000000" + "0d000000" + hex.EncodeToString([]byte("informer.Listtrue")), 0x08, 1, "informer.List", "true"},
		{"1508150000" + "00e7de6eb50000" + "01000000" + "0d000000" + hex.EncodeToString([]byte(`informer.List["http"]`)), 0x08, 1, "informer.List", `["http"]`},
		{"1548240000" + "006a190aa50000" + "02000000" + "06000000" + hex.EncodeToString([]byte("nope.Xrpc: can't find service nope.X")), 0x48, 2, "nope.X", "rpc: can't find service nope.X"},
	} {
		want, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := call(t, c.flags, c.seq, c.method, c.body); !bytes.Equal(got, want) {
			t.Errorf("wrote % x, want % x", got, want)
		}
		f, err := NewReader(iotest.OneByteReader(bytes.NewReader(want)), 0).Next()
		if err != nil || f.Flags != c.flags || f.Seq != c.seq || string(f.Method) != c.method || string(f.Body) != c.body {
			t.Errorf("read %+v, %v", f, err)
		}
		f.Release()
		f.Release()
	}
}

func TestReaderErrors(t *testing.T) {
	whole := call(t, 0x08, 1, "a.B", "body")
	for n := range whole {
		_, err := NewReader(bytes.NewReader(whole[:n]), 0).Next()
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%d of %d bytes: %v, want %v", n, len(whole), err, want)
		}
	}
	for name, data := range map[string][]byte{
		"no options":      goridge.AppendFrame(nil, 0x08, 0, []byte("a.B")),
		"one option":      goridge.AppendFrame(nil, 0x08, 0, []byte("a.B"), 1),
		"three options":   goridge.AppendFrame(nil, 0x08, 0, []byte("a.B"), 1, 3, 0),
		"long method":     goridge.AppendFrame(nil, 0x08, 0, []byte("a.B"), 1, 4),
		"huge method":     goridge.AppendFrame(nil, 0x08, 0, make([]byte, maxMethod+1), 1, maxMethod+1),
		"above the limit": goridge.AppendFrame(nil, 0x08, 0, make([]byte, 10001), 1, 3),
		"no CRC":          append([]byte{0x15, 8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "........"...),
	} {
		if f, err := NewReader(bytes.NewReader(data), 10000).Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestReaderKeepsFramesApart(t *testing.T) {
	large := string(bytes.Repeat([]byte("x"), 3*chunk+5))
	var stream []byte
	bodies := []string{"", "1", large, "2", large[:chunk], "3"}
	for i, b := range bodies {
		stream = append(stream, call(t, 0x08, uint32(i), "a.B", b)...)
	}
	r := NewReader(bytes.NewReader(stream), 0)
	for i, b := range bodies {
		f, err := r.Next()
		if err != nil || f.Seq != uint32(i) || string(f.Body) != b {
			t.Fatalf("frame %d: seq %d, %d bytes, %v", i, f.Seq, len(f.Body), err)
		}
		f.Release()
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

func BenchmarkReader(b *testing.B) {
	b.ReportAllocs()
	frame := call(b, 0x08, 1, "kv.Has", `{"storage":"x"}`)
	src := bytes.NewReader(frame)
	r := NewReader(src, 0)
	for b.Loop() {
		src.Reset(frame)
		f, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		f.Release()
	}
}
