package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parseYAML reads the first document. Aliases and merge keys are resolved.
func (b *builder) parseYAML(data []byte) *node {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return newTable(b.at(1))
	case err != nil:
		b.yamlError(err, data)
		return nil
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		b.fail(more.Line, "", "more than one YAML document", "keep what comes before the line `---`")
		return nil
	}
	root := b.fromYAML(doc.Content[0], doc.Content[0].Line, 0)
	if root == nil {
		return nil
	}
	switch root.kind {
	case table:
		return root
	case null:
		return newTable(root.pos)
	}
	b.fail(root.pos.Line, "", "the file is "+root.describe()+", not a list of `key: value` lines", "start with version: \"3\"")
	return nil
}

func (b *builder) yamlError(err error, data []byte) {
	text, line := err.Error(), 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	fix := "check indentation, colons and quotes there"
	if strings.Contains(text, "cannot start any token") && bytes.Contains(data, []byte("\t")) {
		fix = "YAML does not allow tabs in indentation; use spaces"
	}
	b.fail(line, "", text, fix)
}

// fromYAML converts a value; line is the one to report, that of its key.
func (b *builder) fromYAML(n *yaml.Node, line, depth int) *node {
	if !b.room(line, depth) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return b.fromYAML(n.Alias, line, depth+1)
	case yaml.SequenceNode:
		seq := &node{kind: list, pos: b.at(line)}
		for _, item := range n.Content {
			child := b.fromYAML(item, item.Line, depth+1)
			if child == nil {
				return nil
			}
			seq.items = append(seq.items, child)
		}
		return seq
	case yaml.MappingNode:
		return b.fromMapping(n, line, depth)
	}
	return b.fromScalar(n, line)
}

func (b *builder) fromMapping(n *yaml.Node, line, depth int) *node {
	out := newTable(b.at(line))
	seen := make(map[string]int, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			b.fail(key.Line, "", "a key is a list or a section", "write a plain name before the colon")
			continue
		}
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name := strings.ToLower(key.Value)
		if first, twice := seen[name]; twice {
			b.fail(n.Content[i].Line, key.Value, "key is given twice", fmt.Sprintf("the first is in line %d; keep one", first))
			continue
		}
		seen[name] = n.Content[i].Line
		child := b.fromYAML(value, n.Content[i].Line, depth+1)
		if child == nil {
			return nil
		}
		b.put(out, key.Value, n.Content[i].Line, child)
	}
	// Keys of the mapping itself win over those of `<<`.
	for _, from := range merged {
		if !b.mergeKey(out, from, depth+1) {
			return nil
		}
	}
	return out
}

// mergeKey adds what `<<: *anchor` or `<<: [*a, *b]` brings.
func (b *builder) mergeKey(out *node, from *yaml.Node, depth int) bool {
	if from.Kind == yaml.SequenceNode {
		for _, one := range from.Content {
			if !b.mergeKey(out, one, depth+1) {
				return false
			}
		}
		return true
	}
	extra := b.fromYAML(from, from.Line, depth)
	if extra == nil {
		return false
	}
	if extra.kind != table {
		b.fail(from.Line, "", "`<<` needs a section", "write <<: *name")
		return true
	}
	for _, name := range extra.order {
		if _, own := out.fields[name]; !own {
			out.set(name, extra.fields[name])
		}
	}
	return true
}

func (b *builder) fromScalar(n *yaml.Node, line int) *node {
	out := &node{kind: scalar, source: n.Value, pos: b.at(line)}
	switch n.ShortTag() {
	case "!!null":
		out.kind = null
	case "!!bool", "!!int", "!!float", "!!binary":
		if err := n.Decode(&out.value); err != nil {
			b.yamlError(err, nil)
			return out
		}
		switch v := out.value.(type) {
		case int:
			out.value = int64(v)
		case bool, int64, uint64, float64, string:
		default:
			out.value = n.Value
		}
	default: // text, also dates: no key of a configuration is a point in time
		out.value = n.Value
	}
	return out
}
