// Package goridge is the frame format that a PHP worker, an RPC client and the
// daemon speak: goridge v3. It consists of pure functions over byte slices and
// does no I/O. The format is specified in ipc/PROTOCOL.md.
//
//	byte    0         1      2..5            6..9             10      11
//	      +---------+-------+---------------+----------------+-------+---+
//	      | ver, HL | flags | payload len   | CRC32 of 0..5  | stream| 0 |
//	      +---------+-------+---------------+----------------+-------+---+
//	      | 0..10 options of 4 bytes | payload ...                       |
//
// All integers are little-endian.
package goridge

import (
	"encoding/binary"
	"errors"
)

// Version is the protocol version in the high nibble of byte 0. Peers do not
// check it on receipt; the CRC covers it.
const Version = 1

// Sizes in bytes and the number of options that a header can hold.
const (
	HeaderSize = 12 // without options
	OptionSize = 4
	MaxOptions = 10
	// MaxHeaderSize is the size of a header with MaxOptions options.
	MaxHeaderSize = HeaderSize + MaxOptions*OptionSize

	baseWords = HeaderSize / 4 // header length of a frame without options
	maxWords  = baseWords + MaxOptions
)

// Flags, byte 1 of the header. They are a bit mask; 0x02 is unused.
const (
	Control      byte = 0x01
	CodecRaw     byte = 0x04
	CodecJSON    byte = 0x08
	CodecMsgpack byte = 0x10
	CodecGob     byte = 0x20
	Error        byte = 0x40
	CodecProto   byte = 0x80
)

// Stream bits, byte 10 of the header.
const (
	StreamBit byte = 0x01 // worker: more frames of this answer follow
	StopBit   byte = 0x02 // daemon: end the stream
	PingBit   byte = 0x04 // worker: answer with a PONG frame
	PongBit   byte = 0x08 // daemon: answer to PING

	// BodyBit is no part of goridge: a worker that has said so at the handshake
	// gets the body of a job part by part. See section 6 of ipc/PROTOCOL.md.
	BodyBit byte = 0x10
	// SharedBit is no part of goridge either: the body of the frame lies in shared
	// memory. See section 7 of ipc/PROTOCOL.md.
	SharedBit byte = 0x20
)

// Errors of ParseHeader and ParseFrame.
var (
	// ErrShort: there are fewer bytes than the frame needs; more may follow.
	ErrShort = errors.New("goridge: incomplete frame")
	// ErrCRC: the checksum is wrong, so these bytes are not a goridge header.
	ErrCRC = errors.New("goridge: header checksum mismatch")
	// ErrHeaderLength: the header claims more than MaxOptions options.
	ErrHeaderLength = errors.New("goridge: header is longer than 13 words (10 options)")
)

// Header is a decoded header without the values of its options.
type Header struct {
	Version byte   // high nibble of byte 0; AppendHeader always writes Version
	Flags   byte   // byte 1
	Stream  byte   // byte 10
	Options int    // number of options, 0..MaxOptions
	Length  uint32 // length of the payload in bytes, options not counted
}

// Size is the size of the header with its options in bytes.
func (h Header) Size() int { return HeaderSize + h.Options*OptionSize }

// AppendHeader appends a header with its options to dst. It panics if there
// are more than MaxOptions options: their number is fixed by the caller's code.
func AppendHeader(dst []byte, flags, stream byte, length uint32, options ...uint32) []byte {
	if len(options) > MaxOptions {
		panic("goridge: more than 10 options")
	}
	at := len(dst)
	dst = append(dst, Version<<4|byte(baseWords+len(options)), flags)
	dst = binary.LittleEndian.AppendUint32(dst, length)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[at:]))
	dst = append(dst, stream, 0)
	for _, o := range options {
		dst = binary.LittleEndian.AppendUint32(dst, o)
	}
	return dst
}

// AppendFrame appends a whole frame to dst. The payload must fit a uint32.
func AppendFrame(dst []byte, flags, stream byte, payload []byte, options ...uint32) []byte {
	return append(AppendHeader(dst, flags, stream, uint32(len(payload)), options...), payload...)
}

// ParseHeader decodes the first HeaderSize bytes of b. The errors are ErrShort,
// ErrCRC and ErrHeaderLength. The checksum is verified first, because only it
// tells a header from other bytes. A header length below 3 words is read as 3,
// as every peer does.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	if binary.LittleEndian.Uint32(b[6:10]) != checksum(b[:6]) {
		return Header{}, ErrCRC
	}
	words := max(int(b[0]&0x0f), baseWords)
	if words > maxWords {
		return Header{}, ErrHeaderLength
	}
	return Header{
		Version: b[0] >> 4,
		Flags:   b[1],
		Stream:  b[10],
		Options: words - baseWords,
		Length:  binary.LittleEndian.Uint32(b[2:6]),
	}, nil
}

// Option returns the i-th option of the frame that starts at frame[0]. The
// caller has made sure that the frame has it: i < Header.Options and
// len(frame) >= Header.Size().
func Option(frame []byte, i int) uint32 {
	return binary.LittleEndian.Uint32(frame[HeaderSize+i*OptionSize:])
}

// Frame is a whole frame. Payload is a part of the slice that was parsed.
type Frame struct {
	Header
	Option  [MaxOptions]uint32 // the first Header.Options are valid
	Payload []byte
}

// ParseFrame decodes the frame at the start of b and returns its size, the
// number of bytes of b that belong to it.
func ParseFrame(b []byte) (f Frame, size int, err error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Frame{}, 0, err
	}
	if uint64(len(b)) < uint64(h.Size())+uint64(h.Length) {
		return Frame{}, 0, ErrShort
	}
	f.Header = h
	for i := range h.Options {
		f.Option[i] = Option(b, i)
	}
	size = h.Size() + int(h.Length)
	f.Payload = b[h.Size():size:size]
	return f, size, nil
}
