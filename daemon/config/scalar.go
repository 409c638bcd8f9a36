package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// str takes any scalar in RoadRunner's form of text.
func (d *decoder) str(n *node, path string, v reflect.Value) {
	if n.kind != scalar {
		fix := "write one value"
		if n.kind == table {
			fix = "write one value; a dot in a key separates levels, so names cannot have dots"
		}
		d.wrong(n, path, "a text", fix)
		return
	}
	_, isText := n.value.(string)
	_, isBool := n.value.(bool)
	if text := n.text(); !isText && text != n.source {
		if !isBool || strings.Contains(path, "env.") {
			d.tree.warn(Warning{Position: n.pos, Key: path,
				Problem: fmt.Sprintf("the number or truth value %s becomes the text %s", show(path, n.source), show(path, text)),
				Fix:     "put it in quotes to keep it as it is"})
		}
	}
	v.SetString(n.text())
}

func (d *decoder) text(n *node, path string, v encoding.TextUnmarshaler) {
	if n.kind != scalar {
		d.wrong(n, path, "one value", "write one value")
		return
	}
	if err := v.UnmarshalText([]byte(n.text())); err != nil {
		d.fail(n, path, err.Error(), "")
	}
}

func (d *decoder) boolean(n *node, path string, v reflect.Value) {
	switch value := n.value.(type) {
	case bool:
		v.SetBool(value)
		return
	case int64:
		v.SetBool(value != 0)
		return
	case string:
		if value == "" {
			v.SetBool(false)
			return
		}
		if b, err := strconv.ParseBool(value); err == nil {
			v.SetBool(b)
			return
		}
	}
	d.wrong(n, path, "true or false", "write true or false")
}

func (d *decoder) integer(n *node, path string, v reflect.Value, size bool) {
	number, ok := whole(n, size)
	if !ok {
		fix := "write a number, for example " + last(path) + ": 4"
		if size {
			fix = "write a number of bytes, or 512K, 64M, 2G"
		}
		d.wrong(n, path, "a whole number", fix)
		return
	}
	if v.CanInt() {
		if number.large || v.OverflowInt(number.int) {
			d.wrong(n, path, "in the range of the key", fmt.Sprintf("write at most %d", maxInt(v)))
			return
		}
		v.SetInt(number.int)
		return
	}
	switch {
	case !number.large && number.int < 0:
		d.wrong(n, path, "allowed", "write 0 or more")
	case v.OverflowUint(number.uint()):
		d.wrong(n, path, "in the range of the key", fmt.Sprintf("write at most %d", uint64(1)<<v.Type().Bits()-1))
	default:
		v.SetUint(number.uint())
	}
}

func maxInt(v reflect.Value) int64 { return int64(1)<<(v.Type().Bits()-1) - 1 }

// wholeNumber holds int64 and uint64; large says that only the latter fits.
type wholeNumber struct {
	int   int64
	more  uint64
	large bool
}

func (w wholeNumber) uint() uint64 {
	if w.large {
		return w.more
	}
	return uint64(w.int)
}

// whole reads integers, floats without fraction and texts of them ("" is 0).
func whole(n *node, size bool) (wholeNumber, bool) {
	switch value := n.value.(type) {
	case int64:
		return wholeNumber{int: value}, true
	case uint64:
		return wholeNumber{more: value, large: true}, true
	case float64:
		if value != math.Trunc(value) || math.Abs(value) >= 1<<63 {
			return wholeNumber{}, false
		}
		return wholeNumber{int: int64(value)}, true
	case string:
		if value == "" {
			return wholeNumber{}, true
		}
		if size {
			bytes, err := ParseSize(value)
			return wholeNumber{int: bytes}, err == nil
		}
		if i, err := strconv.ParseInt(value, 0, 64); err == nil {
			return wholeNumber{int: i}, true
		}
		u, err := strconv.ParseUint(value, 0, 64)
		return wholeNumber{more: u, large: true}, err == nil
	}
	return wholeNumber{}, false
}

func (d *decoder) float(n *node, path string, v reflect.Value) {
	switch value := n.value.(type) {
	case float64:
		v.SetFloat(value)
		return
	case int64:
		v.SetFloat(float64(value))
		return
	case uint64:
		v.SetFloat(float64(value))
		return
	case string:
		if value == "" {
			v.SetFloat(0)
			return
		}
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			v.SetFloat(f)
			return
		}
	}
	d.wrong(n, path, "a number", "write a number, for example "+last(path)+": 0.5")
}

// duration takes 30s, 1h30m, 500ms. A number without unit is nanoseconds, as
// in RoadRunner, which hardly anybody means.
func (d *decoder) duration(n *node, path string, v reflect.Value) {
	const fix = "write a number with a unit: 500ms, 30s, 5m, 1h30m"
	if s, isText := n.value.(string); isText {
		if value, err := time.ParseDuration(s); err == nil {
			v.SetInt(int64(value))
			return
		}
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			d.wrong(n, path, "a duration", fmt.Sprintf("the unit is missing; write %ss for seconds", s))
			return
		}
		d.wrong(n, path, "a duration", fix)
		return
	}
	number, ok := whole(n, false)
	if !ok || number.large {
		d.wrong(n, path, "a duration", fix)
		return
	}
	value := time.Duration(number.int)
	if value != 0 && value.Abs() < time.Millisecond {
		d.tree.warn(Warning{Position: n.pos, Key: path, Value: n.source,
			Problem: fmt.Sprintf("%s without a unit means %s", n.source, value), Fix: fmt.Sprintf("write %ss if seconds are meant", n.source)})
	}
	v.SetInt(int64(value))
}

// last is the last name of a path.
func last(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}
