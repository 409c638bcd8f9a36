package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// includes lets every section of an included file replace the section of the
// same name as a whole, overrides included; a later file wins. An include in
// an included file is not followed.
func (l *loader) includes(version string) error {
	var errs Errors
	for _, inc := range l.includeList(&errs) {
		other, err := l.read(l.path(inc.text()))
		if err != nil {
			var content Errors
			if errors.As(err, &content) {
				errs = append(errs, content...)
				continue
			}
			errs = append(errs, includeError(inc, err))
			continue
		}
		l.expand(other)
		otherVersion, problem := checkVersion(other, l.path(inc.text()))
		if problem != nil {
			errs = append(errs, problem)
			continue
		}
		if otherVersion != version {
			errs = append(errs, &Error{
				Position: other.fields["version"].pos, Key: "version", Value: otherVersion,
				Problem: "version in included file must be the same as in root",
				Fix:     fmt.Sprintf("write version: %q", version),
			})
			continue
		}
		l.replace(other)
	}
	return errs.orNil()
}

func includeError(inc *node, err error) *Error {
	problem := err.Error()
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		problem = path.Error()
	}
	return &Error{Position: inc.pos, Key: "include", Value: inc.text(), Problem: problem,
		Fix: "paths start at the working directory (-w), else at the folder of the configuration", Err: err}
}

// includeList accepts a list, and one text with names between blanks or commas.
func (l *loader) includeList(errs *Errors) (files []*node) {
	n := l.tree.root.find("include")
	if n == nil {
		return nil
	}
	items := n.items
	if n.kind == scalar {
		items = nil
		for _, name := range strings.FieldsFunc(n.text(), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
			items = append(items, newString(name, n.pos))
		}
	}
	for _, item := range items {
		if item.kind != scalar {
			*errs = append(*errs, &Error{Position: item.pos, Key: "include", Problem: item.describe() + " is not a file name",
				Fix: "write include: [a.yaml, b.yaml]"})
			continue
		}
		files = append(files, item)
	}
	if n.kind == table {
		*errs = append(*errs, &Error{Position: n.pos, Key: "include", Problem: "a section is not a list of files",
			Fix: "write include: [a.yaml, b.yaml]"})
	}
	return files
}

func (l *loader) replace(other *node) {
	for _, name := range other.order {
		section := other.fields[name]
		switch {
		case name == "version" || section.kind == null:
			continue
		case name == "include" || name == "envfile":
			l.tree.warn(Warning{Position: section.pos, Key: name, Problem: "has no effect in an included file",
				Fix: "put it into the main file"})
			continue
		}
		if old := l.tree.root.fields[name]; old != nil {
			l.warnLost(old, name, section.pos.File)
		}
		l.tree.root.set(name, section)
	}
}

// warnLost names overrides that vanish with the section they were in.
func (l *loader) warnLost(old *node, key, file string) {
	if old.kind == scalar && isOverride(old.pos.File) {
		l.tree.warn(Warning{Position: old.pos, Key: key, Problem: "has no effect: the included file " + file + " replaces the whole section",
			Fix: "change it in that file"})
	}
	for _, name := range old.order {
		l.warnLost(old.fields[name], join(key, name), file)
	}
}
