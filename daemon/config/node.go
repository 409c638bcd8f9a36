package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

type kind uint8

const (
	null kind = iota
	scalar
	list
	table
)

// node is one value of a configuration with the place it was written at.
type node struct {
	kind   kind
	value  any    // scalar: bool, int64, uint64, float64 or string
	source string // scalar: text in the file, before expansion
	items  []*node
	fields map[string]*node // keys in lower case
	order  []string         // keys of fields as they came
	pos    Position
}

func newTable(pos Position) *node {
	return &node{kind: table, fields: map[string]*node{}, pos: pos}
}

func newString(s string, pos Position) *node {
	return &node{kind: scalar, value: s, source: s, pos: pos}
}

// set puts a child, replacing one of the same name.
func (n *node) set(name string, child *node) {
	if _, known := n.fields[name]; !known {
		n.order = append(n.order, name)
	}
	n.fields[name] = child
}

// find walks down a dotted path; nil if there is nothing, or null.
func (n *node) find(path string) *node {
	for path != "" && n != nil {
		name, rest, _ := strings.Cut(path, ".")
		n, path = n.fields[name], rest
	}
	if n == nil || n.kind == null {
		return nil
	}
	return n
}

// plain is the value as Go's JSON encoder takes it. Null members of tables are
// absent, as everywhere.
func (n *node) plain() any {
	switch n.kind {
	case scalar:
		if f, ok := n.value.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
			return n.text()
		}
		return n.value
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = item.plain()
		}
		return items
	case table:
		fields := make(map[string]any, len(n.fields))
		for name, child := range n.fields {
			if child.kind != null {
				fields[name] = child.plain()
			}
		}
		return fields
	}
	return nil
}

// text is a scalar in the form RoadRunner gives it where text is wanted: true
// is "1", false is "0", 1.10 is "1.1".
func (n *node) text() string {
	switch v := n.value.(type) {
	case string:
		return v
	case bool:
		if v {
			return "1"
		}
		return "0"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(n.value)
}

// asTable gives a table for a table, for an empty list and for a list of
// tables (`env: [{A: 1}, {B: 2}]`, where a later one wins). Else nil.
func (n *node) asTable() *node {
	switch n.kind {
	case table:
		return n
	case list:
		merged := newTable(n.pos)
		for _, item := range n.items {
			if item.kind != table {
				return nil
			}
			for _, name := range item.order {
				merged.set(name, item.fields[name])
			}
		}
		return merged
	}
	return nil
}

// describe names the kind of a value for an error text.
func (n *node) describe() string {
	switch n.kind {
	case list:
		return "a list"
	case table:
		return "a section"
	case null:
		return "empty"
	}
	return quote(n)
}

// quote shows a scalar, and what it was written as if a reference was expanded.
func quote(n *node) string {
	shown := n.source
	if s, ok := n.value.(string); ok {
		shown = s
	}
	text := strconv.Quote(shorten(shown))
	if shown != n.source {
		text += " (from " + strconv.Quote(shorten(n.source)) + ")"
	}
	return text
}

// show quotes a text for a message, unless it is a secret by the name of its key.
func show(path, text string) string {
	if isSecret(path) {
		return redacted
	}
	return strconv.Quote(shorten(text))
}

func shorten(s string) string {
	const most = 60
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most]) + "..."
}
