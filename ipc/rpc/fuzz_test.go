package rpc

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/types/known/apipb"
)

// FuzzReader: any bytes give frames or an error; what was read can be written
// again and reads the same.
func FuzzReader(f *testing.F) {
	f.Add(call(f, 0x08, 1, "informer.List", "true"))
	f.Add(append(call(f, 0x20, 1, "a.B", "\x03\x02\x00\x01"), call(f, 0x80, ^uint32(0), "", "")...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x15\x08\x11\x00\x00\x00\xb0\x49\x0c\x3a\x00\x00\x01\x00\x00\x00\xc8\x00\x00\x00informer.Listtrue"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data), 1<<16)
		for {
			got, err := r.Next()
			if err != nil {
				return
			}
			frame := call(t, got.Flags, got.Seq, string(got.Method), string(got.Body))
			again, err := NewReader(bytes.NewReader(frame), 1<<16).Next()
			if err != nil || again.Flags != got.Flags || again.Seq != got.Seq || !bytes.Equal(again.Method, got.Method) || !bytes.Equal(again.Body, got.Body) {
				t.Fatalf("%+v read again as %+v, %v", got, again, err)
			}
			again.Release()
			got.Release()
		}
	})
}

// FuzzDecode: whatever a frame holds, decoding ends in a value or an error, and
// a value can be encoded again and gives the same.
func FuzzDecode(f *testing.F) {
	for _, c := range []Codec{JSON, Gob, Msgpack} {
		for _, v := range []any{&sample, new("text"), new(true), &[]string{"a", "b"}} {
			b, err := Append(nil, c, v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(c), b)
		}
	}
	f.Add(byte(Raw), []byte("bytes"))
	f.Add(byte(Proto), []byte("\n\x03msg\x12\x06\n\x01k\x12\x01v"))
	f.Add(byte(Msgpack), bytes.Repeat([]byte{0x91}, 20000))
	f.Add(byte(JSON), bytes.Repeat([]byte{'['}, 20000))
	f.Fuzz(func(t *testing.T, flags byte, data []byte) {
		codec, err := ArgumentCodec(flags)
		if err != nil {
			return
		}
		for _, v := range []any{new(record), new(string), new(bool), new(int64), new([]string), new([]byte), new(map[string]string), new(any), new(apipb.Method)} {
			if Decode(codec, data, v) != nil {
				continue
			}
			if _, opaque := v.(*any); opaque || codec == Raw {
				continue // not every decoded map has an encoding
			}
			again, err := Append(nil, codec, v)
			if err != nil {
				if _, isProto := v.(*apipb.Method); isProto {
					continue // gob wants exported fields, proto valid UTF-8
				}
				t.Fatalf("%s: decoded %+v, cannot encode it: %v", codec, v, err)
			}
			w := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := Decode(codec, again, w); err != nil {
				t.Fatalf("%s: decoded %+v, encoded % x: %v", codec, v, again, err)
			}
		}
	})
}
