// Package config reads a RoadRunner `.rr.yaml` of version 3.
//
// [Load] reads the file in RoadRunner's order: the file, environment files,
// references to environment variables, `-o key=value` overrides, the version
// check, included files. The result is a [Tree] that knows for every key the
// file and line it came from. [Tree.Decode] fills a struct from one section by
// its `cfg:"key"` tags and, unlike RoadRunner, refuses what the struct does not
// know: an unknown key is an error that names the nearest known one.
//
// Keys are not case-sensitive and are kept in lower case. A dot in a key
// separates levels. A key without a value (null) counts as absent, `{}` as
// present.
package config
