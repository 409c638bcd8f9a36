package config

import (
	"encoding/json"
	"net/url"
	"strings"

	"gopkg.in/yaml.v3"
)

const redacted = "***"

// DumpYAML is the effective configuration for people to read, without secrets.
func (t *Tree) DumpYAML() ([]byte, error) { return yaml.Marshal(redact(t.root, "")) }

// DumpJSON is DumpYAML as indented JSON.
func (t *Tree) DumpJSON() ([]byte, error) { return json.MarshalIndent(redact(t.root, ""), "", "  ") }

// redact is plain with secrets replaced.
func redact(n *node, path string) any {
	switch n.kind {
	case scalar:
		if isSecret(path) && n.text() != "" {
			return redacted
		}
		if s, ok := n.value.(string); ok {
			return redactURL(s)
		}
		return n.plain()
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = redact(item, path)
		}
		return items
	case table:
		fields := make(map[string]any, len(n.fields))
		for name, child := range n.fields {
			if child.kind == null {
				continue
			}
			shown := name
			if isEnv(path) {
				shown = strings.ToUpper(name) // as processes get it
			}
			fields[shown] = redact(child, join(path, name))
		}
		return fields
	}
	return nil
}

// isSecret judges by the last name of a path. `key` is a file name for TLS and
// an access key for SQS; in environments any name with KEY in it counts.
func isSecret(path string) bool {
	parent, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	for _, word := range []string{"password", "passwd", "secret", "token", "api_key", "apikey", "private_key", "credential", "authorization", "cookie"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return isEnv(parent) && (strings.Contains(name, "key") || strings.Contains(name, "pass")) || path == "sqs.key"
}

// isEnv tells whether the keys below path are variables of a process.
func isEnv(path string) bool { return path == "env" || strings.HasSuffix(path, ".env") }

// redactURL hides the password of user:password@host.
func redactURL(s string) string {
	if !strings.Contains(s, "@") || !strings.Contains(s, "://") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return redacted // looks like an address with a user; rather hide too much
	}
	if _, has := u.User.Password(); !has {
		return s
	}
	return u.Redacted()
}
