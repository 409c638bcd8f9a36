package boltdb

import (
	"bytes"
	"encoding/gob"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
)

// The form is that of encoding/gob, in both directions, at every length of a
// length.
func TestValueIsGob(t *testing.T) {
	x := kv.Expiry{At: time.Unix(5, 6), Text: "some text"}
	for _, n := range []int{0, 1, 122, 123, 124, 125, 126, 127, 128, 129, 253, 254, 255, 256, 257, 65_530, 65_535, 65_536, 1 << 24} {
		value := bytes.Repeat([]byte("v"), n)
		var want bytes.Buffer
		if err := gob.NewEncoder(&want).Encode(value); err != nil {
			t.Fatal(err)
		}
		if got := appendValue(nil, value, kv.Expiry{}); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d bytes: wrote % .20x, gob is % .20x", n, got, want.Bytes())
		}
		data := appendValue(nil, value, x)
		var back []byte
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&back); err != nil || !bytes.Equal(back, value) {
			t.Errorf("%d bytes: gob does not read it: %v", n, err)
		}
		message, got, gotX, err := parseValue(data)
		if err != nil || !bytes.Equal(got, value) || !bytes.Equal(message, want.Bytes()) || gotX.Text != x.Text || !gotX.At.Equal(x.At) {
			t.Errorf("%d bytes: %+v, %v", n, gotX, err)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add([]byte("\x05\x0a\x00\x02v1"))
	f.Add(appendValue(nil, []byte("v"), kv.Expiry{At: time.Now(), Text: "x"}))
	f.Add([]byte{})
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		message, value, x, err := parseValue(data)
		if err != nil {
			return
		}
		if again := appendExpiry(bytes.Clone(message), x); !bytes.Equal(again, data) {
			t.Fatalf("% x became % x", data, again)
		}
		if _, v, y, err := parseValue(appendValue(nil, value, x)); err != nil || !bytes.Equal(v, value) || y.Text != x.Text || !y.At.Equal(x.At) {
			t.Fatalf("% x: %v", data, err)
		}
	})
}
