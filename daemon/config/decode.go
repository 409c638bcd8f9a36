package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decode fills the struct that out points to from the section at path (dotted;
// "" is the whole file). Fields are named by their tag:
//
//	`cfg:"num_workers"`       the key
//	`cfg:"memory_max,size"`   an integer of bytes, also written 512M or 1GiB
//	`cfg:"relay_timeout,ignored"` accepted with a warning, has no effect
//	`cfg:",squash"`           the fields of an embedded struct are this level's
//	`cfg:",remain"`           a map for all keys without a field
//
// A field without a tag is left alone. A section or key that is absent or null
// leaves its field as it is, so defaults may be filled in before; a pointer to
// a struct is allocated when its section is there.
//
// Types are as weak as RoadRunner's: "8" is 8, 1 and "true" are true, "" is 0
// and false, a single value is a list of one, a text for a list is split at
// commas, a list of one-key sections is a map, a duration without unit is in
// nanoseconds. [encoding.TextUnmarshaler] is honoured.
//
// All mistakes of the section come back together, as [Errors]. An unknown key
// is one of them, or a warning if the tree was loaded Lenient.
func (t *Tree) Decode(path string, out any) error {
	target := reflect.ValueOf(out)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: Decode needs a pointer to a struct, not %T", out))
	}
	n := t.find(path)
	if n == nil {
		return nil
	}
	d := &decoder{tree: t}
	d.value(n, strings.ToLower(path), target.Elem(), "")
	return d.errs.orNil()
}

type decoder struct {
	tree *Tree
	errs Errors
}

func (d *decoder) fail(n *node, path, problem, fix string) {
	e := &Error{Position: n.pos, Key: path, Problem: problem, Fix: fix}
	if n.kind == scalar {
		if e.Value = n.text(); isSecret(path) {
			e.Value = redacted
		}
	}
	d.errs = append(d.errs, e)
}

// wrong is a value of the wrong type.
func (d *decoder) wrong(n *node, path, wanted, fix string) {
	found := n.describe()
	if n.kind == scalar && isSecret(path) {
		found = redacted
	}
	d.fail(n, path, found+" is not "+wanted, fix)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value sets v from n; option is the flag behind the key in the tag.
func (d *decoder) value(n *node, path string, v reflect.Value, option string) {
	if n.kind == null {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, path, v.Elem(), option)
		return
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, path, v)
		return
	case v.CanAddr() && v.Addr().Type().Implements(textType):
		d.text(n, path, v.Addr().Interface().(encoding.TextUnmarshaler))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v, option)
	case reflect.Slice:
		d.slice(n, path, v, option)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.plain()))
	case reflect.String:
		d.str(n, path, v)
	case reflect.Bool:
		d.boolean(n, path, v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, path, v, option == "size")
	case reflect.Float32, reflect.Float64:
		d.float(n, path, v)
	default:
		panic(fmt.Sprintf("config: field for %s has type %s, which no value can have", path, v.Type()))
	}
}

func (d *decoder) fields(n *node, path string, v reflect.Value) {
	if n.kind == list && len(n.items) == 0 {
		return
	}
	if n.kind != table {
		d.wrong(n, path, "a section", "write its keys below it, or {} for the defaults")
		return
	}
	s := fieldsOf(v)
	for _, name := range n.order {
		child, key := n.fields[name], join(path, name)
		field, known := s.byName[name]
		switch {
		case known && field.option == "ignored":
			d.ignored(child, key)
		case known:
			d.value(child, key, field.value, field.option)
		case s.remain.IsValid():
			d.remain(child, name, key, s.remain)
		default:
			d.unknown(child, path, name, v.Type(), s)
		}
	}
}

// ignored keys are still in many files; only one that asks for something is
// worth a warning.
func (d *decoder) ignored(n *node, path string) {
	if n.kind == null || n.value == false {
		return
	}
	d.tree.warn(Warning{Position: n.pos, Key: path, Problem: "has no effect", Fix: "remove it"})
}

func (d *decoder) remain(n *node, name, path string, v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	elem := reflect.New(v.Type().Elem()).Elem()
	d.value(n, path, elem, "")
	v.SetMapIndex(reflect.ValueOf(name), elem)
}

func (d *decoder) unknown(n *node, path, name string, typ reflect.Type, s fieldSet) {
	fix := ""
	if where := findBelow(typ, name); where != "" {
		fix = fmt.Sprintf("did you mean %q?", join(path, where))
	} else {
		fix = didYouMean(name, slices.Collect(maps.Keys(s.byName)))
	}
	e := Error{Position: n.pos, Key: path, Value: name, Problem: fmt.Sprintf("unknown key %q", name), Fix: fix}
	if d.tree.lenient {
		d.tree.warn(Warning(e))
		return
	}
	d.errs = append(d.errs, &e)
}

func (d *decoder) mapping(n *node, path string, v reflect.Value, option string) {
	fields := n.asTable()
	if fields == nil {
		d.wrong(n, path, "a section", "write NAME: VALUE lines below it")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(fields.order))
	for _, name := range fields.order {
		child := fields.fields[name]
		elem := reflect.New(v.Type().Elem()).Elem()
		if child.kind == null && elem.Kind() == reflect.Pointer {
			continue
		}
		d.value(child, join(path, name), elem, option)
		out.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), elem)
	}
	v.Set(out)
}

func (d *decoder) slice(n *node, path string, v reflect.Value, option string) {
	items := n.items
	switch n.kind {
	case scalar:
		items = d.split(n, path)
	case table:
		items = []*node{n}
		if len(n.order) == 0 {
			items = nil
		}
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		key := path
		if n.kind == list {
			key = fmt.Sprintf("%s[%d]", path, i)
		}
		d.value(item, key, out.Index(i), option)
	}
	v.Set(out)
}

// split applies RoadRunner's rule that a text for a list is cut at every comma.
func (d *decoder) split(n *node, path string) []*node {
	s, isText := n.value.(string)
	if !isText {
		return []*node{n}
	}
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	spaced := slices.ContainsFunc(parts, func(p string) bool { return p != strings.TrimSpace(p) })
	if len(parts) > 1 && (spaced || strings.HasSuffix(path, "command")) {
		d.tree.warn(Warning{Position: n.pos, Key: path,
			Problem: fmt.Sprintf("%s is cut at the comma into a list of %d; blanks are kept", show(path, s), len(parts)),
			Fix:     "write a YAML list to say what is meant"})
	}
	items := make([]*node, len(parts))
	for i, part := range parts {
		items[i] = newString(part, n.pos)
	}
	return items
}
