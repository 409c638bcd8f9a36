package boltdb

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
)

// A value in the file is what RoadRunner writes there, the gob of a byte slice,
// and after it, if the key expires, when it does:
//
//	gob message: length | type 0x0a | 0x00 | length | bytes
//	expiry:      0x01 | seconds since 1970, int64 | nanoseconds, uint32 | text
//
// Numbers of the expiry are big endian. Whoever reads the gob, as RoadRunner does,
// does not look further: both servers read each other's files, only that
// RoadRunner's keys never expire after its restart. See encoding/gob for the
// message.
const (
	gobBytes   = 0x0a // the type of a byte slice
	expiryMark = 0x01
	expiryHead = 1 + 8 + 4
)

var errValue = errors.New("the value in the file is neither rrd's nor RoadRunner's")

// appendValue appends the form in the file.
func appendValue(dst, value []byte, x kv.Expiry) []byte {
	dst = appendUint(dst, uint64(2+uintSize(uint64(len(value)))+len(value)))
	dst = append(dst, gobBytes, 0)
	dst = appendUint(dst, uint64(len(value)))
	dst = append(dst, value...)
	return appendExpiry(dst, x)
}

func appendExpiry(dst []byte, x kv.Expiry) []byte {
	if x.Never() {
		return dst
	}
	dst = append(dst, expiryMark)
	dst = binary.BigEndian.AppendUint64(dst, uint64(x.At.Unix()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(x.At.Nanosecond()))
	return append(dst, x.Text...)
}

// parseValue splits the form in the file: the gob message, the value in it, the
// expiry. All refer to data, but the text of the expiry.
func parseValue(data []byte) (message, value []byte, x kv.Expiry, err error) {
	n, rest, ok := readUint(data)
	if !ok || n < 3 || n > uint64(len(rest)) {
		return nil, nil, x, errValue
	}
	message, after := data[:len(data)-len(rest)+int(n)], rest[n:]
	body := rest[:n]
	if body[0] != gobBytes || body[1] != 0 {
		return nil, nil, x, errValue
	}
	n, value, ok = readUint(body[2:])
	if !ok || n != uint64(len(value)) {
		return nil, nil, x, errValue
	}
	if len(after) == 0 {
		return message, value, x, nil
	}
	if len(after) <= expiryHead || after[0] != expiryMark {
		return nil, nil, x, errValue
	}
	seconds, nanoseconds := binary.BigEndian.Uint64(after[1:]), binary.BigEndian.Uint32(after[9:])
	if nanoseconds >= 1e9 {
		return nil, nil, x, errValue
	}
	x.At = time.Unix(int64(seconds), int64(nanoseconds))
	x.Text = string(after[expiryHead:])
	return message, value, x, nil
}

// gob's unsigned integers: a byte below 128 is itself; else the number of bytes
// that follow, negated, and those, big endian.

func appendUint(dst []byte, n uint64) []byte {
	if n < 128 {
		return append(dst, byte(n))
	}
	size := byteLen(n)
	dst = append(dst, byte(-size))
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

func uintSize(n uint64) int {
	if n < 128 {
		return 1
	}
	return 1 + byteLen(n)
}

func byteLen(n uint64) int { return (bits.Len64(n) + 7) / 8 }

func readUint(data []byte) (n uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, nil, false
	}
	if data[0] < 128 {
		return uint64(data[0]), data[1:], true
	}
	size := -int(int8(data[0]))
	if size > 8 || len(data) < 1+size {
		return 0, nil, false
	}
	for _, b := range data[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	return n, data[1+size:], true
}
