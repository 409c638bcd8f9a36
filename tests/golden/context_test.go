package golden_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The context of an HTTP request and of its answer, in the two codecs:
// protobuf http.v1.Request and http.v1.Response, or JSON.

// decodeRequest decodes a request context to the names of http.v1.Request.
func decodeRequest(flags byte, raw []byte) (map[string]any, error) {
	switch flags {
	case flagProto:
		return decodeProtoRequest(raw)
	case flagJSON:
		return decodeJSONRequest(raw)
	}
	return nil, fmt.Errorf("flags 0x%02x are neither JSON (0x08) nor protobuf (0x80)", flags)
}

func decodeProtoRequest(raw []byte) (map[string]any, error) {
	out := map[string]any{
		"remote_addr": "", "protocol": "", "method": "", "uri": "", "raw_query": "",
		"header": map[string]any{}, "cookies": map[string]any{}, "attributes": map[string]any{},
		"parsed": false, "uploads": nil,
	}
	names := map[protowire.Number]string{1: "remote_addr", 2: "protocol", 3: "method", 4: "uri", 7: "raw_query"}
	bags := map[protowire.Number]string{5: "header", 6: "cookies", 10: "attributes"}
	return out, eachField(raw, func(n protowire.Number, v any) error {
		b, _ := v.([]byte)
		switch {
		case names[n] != "":
			if !utf8.Valid(b) {
				return fmt.Errorf("field %s is not UTF-8: %q", names[n], b)
			}
			out[names[n]] = string(b)
		case bags[n] != "":
			name, values, err := decodeBagEntry(b)
			if err != nil {
				return fmt.Errorf("field %s: %w", bags[n], err)
			}
			out[bags[n]].(map[string]any)[name] = values
		case n == 8:
			out["parsed"] = v == uint64(1)
		case n == 9:
			var tree any
			if err := decodeJSON(b, &tree); err != nil {
				return fmt.Errorf("uploads %q: %w", b, err)
			}
			out["uploads"] = tree
		default:
			return fmt.Errorf("unknown field %d", n)
		}
		return nil
	})
}

// decodeBagEntry decodes one entry of a map<string, HeaderValue>.
func decodeBagEntry(raw []byte) (name string, values []any, err error) {
	values = []any{}
	err = eachField(raw, func(n protowire.Number, v any) error {
		b, ok := v.([]byte)
		switch {
		case ok && n == 1:
			name = string(b)
			return nil
		case ok && n == 2:
			return eachField(b, func(n protowire.Number, v any) error {
				value, ok := v.([]byte)
				if !ok || n != 1 {
					return fmt.Errorf("unknown field %d in HeaderValue", n)
				}
				values = append(values, string(value))
				return nil
			})
		}
		return fmt.Errorf("unknown field %d in a map entry", n)
	})
	return name, values, err
}

// eachField calls f with every field; the value is a uint64 or a []byte.
func eachField(raw []byte, f func(protowire.Number, any) error) error {
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return protowire.ParseError(size)
		}
		raw = raw[size:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, size = wrap(protowire.ConsumeVarint(raw))
		case protowire.BytesType:
			v, size = wrap(protowire.ConsumeBytes(raw))
		case protowire.Fixed32Type:
			var x uint32
			x, size = protowire.ConsumeFixed32(raw)
			v = uint64(x)
		case protowire.Fixed64Type:
			v, size = wrap(protowire.ConsumeFixed64(raw))
		default:
			return fmt.Errorf("unknown wire type %d", kind)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		raw = raw[size:]
		if err := f(n, v); err != nil {
			return err
		}
	}
	return nil
}

func wrap[T any](v T, n int) (any, int) { return v, n }

// decodeJSONRequest maps the JSON keys to the names of http.v1.Request.
func decodeJSONRequest(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the JSON context is not UTF-8")
	}
	var in map[string]any
	if err := decodeJSON(raw, &in); err != nil {
		return nil, fmt.Errorf("context %q: %w", raw, err)
	}
	names := map[string]string{
		"remoteAddr": "remote_addr", "protocol": "protocol", "method": "method", "uri": "uri", "rawQuery": "raw_query",
		"headers": "header", "cookies": "cookies", "attributes": "attributes", "parsed": "parsed", "uploads": "uploads",
	}
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		v, ok := in[key]
		if !ok {
			return nil, fmt.Errorf("context has no key %q", key)
		}
		delete(in, key)
		switch key {
		case "headers", "cookies", "attributes":
			bag := map[string]any{}
			entries, ok := v.(map[string]any)
			if !ok && (v != nil || key != "attributes") {
				return nil, fmt.Errorf("%s is %s, not an object", key, show(v))
			}
			for name, value := range entries {
				if s, ok := value.(string); ok && key != "headers" {
					value = []any{s}
				}
				bag[name] = value
			}
			v = bag
		}
		out[names[key]] = v
	}
	for key := range in {
		return nil, fmt.Errorf("context has an unknown key %q", key)
	}
	return out, nil
}

// encodeAnswer encodes an answer anew. codec is the codec of the request;
// an answer marked with other flags than protobuf's keeps them.
func encodeAnswer(a *about, codec byte) ([]byte, error) {
	flags := a.Flags
	if codec == flagJSON && flags == flagProto {
		flags = flagJSON
	}
	var context []byte
	if a.Context != nil {
		headers := map[string][]string{}
		for name, values := range a.Context.Headers {
			headers[name] = []string{}
			for _, v := range values {
				s, ok := text(v)
				if !ok {
					return nil, fmt.Errorf("header %q: unknown value %s", name, show(v))
				}
				if codec == flagJSON && !utf8.ValidString(s) {
					return nil, fmt.Errorf("header %q: %q cannot be written in JSON", name, s)
				}
				headers[name] = append(headers[name], s)
			}
		}
		if codec == flagJSON {
			var err error
			if context, err = json.Marshal(map[string]any{"status": a.Context.Status, "headers": headers}); err != nil {
				return nil, err
			}
		} else {
			context = encodeProtoResponse(a.Context.Status, headers)
		}
	}
	return appendFrame(nil, flags, a.Stream, []uint32{uint32(len(context))}, append(context, a.body()...)), nil
}

func encodeProtoResponse(status int64, headers map[string][]string) []byte {
	var out []byte
	if status != 0 {
		out = protowire.AppendVarint(protowire.AppendTag(out, 1, protowire.VarintType), uint64(status))
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		var list []byte
		for _, v := range headers[name] {
			list = protowire.AppendString(protowire.AppendTag(list, 1, protowire.BytesType), v)
		}
		entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), list)
		out = protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), entry)
	}
	return out
}
