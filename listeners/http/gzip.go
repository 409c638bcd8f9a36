package http

import (
	"fmt"
	"slices"

	"github.com/rr-systemd/rrd/listeners/compress"
)

// Gzip is the section http.gzip, an extension to RoadRunner, whose middleware
// has no keys. Without it the middleware compresses what RoadRunner's does.
type Gzip struct {
	// Encodings offered to clients, the preferred one first: gzip, br, zstd.
	// Empty means gzip.
	Encodings []string `cfg:"encodings"`
	// Level from 1, fast, to 9, small; 0 is each encoding's usual one.
	Level int `cfg:"level"`
	// MinSize is the smallest body that is compressed, in bytes. 0 means
	// RoadRunner's rule: 1024 when PHP tells the Content-Length, and any size
	// otherwise.
	MinSize int `cfg:"min_size,size"`
}

// maxMinSize bounds what is held back of an answer before it is decided.
const maxMinSize = 1 << 20

func (c *Gzip) validate() error {
	known := []string{compress.Gzip, compress.Brotli, compress.Zstd}
	for _, name := range c.Encodings {
		if !slices.Contains(known, name) {
			return fmt.Errorf("http.gzip.encodings: unknown encoding %q: use gzip, br or zstd", name)
		}
	}
	if c.Level < 0 || c.Level > 9 {
		return fmt.Errorf("http.gzip.level: %d is no level: use 1 (fast) to 9 (small), or 0 for the usual one", c.Level)
	}
	if c.MinSize < 0 || c.MinSize > maxMinSize {
		return fmt.Errorf("http.gzip.min_size: %d bytes: use 0 to %d", c.MinSize, maxMinSize)
	}
	return nil
}

// noGzip is a field with which PHP asks that an answer is left as it is.
const noGzip = "No-Gzip-Compression"

func newGzip(c Config, _ Environment) (Middleware, error) {
	return compress.New(compress.Options{
		Encodings: c.Gzip.Encodings, Level: c.Gzip.Level, MinSize: c.Gzip.MinSize, OptOut: noGzip,
	}).Handler, nil
}
