package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxMsgpackDepth is how deep arrays and maps may nest; encoding/json, gob and
// protobuf allow 10,000.
const maxMsgpackDepth = 10000

const msgpackNil = 0xc0

var errMsgpackShort = errors.New("msgpack: the argument ends in the middle of a value")

// checkMsgpack walks one value without decoding it. The decoder recurses into
// nested arrays, and when it skips unknown fields too, with no limit: 100 MB of
// 0x91 would exhaust the stack, which no recover catches. It also takes memory
// for as many elements as the input announces; here each announced element must
// have at least its one byte.
func checkMsgpack(data []byte) error {
	open := make([]uint64, 1, 16) // values still to come on each level
	open[0] = 1
	for {
		for open[len(open)-1] == 0 {
			if open = open[:len(open)-1]; len(open) == 0 {
				return nil
			}
		}
		open[len(open)-1]--
		skip, children, err := msgpackValue(data)
		if err != nil {
			return err
		}
		if skip > uint64(len(data)) {
			return errMsgpackShort
		}
		data = data[skip:]
		if children == 0 {
			continue
		}
		if children > uint64(len(data)) {
			return errMsgpackShort
		}
		if len(open) == maxMsgpackDepth {
			return fmt.Errorf("msgpack: nested deeper than %d levels", maxMsgpackDepth)
		}
		open = append(open, children)
	}
}

// msgpackValue reads the head of the value at the start of data: skip bytes
// belong to it, then come as many values as children says.
func msgpackValue(data []byte) (skip, children uint64, err error) {
	if len(data) == 0 {
		return 0, 0, errMsgpackShort
	}
	// length reads the n bytes big endian after the code.
	length := func(n int) uint64 {
		if len(data) < 1+n {
			err = errMsgpackShort
			return 0
		}
		var b [8]byte
		copy(b[8-n:], data[1:1+n])
		return binary.BigEndian.Uint64(b[:])
	}
	switch c := data[0]; {
	case c <= 0x7f || c >= 0xe0: // small integers
		return 1, 0, nil
	case c <= 0x8f: // fixmap
		return 1, uint64(c&0x0f) * 2, nil
	case c <= 0x9f: // fixarray
		return 1, uint64(c & 0x0f), nil
	case c <= 0xbf: // fixstr
		return 1 + uint64(c&0x1f), 0, nil
	case c == 0xc0 || c == 0xc2 || c == 0xc3: // nil, false, true
		return 1, 0, nil
	case c == 0xc1:
		return 0, 0, errors.New("msgpack: the code 0xc1 is never used")
	case c <= 0xc6: // bin 8, 16, 32
		n := 1 << (c - 0xc4)
		skip = 1 + uint64(n) + length(n)
	case c <= 0xc9: // ext 8, 16, 32: length, then the type byte
		n := 1 << (c - 0xc7)
		skip = 2 + uint64(n) + length(n)
	case c <= 0xcb: // float 32, 64
		skip = 1 + 4<<(c-0xca)
	case c <= 0xcf: // uint 8, 16, 32, 64
		skip = 1 + 1<<(c-0xcc)
	case c <= 0xd3: // int 8, 16, 32, 64
		skip = 1 + 1<<(c-0xd0)
	case c <= 0xd8: // fixext 1, 2, 4, 8, 16
		skip = 2 + 1<<(c-0xd4)
	case c <= 0xdb: // str 8, 16, 32
		n := 1 << (c - 0xd9)
		skip = 1 + uint64(n) + length(n)
	case c <= 0xdd: // array 16, 32
		n := 2 << (c - 0xdc)
		skip, children = 1+uint64(n), length(n)
	default: // map 16, 32
		n := 2 << (c - 0xde)
		skip, children = 1+uint64(n), 2*length(n)
	}
	return skip, children, err
}
