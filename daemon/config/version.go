package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// checkVersion applies RoadRunner's rule that `version` must be there and be a
// string. Any string will do.
func checkVersion(root *node, file string) (string, *Error) {
	n := root.fields["version"]
	if n == nil || n.kind == null {
		return "", &Error{Position: Position{File: file}, Problem: ErrNoVersion.Error(), Err: ErrNoVersion}
	}
	if s, ok := n.value.(string); ok {
		return s, nil
	}
	return "", &Error{
		Position: n.pos, Key: "version", Value: n.source, Err: ErrVersionType,
		Problem: fmt.Sprintf("version should be a string: `version: %q`, actual type is: %s", "3", goType(n)),
	}
}

// goType is the Go type that RoadRunner's parsers give such a value.
func goType(n *node) string {
	switch n.kind {
	case list:
		return "[]interface {}"
	case table:
		return "map[string]interface {}"
	}
	switch n.value.(type) {
	case bool:
		return "bool"
	case float64:
		return "float64"
	}
	if strings.EqualFold(filepath.Ext(n.pos.File), ".json") {
		return "float64"
	}
	return "int"
}

func (l *loader) noteVersion(version string) {
	if version == "3" {
		return
	}
	problem := fmt.Sprintf("version %q is read as version \"3\"", version)
	if version == "2.7" {
		problem = "version \"2.7\" is out of date"
	}
	l.tree.warn(Warning{Position: l.tree.root.fields["version"].pos, Key: "version", Value: version,
		Problem: problem, Fix: `write version: "3"`})
}
