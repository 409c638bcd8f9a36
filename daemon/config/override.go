package config

import (
	"strings"
)

const overrideFlag = "-o "

func isOverride(file string) bool { return strings.HasPrefix(file, overrideFlag) }

// override is one `-o key=value`.
type override struct {
	key, value string
	pos        Position
}

// parseOverride splits `key=value`. Leading blanks and quotes of the whole and
// blanks around key and value are dropped; the value may be quoted with ", ' or
// a backtick.
func parseOverride(text string) (override, *Error) {
	o := override{pos: Position{File: overrideFlag + text}}
	fail := func(problem string) (override, *Error) {
		return o, &Error{Position: o.pos, Problem: problem, Fix: "write for example -o http.address=:8080"}
	}
	key, value, ok := strings.Cut(strings.TrimLeft(text, " \"'`"), "=")
	if !ok {
		return fail("invalid flag `" + text + "`")
	}
	o.key = strings.ToLower(strings.Trim(key, " \n\t"))
	o.value = unquote(strings.Trim(value, " \n\t"))
	if isSecret(o.key) {
		o.pos.File = overrideFlag + o.key + "=" + redacted
	}
	switch {
	case o.key == "":
		return fail("key should not be empty")
	case strings.Trim(value, " \n\t") == "":
		return fail("value should not be empty")
	case strings.HasPrefix(o.key, "."), strings.HasSuffix(o.key, "."), strings.Contains(o.key, ".."):
		return fail("key `" + o.key + "` has an empty part")
	case strings.Count(o.key, ".") >= maxDepth:
		return fail("key has too many levels")
	}
	return o, nil
}

// unquote drops the quotes around a value; a quote inside is written with a
// backslash.
func unquote(s string) string {
	if s == "" || !strings.ContainsRune("\"'`", rune(s[0])) {
		return s
	}
	mark := s[:1]
	return strings.ReplaceAll(strings.Trim(s, mark), `\`+mark, mark)
}

// apply writes the value over whatever stands at the key.
func (o override) apply(root *node) {
	names := strings.Split(o.key, ".")
	at := root
	for _, name := range names[:len(names)-1] {
		next := at.fields[name]
		if next != nil {
			next = next.asTable()
		}
		if next == nil {
			next = newTable(o.pos)
		}
		at.set(name, next)
		at = next
	}
	at.set(names[len(names)-1], newString(o.value, o.pos))
}
