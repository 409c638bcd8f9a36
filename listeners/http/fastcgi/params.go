package fastcgi

import (
	"encoding/binary"
	"errors"
)

// errParams says that a list of names and values is cut off or contradicts
// itself.
var errParams = errors.New("malformed FastCGI parameters")

// parseParams reads names and values (FastCGI specification 1.0, 3.4): the
// lengths of both, each in one byte, or in four with the highest bit set, then
// the name, then the value. Of a name that comes twice the last value counts.
func parseParams(b []byte) (map[string]string, error) {
	params := make(map[string]string, 32)
	for len(b) > 0 {
		var n [2]uint64
		for i := range n {
			switch {
			case len(b) > 0 && b[0] < 0x80:
				n[i], b = uint64(b[0]), b[1:]
			case len(b) >= 4:
				n[i], b = uint64(binary.BigEndian.Uint32(b)&(1<<31-1)), b[4:]
			default:
				return nil, errParams
			}
		}
		if n[0]+n[1] > uint64(len(b)) {
			return nil, errParams
		}
		params[string(b[:n[0]])] = string(b[n[0] : n[0]+n[1]])
		b = b[n[0]+n[1]:]
	}
	return params, nil
}

// appendParam is the reverse, for short names and values.
func appendParam(dst []byte, name, value string) []byte {
	for _, s := range []string{name, value} {
		if len(s) < 0x80 {
			dst = append(dst, byte(len(s)))
		} else {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(s))|1<<31)
		}
	}
	return append(append(dst, name...), value...)
}
