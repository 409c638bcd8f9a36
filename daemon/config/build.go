package config

import (
	"fmt"
	"strings"
)

// Limits of one file. They are far above what a configuration needs and keep a
// file whose YAML aliases multiply from eating the machine.
const (
	maxFileSize = 4 << 20
	maxNodes    = 100_000
	maxDepth    = 64
)

// builder turns a parsed file into nodes: keys in lower case, dots as levels.
type builder struct {
	file  string
	nodes int
	full  bool // a limit was hit and reported
	errs  Errors
}

// room counts one more node; false once the file is too large or too deep.
func (b *builder) room(line, depth int) bool {
	if b.full {
		return false
	}
	b.nodes++
	switch {
	case b.nodes > maxNodes:
		b.full = true
		b.fail(line, "", fmt.Sprintf("more than %d values", maxNodes), "check for YAML aliases that multiply each other")
	case depth > maxDepth:
		b.full = true
		b.fail(line, "", fmt.Sprintf("nested deeper than %d levels", maxDepth), "check for a YAML alias inside its own anchor")
	}
	return !b.full
}

func (b *builder) fail(line int, key, problem, fix string) {
	b.errs = append(b.errs, &Error{Position: b.at(line), Key: key, Problem: problem, Fix: fix})
}

func (b *builder) at(line int) Position { return Position{File: b.file, Line: line} }

// put adds child under a key that may have dots in it.
func (b *builder) put(parent *node, key string, line int, child *node) {
	name, rest, dotted := strings.Cut(strings.ToLower(key), ".")
	if name == "" || dotted && rest == "" {
		b.fail(line, "", fmt.Sprintf("key %q has an empty part", key), "a dot separates levels, as in http.address")
		return
	}
	if dotted {
		if strings.Count(rest, ".") >= maxDepth {
			b.fail(line, "", fmt.Sprintf("nested deeper than %d levels", maxDepth), "a dot separates levels, as in http.address")
			return
		}
		level := newTable(b.at(line))
		b.put(level, rest, line, child)
		child = level
	}
	b.merge(parent, name, child)
}

// merge lets `pool.debug` and `pool: {num_workers: 4}` stand side by side.
func (b *builder) merge(parent *node, name string, child *node) {
	old, known := parent.fields[name]
	switch {
	case !known || old.kind == null:
		parent.set(name, child)
	case child.kind == null:
	case old.kind == table && child.kind == table:
		for _, sub := range child.order {
			b.merge(old, sub, child.fields[sub])
		}
	default:
		b.fail(child.pos.Line, name, "key is given twice", fmt.Sprintf("the first is in line %d; keep one", old.pos.Line))
	}
}
