package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
)

// Tree is a loaded configuration. Its methods may be called concurrently.
type Tree struct {
	root    *node
	dir     string
	files   []string
	env     environ
	lenient bool

	mu       sync.Mutex
	warnings []Warning
	warned   map[string]bool
}

// Has reports whether a key (dotted path) is there and not null.
func (t *Tree) Has(path string) bool { return t.find(path) != nil }

func (t *Tree) find(path string) *node { return t.root.find(strings.ToLower(path)) }

// Keys are the names directly below path in the order of the file, without
// those that are null; for sections whose keys are names, as in kv or service.
func (t *Tree) Keys(path string) []string {
	n := t.find(path)
	if n == nil {
		return nil
	}
	keys := make([]string, 0, len(n.order))
	for _, name := range n.order {
		if n.fields[name].kind != null {
			keys = append(keys, name)
		}
	}
	return keys
}

// Dir is where relative paths of the configuration start.
func (t *Tree) Dir() string { return t.dir }

// Files are the files that were read: the main one, then its includes.
func (t *Tree) Files() []string { return slices.Clone(t.files) }

// Environ is the environment that references were expanded with: the process'
// own plus dotenv files, in the form of os.Environ.
func (t *Tree) Environ() []string { return t.env.list() }

// Map is the effective configuration as plain Go values.
func (t *Tree) Map() map[string]any {
	return t.root.plain().(map[string]any)
}

// JSON is the effective configuration, secrets included, as RoadRunner's
// rpc.Config shows it: keys in lower case, references expanded.
func (t *Tree) JSON() ([]byte, error) { return json.Marshal(t.Map()) }

// Position says where a key was written; for a key that is not there, where
// its nearest parent was.
func (t *Tree) Position(path string) Position {
	path, _, _ = strings.Cut(strings.ToLower(path), "[")
	n, pos := t.root, Position{}
	if len(t.files) > 0 {
		pos.File = t.files[0]
	}
	for path != "" && n != nil {
		name, rest, _ := strings.Cut(path, ".")
		if n, path = n.fields[name], rest; n != nil {
			pos = n.pos
		}
	}
	return pos
}

// Locate adds file and line to every [*Error] in err that has a Key but no
// File, as those of a Validate have. An error with a ConfigError method (see
// At) becomes such an [*Error].
func (t *Tree) Locate(err error) error {
	var many Errors
	if errors.As(err, &many) {
		for _, one := range many {
			t.locate(one)
		}
		return err
	}
	var one *Error
	if errors.As(err, &one) {
		t.locate(one)
		return err
	}
	var keyed keyedError
	if errors.As(err, &keyed) {
		return t.At("", err)
	}
	return err
}

// keyedError is how packages that do not import this one name a key.
type keyedError interface {
	ConfigError() (key, problem, fix string)
}

func (t *Tree) locate(e *Error) {
	if e.File == "" && e.Key != "" {
		e.Position = t.Position(e.Key)
	}
}

// At makes an [*Error] for a key out of the Validate error of another package,
// which knows nothing of files. If that error (or one it wraps) has a method
//
//	ConfigError() (key, problem, fix string)
//
// its full key replaces path. A nil err gives nil.
func (t *Tree) At(path string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Key: path, Problem: err.Error(), Err: err}
	var keyed keyedError
	if errors.As(err, &keyed) {
		e.Key, e.Problem, e.Fix = keyed.ConfigError()
	}
	e.Position = t.Position(e.Key)
	return e
}

// Warnings are what Load and the Decode calls so far found odd, without
// repetition, in the order of the files and their lines.
func (t *Tree) Warnings() []Warning {
	t.mu.Lock()
	list := slices.Clone(t.warnings)
	t.mu.Unlock()
	slices.SortStableFunc(list, func(a, b Warning) int {
		if a.File != b.File {
			return cmp.Compare(slices.Index(t.files, a.File), slices.Index(t.files, b.File))
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return list
}

// Warn adds a warning about a key.
func (t *Tree) Warn(key, problem, fix string) {
	t.warn(Warning{Position: t.Position(key), Key: key, Problem: problem, Fix: fix})
}

func (t *Tree) warn(w Warning) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := w.String()
	if t.warned[text] {
		return
	}
	if t.warned == nil {
		t.warned = map[string]bool{}
	}
	t.warned[text] = true
	t.warnings = append(t.warnings, w)
}
