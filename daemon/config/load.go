package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// DefaultFile is read when no file is named.
const DefaultFile = ".rr.yaml"

// Options say what to load. The zero value reads DefaultFile of the working
// directory.
type Options struct {
	File string // YAML or JSON by its extension

	// WorkDir is where relative paths start (File, Dotenv, includes). Empty:
	// File starts at the working directory, all others at the folder of File.
	WorkDir string

	Overrides []string // `key=value`, applied in order
	Dotenv    string   // variables from this file; the variable DOTENV_PATH beats it

	Environ []string // nil means os.Environ()

	Lenient      bool // unknown keys are warnings
	Experimental bool // heed the key `envfile`
}

// Absolute returns options that mean the same files after a change of the
// working directory.
func (o Options) Absolute() (Options, error) {
	var err error
	if o.WorkDir != "" {
		if o.WorkDir, err = filepath.Abs(o.WorkDir); err != nil {
			return o, err
		}
	}
	if o.File == "" {
		o.File = DefaultFile
	}
	if o.WorkDir == "" {
		o.File, err = filepath.Abs(o.File)
	}
	return o, err
}

// Load reads a configuration. What is wrong with its content comes back as
// [Errors], all of it at once; a file that cannot be opened as a wrapped
// *fs.PathError.
func Load(o Options) (*Tree, error) {
	file := o.File
	if file == "" {
		file = DefaultFile
	}
	if o.WorkDir != "" && !filepath.IsAbs(file) {
		file = filepath.Join(o.WorkDir, file)
	}
	dir := o.WorkDir
	if dir == "" {
		dir = filepath.Dir(file)
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	l := &loader{
		Options: o,
		tree:    &Tree{dir: dir, lenient: o.Lenient, env: newEnviron(o.Environ)},
	}
	return l.load(file)
}

type loader struct {
	Options
	tree *Tree
}

func (l *loader) load(file string) (*Tree, error) {
	if err := l.dotenv(); err != nil {
		return nil, err
	}
	root, err := l.read(file)
	if err != nil {
		return nil, err
	}
	l.tree.root = root
	if err := l.envfile(file); err != nil {
		return nil, err
	}
	l.expand(root)

	errs := l.overrides()
	version, problem := checkVersion(root, file)
	if problem != nil {
		errs = append(errs, problem)
	}
	if err := errs.orNil(); err != nil {
		return nil, err
	}
	l.noteVersion(version)
	if err := l.includes(version); err != nil {
		return nil, err
	}
	return l.tree, nil
}

func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.tree.dir, name)
}

func (l *loader) dotenv() error {
	name := l.Dotenv
	if fromEnv := l.tree.env["DOTENV_PATH"]; fromEnv != "" {
		name = fromEnv
	}
	if name == "" {
		return nil
	}
	return l.tree.env.addFile(l.path(name))
}

// envfile is read before references are expanded, so that its variables count.
func (l *loader) envfile(file string) error {
	n := l.tree.root.find("envfile")
	if n == nil || n.kind != scalar || n.text() == "" {
		return nil
	}
	if !l.Experimental {
		l.tree.warn(Warning{Position: n.pos, Key: "envfile", Problem: "has no effect without --enable-experimental",
			Fix: "add that flag, or use --dotenv"})
		return nil
	}
	name := n.text()
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(file), name)
	}
	if err := l.tree.env.addFile(name); err != nil {
		return &Error{Position: n.pos, Key: "envfile", Value: n.text(), Problem: err.Error(), Err: err}
	}
	return nil
}

func (l *loader) expand(root *node) {
	(&expander{env: l.tree.env, warn: l.tree.warn}).table(root, "")
}

func (l *loader) overrides() (errs Errors) {
	for _, text := range l.Overrides {
		o, err := parseOverride(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.apply(l.tree.root)
		value := l.tree.root.find(o.key)
		(&expander{env: l.tree.env, warn: l.tree.warn}).scalar(value, o.key)
	}
	return errs
}

// read parses one file and remembers it in Tree.Files.
func (l *loader) read(file string) (*node, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	l.tree.files = append(l.tree.files, file)
	b := &builder{file: file}
	if len(data) > maxFileSize {
		b.fail(0, "", fmt.Sprintf("larger than %d MiB", maxFileSize>>20), "is this the right file?")
		return nil, b.errs
	}
	root := b.parse(data)
	if err := b.errs.orNil(); err != nil {
		return nil, err
	}
	return root, nil
}

func (b *builder) parse(data []byte) *node {
	switch ext := strings.ToLower(filepath.Ext(b.file)); ext {
	case ".yaml", ".yml":
		return b.parseYAML(data)
	case ".json":
		return b.parseJSON(data)
	default:
		b.fail(0, "", fmt.Sprintf("cannot tell the format by the extension %q", ext), "name the file .yaml, .yml or .json")
		return nil
	}
}
