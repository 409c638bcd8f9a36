package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"strconv"
)

// jsonReader reads JSON token by token, because encoding/json gives no line
// numbers and drops all but the last of equal keys. YAML's parser is no
// substitute: it refuses tabs and surrogate pairs.
type jsonReader struct {
	*builder
	dec   *json.Decoder
	lines []int // offset of each line end
}

func (b *builder) parseJSON(data []byte) *node {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	r := &jsonReader{builder: b, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	for i, c := range data {
		if c == '\n' {
			r.lines = append(r.lines, i)
		}
	}
	token, err := r.dec.Token()
	if errors.Is(err, io.EOF) {
		return newTable(b.at(1))
	}
	if err != nil {
		r.syntax(err)
		return nil
	}
	root := r.value(token, r.line(), 0)
	if root == nil {
		return nil
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		b.fail(r.line(), "", "more text after the end of the JSON value", "remove it")
		return nil
	}
	if root.kind != table {
		b.fail(root.pos.Line, "", "the file is "+root.describe()+", not an object", `start with {"version": "3"`)
		return nil
	}
	return root
}

func (r *jsonReader) line() int {
	offset := int(r.dec.InputOffset())
	return sort.SearchInts(r.lines, offset) + 1
}

func (r *jsonReader) syntax(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	r.fail(r.line(), "", err.Error(), "check commas, braces and quotes there")
}

// value reads what begins with token; nil after a failure.
func (r *jsonReader) value(token json.Token, line, depth int) *node {
	if !r.room(line, depth) {
		return nil
	}
	switch v := token.(type) {
	case nil:
		return &node{kind: null, pos: r.at(line)}
	case json.Delim:
		if v == '{' {
			return r.object(line, depth)
		}
		return r.array(line, depth)
	case json.Number:
		return r.number(v, line)
	case bool:
		return &node{kind: scalar, value: v, source: strconv.FormatBool(v), pos: r.at(line)}
	case string:
		return newString(v, r.at(line))
	}
	return nil
}

func (r *jsonReader) number(text json.Number, line int) *node {
	n := &node{kind: scalar, source: text.String(), pos: r.at(line)}
	if i, err := strconv.ParseInt(n.source, 10, 64); err == nil {
		n.value = i
	} else if u, err := strconv.ParseUint(n.source, 10, 64); err == nil {
		n.value = u
	} else {
		n.value, _ = strconv.ParseFloat(n.source, 64) // too large is infinite
	}
	return n
}

func (r *jsonReader) array(line, depth int) *node {
	out := &node{kind: list, pos: r.at(line)}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			r.syntax(err)
			return nil
		}
		item := r.value(token, r.line(), depth+1)
		if item == nil {
			return nil
		}
		out.items = append(out.items, item)
	}
	return r.end(out)
}

func (r *jsonReader) object(line, depth int) *node {
	out := newTable(r.at(line))
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			r.syntax(err)
			return nil
		}
		key, _ := token.(string) // the decoder accepts nothing else here
		at := r.line()
		if token, err = r.dec.Token(); err != nil {
			r.syntax(err)
			return nil
		}
		child := r.value(token, at, depth+1)
		if child == nil {
			return nil
		}
		r.put(out, key, at, child)
	}
	return r.end(out)
}

func (r *jsonReader) end(out *node) *node {
	if _, err := r.dec.Token(); err != nil {
		r.syntax(err)
		return nil
	}
	return out
}
