package golden_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// placeholders of the recordings, as they match inside a text.
var placeholders = map[string]string{
	"{INT}":  `-?\d+`,
	"{NUM}":  `-?\d[\d.eE+-]*`,
	"{STR}":  `(?s:.*?)`,
	"{ANY}":  `(?s:.*?)`,
	"{TMP}":  `/\S+?`,
	"{TIME}": `\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?`,
}

var placeholder = regexp.MustCompile(`\{(?:INT|NUM|STR|ANY|TMP|TIME)\}`)

// matcher compares what was recorded with what was seen.
type matcher struct {
	// vars replaces {tmp}, {rpc} and the like in what was recorded.
	vars *strings.Replacer
	// unordered: lists are sets.
	unordered bool
	// optional keys may be there or not: zero values that are left out.
	optional map[string]bool
}

// diff lists the differences, one a line, each with its path.
func (m matcher) diff(path string, want, got any) []string {
	bad := func() []string { return []string{fmt.Sprintf("%s: want %s, got %s", path, show(want), show(got))} }
	switch want := want.(type) {
	case map[string]any:
		if s, ok := got.(string); ok {
			if !m.special(want, s) {
				return bad()
			}
			return nil
		}
		g, ok := got.(map[string]any)
		if !ok {
			return bad()
		}
		var out []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			gv, ok := g[k]
			if !ok {
				if !m.optional[k] {
					out = append(out, fmt.Sprintf("%s.%s: missing, want %s", path, k, show(want[k])))
				}
				continue
			}
			out = append(out, m.diff(path+"."+k, want[k], gv)...)
		}
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if _, ok := want[k]; !ok && !m.optional[k] {
				out = append(out, fmt.Sprintf("%s.%s: not wanted: %s", path, k, show(g[k])))
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return bad()
		}
		if m.unordered {
			return m.diffSets(path, want, g)
		}
		var out []string
		for i := range want {
			out = append(out, m.diff(fmt.Sprintf("%s[%d]", path, i), want[i], g[i])...)
		}
		return out
	case string:
		if !m.text(want, got) {
			return bad()
		}
		return nil
	case json.Number:
		if !sameNumber(want, got) {
			return bad()
		}
		return nil
	default: // bool, nil
		if want != got {
			return bad()
		}
		return nil
	}
}

func (m matcher) diffSets(path string, want, got []any) []string {
	left := slices.Clone(got)
	var out []string
	for _, w := range want {
		i := slices.IndexFunc(left, func(g any) bool { return len(m.diff("", w, g)) == 0 })
		if i < 0 {
			out = append(out, fmt.Sprintf("%s: want %s among %s", path, show(w), show(left)))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// special: {"b64"} is a byte string, {"len","sha256"} a long one.
func (m matcher) special(want map[string]any, got string) bool {
	if s, ok := text(want); ok {
		return s == got
	}
	sum, ok := want["sha256"].(string)
	if !ok {
		return false
	}
	have := sha256.Sum256([]byte(got))
	return sameNumber(want["len"], json.Number(fmt.Sprint(len(got)))) && sum == hex.EncodeToString(have[:])
}

func (m matcher) expand(s string) string {
	if m.vars == nil {
		return s
	}
	return m.vars.Replace(s)
}

func (m matcher) text(want string, got any) bool {
	switch want {
	case "{ANY}":
		return true
	case "{INT}":
		n, ok := got.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	case "{NUM}":
		n, ok := got.(json.Number)
		_, err := n.Float64()
		return ok && err == nil
	}
	g, ok := got.(string)
	if !ok {
		return false
	}
	want = m.expand(want)
	if !placeholder.MatchString(want) {
		return want == g
	}
	return regexp.MustCompile(`^(?:` + pattern(want) + `)$`).MatchString(g)
}

// contains tells whether a text with placeholders stands somewhere in got.
func (m matcher) contains(want, got string) bool {
	return regexp.MustCompile(pattern(m.expand(want))).MatchString(got)
}

// pattern is the regular expression of a text with placeholders.
func pattern(want string) string {
	var b strings.Builder
	for {
		at := placeholder.FindStringIndex(want)
		if at == nil {
			return b.String() + regexp.QuoteMeta(want)
		}
		b.WriteString(regexp.QuoteMeta(want[:at[0]]))
		b.WriteString(placeholders[want[at[0]:at[1]]])
		want = want[at[1]:]
	}
}

func sameNumber(want, got any) bool {
	w, ok1 := want.(json.Number)
	g, ok2 := got.(json.Number)
	if !ok1 || !ok2 {
		return false
	}
	if w == g {
		return true
	}
	wf, err1 := w.Float64()
	gf, err2 := g.Float64()
	return err1 == nil && err2 == nil && wf == gf
}

// show prints a value for a message, cut to a readable length.
func show(v any) string {
	var s string
	if t, ok := v.(string); ok {
		s = fmt.Sprintf("%q", t)
	} else if b, err := json.Marshal(v); err == nil {
		s = string(b)
	} else {
		s = fmt.Sprintf("%#v", v)
	}
	if len(s) > 300 {
		s = s[:300] + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return s
}
