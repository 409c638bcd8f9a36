package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Diff lists the paths of all values that differ between two trees, sorted. A
// list counts as one value; 8 and "8" are the same.
func Diff(before, after *Tree) []string {
	a, b := map[string]string{}, map[string]string{}
	flatten(before.root, "", a)
	flatten(after.root, "", b)
	changed := map[string]bool{}
	for path, value := range a {
		if other, ok := b[path]; !ok || other != value {
			changed[path] = true
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			changed[path] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}

// flatten maps the path of every value to a comparable text. A section is in
// the result only if it is empty, so that its coming and going shows.
func flatten(n *node, path string, out map[string]string) {
	switch n.kind {
	case null:
	case scalar:
		out[path] = diffText(n)
	case list:
		text, _ := json.Marshal(comparable(n)) // plain values always marshal
		out[path] = string(text)
	case table:
		if len(n.order) == 0 {
			out[path] = "{}"
		}
		for _, name := range n.order {
			flatten(n.fields[name], join(path, name), out)
		}
	}
}

// diffText makes true and "true" (from an override) the same.
func diffText(n *node) string {
	if b, ok := n.value.(bool); ok {
		return strconv.FormatBool(b)
	}
	return n.text()
}

// comparable is plain with every scalar as text.
func comparable(n *node) any {
	switch n.kind {
	case scalar:
		return diffText(n)
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = comparable(item)
		}
		return items
	case table:
		fields := make(map[string]any, len(n.fields))
		for name, child := range n.fields {
			fields[name] = comparable(child)
		}
		return fields
	}
	return nil
}
