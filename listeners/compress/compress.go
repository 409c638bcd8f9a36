package compress

import (
	"net/http"
	"slices"
)

// Options of New.
type Options struct {
	// Encodings that are offered, the preferred one first. Empty means gzip.
	Encodings []string
	// Level from 1, fast, to 9, small; 0 is each encoding's usual one.
	Level int
	// MinSize is the smallest body in bytes that is compressed. 0 means
	// RoadRunner's rule: 1024 when Content-Length tells the size, and any size
	// otherwise.
	MinSize int
	// OptOut is a field with which an answer asks not to be compressed. It is
	// removed. "" for none.
	OptOut string
}

// announcedMin is RoadRunner's smallest body whose size is announced.
const announcedMin = 1024

// Compressor compresses answers.
type Compressor struct {
	encodings []string
	minSize   int
	optOut    string
	pools     pools
}

// New returns a compressor. The values of o are the caller's to check.
func New(o Options) *Compressor {
	if len(o.Encodings) == 0 {
		o.Encodings = []string{Gzip}
	}
	return &Compressor{encodings: o.Encodings, minSize: o.MinSize, optOut: o.OptOut, pools: newPools(o.Encodings, o.Level)}
}

// Handler compresses the answers of next.
func (c *Compressor) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		if !slices.Contains(header["Vary"], "Accept-Encoding") { // listed twice
			header["Vary"] = append(header["Vary"], "Accept-Encoding")
		}
		cw := &writer{ResponseWriter: w, c: c, length: -1}
		if r.Method != http.MethodHead {
			cw.encoding = Choose(r.Header["Accept-Encoding"], c.encodings)
		}
		next.ServeHTTP(cw, r)
		// Not deferred: an answer that is aborted must not get a proper end.
		cw.finish()
	})
}
