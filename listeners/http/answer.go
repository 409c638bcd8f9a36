package http

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/goridge"
)

// answer is the decoded context of a worker's message. Decoding writes names
// and values one after the other into one buffer and turns that into a single
// string, of which all of them are parts.
type answer struct {
	status int64
	fields []field
	text   string

	raw   []byte
	spans []span
}

type field struct{ name, value string }

// span is where a field lies in raw. Several fields may share one name.
type span struct{ name, nameEnd, value, end int }

var errCodec = errors.New("the worker answered in an unknown codec")

// decode reads the context of msg in the codec that its flags name. RoadRunner
// compares the whole flags byte; packages older than 3.5 leave it 0 and mean
// JSON. An empty context has no codec.
func (a *answer) decode(msg *ipc.Message) error {
	a.status, a.fields, a.raw, a.spans = 0, a.fields[:0], a.raw[:0], a.spans[:0]
	var err error
	switch ctx := msg.Context; {
	case len(ctx) == 0 && (msg.Flags == 0 || msg.Flags == goridge.CodecRaw):
		return nil
	case msg.Flags == goridge.CodecProto:
		err = a.decodeProto(ctx)
	case msg.Flags == goridge.CodecJSON && len(ctx) == 0:
		return nil
	case msg.Flags == goridge.CodecJSON, msg.Flags == 0 && ctx[0] == '{':
		err = a.decodeJSON(ctx)
	default:
		return fmt.Errorf("%w: flags 0x%02x", errCodec, msg.Flags)
	}
	if err != nil {
		return err
	}
	a.text = string(a.raw)
	for _, s := range a.spans {
		a.fields = append(a.fields, field{a.text[s.name:s.nameEnd], a.text[s.value:s.end]})
	}
	return nil
}

// addTo adds the fields to h, in order and without replacing, and appends their
// canonical names to names. What is no header field's name is left out.
func (a *answer) addTo(h http.Header, names []string) []string {
	values := make([]string, len(a.fields))
	for i, f := range a.fields {
		if !isToken(f.name) {
			continue
		}
		key := http.CanonicalHeaderKey(f.name)
		if old, ok := h[key]; ok {
			h[key] = append(old, f.value)
			continue
		}
		values[i] = f.value
		h[key] = values[i : i+1 : i+1]
		names = append(names, key)
	}
	return names
}
