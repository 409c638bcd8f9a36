// Package rpc is Go's net/rpc spoken in goridge frames: the codecs, the framing
// and a client. It knows no service; the server's dispatcher is services/rpc.
//
// A call is one frame each way. Its two options are a sequence number, which
// the answer repeats, and the length of the method name; its payload is the
// method name ("informer.List") followed by the encoded argument or result. An
// error is the plain text after the method name, with the flag ERROR. Answers
// may overtake each other.
package rpc

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// Codec is how an argument or a result is encoded. Its value is the flag in a
// goridge frame.
type Codec byte

const (
	// Raw carries bytes as they are. Only a method whose result is []byte can
	// answer in it; an argument that is no []byte keeps its zero value.
	Raw = Codec(goridge.CodecRaw)
	// JSON is encoding/json. Protobuf messages use their proto (snake case)
	// field names, numbers for 64 bit integers and base64 for bytes, as in
	// RoadRunner; that is not the JSON mapping of protobuf.
	JSON = Codec(goridge.CodecJSON)
	// Msgpack is MessagePack with Go field names as map keys.
	Msgpack = Codec(goridge.CodecMsgpack)
	// Gob is encoding/gob, the codec of RoadRunner's own command line.
	Gob = Codec(goridge.CodecGob)
	// Proto is protobuf. Argument and result must both be proto messages.
	Proto = Codec(goridge.CodecProto)
)

func (c Codec) String() string {
	switch c {
	case Raw:
		return "raw"
	case JSON:
		return "json"
	case Msgpack:
		return "msgpack"
	case Gob:
		return "gob"
	case Proto:
		return "proto"
	}
	return fmt.Sprintf("codec(0x%02x)", byte(c))
}

// Errors that a caller sees with RoadRunner's texts.
var (
	// ErrNotProto: the frame says protobuf and the method does not speak it.
	ErrNotProto = errors.New("goridge_read_request_body: message type is not a proto")
	// ErrNoCodec: the frame has no codec flag.
	ErrNoCodec = errors.New("goridge_read_request_body: unknown decoder used in frame")
	// ErrNotRaw: the frame says raw and the result is not []byte.
	ErrNotRaw = errors.New("unknown Raw payload type")
)

// AnswerCodec returns the codec of the answer to a frame with these flags:
// Proto before JSON, Raw, Msgpack and Gob. Without any codec flag it is Gob,
// which then only marks the error.
func AnswerCodec(flags byte) Codec {
	return strongest(flags, [...]Codec{Proto, JSON, Raw, Msgpack})
}

// ArgumentCodec returns the codec in which the argument of a frame with these
// flags is read: Proto before JSON, Gob, Raw and Msgpack. It differs from
// AnswerCodec because RoadRunner's client sets Gob in every frame.
func ArgumentCodec(flags byte) (Codec, error) {
	const all = byte(Proto | JSON | Gob | Raw | Msgpack)
	if flags&all == 0 {
		return 0, ErrNoCodec
	}
	if flags&byte(Proto|JSON) == 0 && flags&byte(Gob) != 0 {
		return Gob, nil
	}
	return strongest(flags, [...]Codec{Proto, JSON, Raw, Msgpack}), nil
}

func strongest(flags byte, order [4]Codec) Codec {
	for _, c := range order {
		if flags&byte(c) != 0 {
			return c
		}
	}
	return Gob
}

// Accepts tells whether a method with this argument and result (pointers) can
// be called in the codecs that flags ask for. The server asks before it runs
// the method, so that a call whose answer cannot be encoded has no effects.
func Accepts(flags byte, arg, reply any) error {
	in, err := ArgumentCodec(flags)
	if err != nil {
		return err
	}
	out := AnswerCodec(flags)
	if in == Proto && !isProto(arg) || out == Proto && !isProto(reply) {
		return ErrNotProto
	}
	if _, ok := reply.(*[]byte); out == Raw && !ok {
		return ErrNotRaw
	}
	return nil
}

func isProto(v any) bool {
	_, ok := v.(proto.Message)
	return ok
}

// gobTypes guards encoding/gob, which keeps the types that it has met in a slice of
// the process and reads that without a lock when bytes name a type that does not fit
// (idToType in its type.go, Go 1.26). Only command lines speak gob.
var gobTypes sync.Mutex

// Append appends the encoding of v, which is a pointer, to dst.
func Append(dst []byte, c Codec, v any) ([]byte, error) {
	switch c {
	case Proto:
		m, ok := v.(proto.Message)
		if !ok {
			return dst, ErrNotProto
		}
		return proto.MarshalOptions{}.MarshalAppend(dst, m)
	case JSON:
		b, err := json.Marshal(v)
		return append(dst, b...), err
	case Gob:
		gobTypes.Lock()
		defer gobTypes.Unlock()
		w := sliceWriter{dst}
		err := gob.NewEncoder(&w).Encode(v)
		return w.b, err
	case Raw:
		switch v := v.(type) {
		case *[]byte:
			return append(dst, *v...), nil
		case []byte:
			return append(dst, v...), nil
		}
		return dst, ErrNotRaw
	case Msgpack:
		w := sliceWriter{dst}
		err := msgpack.NewEncoder(&w).Encode(v)
		return w.b, err
	}
	return dst, ErrNoCodec
}

type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Decode reads data into v, a pointer. Empty data leaves v as it is. Nothing of
// v refers to data afterwards. The input is not trusted: whatever it holds ends
// in an error, not in a panic.
func Decode(c Codec, data []byte, v any) (err error) {
	if c == Proto && !isProto(v) {
		return ErrNotProto
	}
	if len(data) == 0 {
		return nil
	}
	// encoding/gob is documented as not hardened against hostile input, and
	// msgpack makes no promise either.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot decode the %s argument: %v", c, p)
		}
	}()
	switch c {
	case Proto:
		return proto.Unmarshal(data, v.(proto.Message))
	case JSON:
		return json.Unmarshal(data, v)
	case Gob:
		gobTypes.Lock()
		defer gobTypes.Unlock()
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(v); err != nil {
			return fmt.Errorf("goridge_read_request_body: %w", err)
		}
		return nil
	case Raw:
		if b, ok := v.(*[]byte); ok {
			*b = bytes.Clone(data)
		}
		return nil
	case Msgpack:
		if err := checkMsgpack(data); err != nil {
			return err
		}
		if s := reflect.ValueOf(v).Elem(); s.Kind() == reflect.Slice && s.Type().Elem().Kind() == reflect.Uint8 && data[0] == msgpackNil {
			s.SetZero()
			return nil
		}
		return msgpack.Unmarshal(data, v)
	}
	return ErrNoCodec
}
