package config

import (
	"fmt"
	"os"
	"strings"
)

// Expand replaces ${NAME}, $NAME and ${NAME:-default} (the default also stands
// in for an empty variable). A variable that is not set gives an empty string.
//
// RoadRunner's rules, kept as they are: there is no escape; `$` before a digit
// or one of *#$@!?- disappears with it, a `$` before any other character stays;
// and if the text has `:-` anywhere, every reference in it must have exactly
// one default, or the whole text becomes empty. ok is false in that last case.
func Expand(s string, lookup func(string) string) (result string, ok bool) {
	if !strings.Contains(s, ":-") {
		return os.Expand(s, lookup), true
	}
	ok = true
	result = os.Expand(s, func(name string) string {
		parts := strings.Split(name, ":-")
		if len(parts) != 2 {
			ok = false
			return ""
		}
		if value := lookup(parts[0]); value != "" {
			return value
		}
		return parts[1]
	})
	if !ok {
		return "", false
	}
	return result, true
}

// expander applies Expand to a tree.
type expander struct {
	env  environ
	warn func(Warning)
}

// table expands text values and the text items of lists. Like RoadRunner it
// does not look into lists of sections, except for `env: [{NAME: value}]`,
// which RoadRunner expands later, when it starts a process.
func (e *expander) table(n *node, path string) {
	for _, name := range n.order {
		child, key := n.fields[name], join(path, name)
		switch child.kind {
		case scalar:
			e.scalar(child, key)
		case table:
			e.table(child, key)
		case list:
			e.list(child, key, name == "env")
		}
	}
}

func (e *expander) list(n *node, path string, isEnv bool) {
	for i, item := range n.items {
		key := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case item.kind == scalar:
			e.scalar(item, key)
		case item.kind == table && isEnv:
			e.table(item, key)
		case refersToEnv(item):
			e.warn(Warning{Position: item.pos, Key: key, Problem: "references to environment variables are not expanded here",
				Fix: "only plain values and lists of plain values are"})
		}
	}
}

func (e *expander) scalar(n *node, path string) {
	s, isText := n.value.(string)
	if !isText || !strings.Contains(s, "$") {
		return
	}
	var unset, eaten []string
	result, ok := Expand(s, func(name string) string {
		value, set := e.env[name]
		switch {
		case set || strings.Contains(s, ":-"):
		case len(name) == 1 && strings.Contains("*#$@!?-0123456789", name):
			eaten = append(eaten, "$"+name)
		default:
			unset = append(unset, name)
		}
		return value
	})
	n.value = result
	switch {
	case !ok:
		e.warn(Warning{Position: n.pos, Key: path,
			Problem: show(path, s) + " becomes empty: with `:-` in a value every reference needs one default",
			Fix:     "write ${NAME:-} for the references without"})
	case len(eaten) > 0:
		e.warn(Warning{Position: n.pos, Key: path,
			Problem: show(path, s) + " loses " + strings.Join(eaten, ", ") + ", which stands for a variable of the shell",
			Fix:     "there is no escape; put the text into an environment variable and refer to that"})
	case len(unset) > 0:
		e.warn(Warning{Position: n.pos, Key: path,
			Problem: show(path, s) + " refers to " + strings.Join(unset, ", ") + ", which is not set",
			Fix:     "set it or write ${NAME:-default}"})
	}
}

// refersToEnv finds `${` in any text below n.
func refersToEnv(n *node) bool {
	if s, ok := n.value.(string); ok && strings.Contains(s, "${") {
		return true
	}
	for _, item := range n.items {
		if refersToEnv(item) {
			return true
		}
	}
	for _, child := range n.fields {
		if refersToEnv(child) {
			return true
		}
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
