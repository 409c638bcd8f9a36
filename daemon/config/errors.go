package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that [Load] returns inside an [*Error], to be found with errors.Is.
var (
	ErrNoVersion   = errors.New("rr configuration file should contain a version e.g: version: 3")
	ErrVersionType = errors.New("version should be a string")
)

// Position says where a value was written. For an override, File is the whole
// option (`-o key=value`) and Line is 0.
type Position struct {
	File string
	Line int
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s: line %d", p.File, p.Line)
}

// Error is one mistake in a configuration.
//
// Problem alone is RoadRunner's text where RoadRunner has one for the same
// mistake; Fix is what to do about it.
type Error struct {
	Position
	Key     string // full path: http.pool.num_workers; empty if the file as a whole is meant
	Value   string // as found, "" if the value is not the point
	Problem string
	Fix     string
	Err     error // cause, may be nil
}

// Error reads `cannot read FILE: line N: KEY: PROBLEM; FIX`.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.text()
	case isOverride(e.File):
		return "cannot use " + e.Position.String() + ": " + e.text()
	}
	return "cannot read " + e.Position.String() + ": " + e.text()
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) text() string {
	var b strings.Builder
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	if e.Fix != "" {
		b.WriteString("; ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Errors are all mistakes that one step found. The text has one line each.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the single [*Error].
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// orNil sorts by position and avoids the non-nil error of an empty list.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.File != b.File {
			return 0
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return e
}

// Warning is something that works, but hardly as its author meant it.
type Warning Error

// String reads `FILE: line N: KEY: PROBLEM; FIX`.
func (w *Warning) String() string {
	if w.File == "" {
		return (*Error)(w).text()
	}
	return w.Position.String() + ": " + (*Error)(w).text()
}
