package golden_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
)

// The goridge v3 frame, written once more and apart from ipc/goridge: a test
// that used the daemon's own codec would not see its mistakes.

const (
	flagControl = 0x01
	flagRaw     = 0x04
	flagJSON    = 0x08
	flagMsgpack = 0x10
	flagGob     = 0x20
	flagError   = 0x40
	flagProto   = 0x80
)

// frame is one frame as it came.
type frame struct {
	Header  []byte
	Version byte
	Flags   byte
	Stream  byte
	Options []uint32
	CRC     bool // the checksum is right
	Payload []byte
}

var errShortFrame = errors.New("not yet a whole frame")

// parseFrame reads the frame at the start of b and returns its size.
func parseFrame(b []byte) (*frame, int, error) {
	if len(b) < 12 {
		return nil, 0, errShortFrame
	}
	words := int(b[0] & 0x0f)
	if words < 3 || words > 13 {
		return nil, 0, fmt.Errorf("impossible header length %d in % x", words, b[:12])
	}
	size := uint64(words*4) + uint64(binary.LittleEndian.Uint32(b[2:]))
	if uint64(len(b)) < size {
		return nil, 0, errShortFrame
	}
	f := &frame{
		Header:  b[: words*4 : words*4],
		Version: b[0] >> 4,
		Flags:   b[1],
		Stream:  b[10],
		CRC:     crc32.ChecksumIEEE(b[:6]) == binary.LittleEndian.Uint32(b[6:]),
		Payload: b[words*4 : size : size],
	}
	for i := 12; i < words*4; i += 4 {
		f.Options = append(f.Options, binary.LittleEndian.Uint32(b[i:]))
	}
	return f, int(size), nil
}

// appendFrame encodes a frame.
func appendFrame(dst []byte, flags, stream byte, options []uint32, payload []byte) []byte {
	head := make([]byte, 12, 12+4*len(options))
	head[0] = 1<<4 | byte(3+len(options))
	head[1] = flags
	binary.LittleEndian.PutUint32(head[2:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[6:], crc32.ChecksumIEEE(head[:6]))
	head[10] = stream
	for _, o := range options {
		head = binary.LittleEndian.AppendUint32(head, o)
	}
	return append(append(dst, head...), payload...)
}

// split divides the payload of a job or an answer into context and body.
func (f *frame) split() (context, body []byte, err error) {
	if len(f.Options) != 1 || uint64(f.Options[0]) > uint64(len(f.Payload)) {
		return nil, nil, fmt.Errorf("options %v do not fit a payload of %d bytes", f.Options, len(f.Payload))
	}
	return f.Payload[:f.Options[0]], f.Payload[f.Options[0]:], nil
}

// hex is the whole frame.
func (f *frame) hex() string { return hex.EncodeToString(f.Header) + hex.EncodeToString(f.Payload) }
