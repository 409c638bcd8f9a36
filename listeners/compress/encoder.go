package compress

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is what the three libraries have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Levels of an encoding without a configured one. That of brotli is about as
// fast as gzip's; the default of its library is for files that are compressed
// once.
const (
	gzipLevel   = gzip.DefaultCompression
	brotliLevel = 4
	zstdLevel   = 3
)

// zstdWindow is what browsers must accept (RFC 9659).
const zstdWindow = 1 << 20

// pools keep the encoders, which are large. 0 is the level of one that was not
// configured.
type pools map[string]*sync.Pool

func newPools(encodings []string, level int) pools {
	p := make(pools)
	for _, name := range encodings {
		p[name] = &sync.Pool{New: func() any { return newEncoder(name, level) }}
	}
	return p
}

func newEncoder(name string, level int) encoder {
	pick := func(def int) int {
		if level == 0 {
			return def
		}
		return level
	}
	switch name {
	case Brotli:
		return brotli.NewWriterLevel(nil, pick(brotliLevel))
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(pick(zstdLevel))),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants, apart from the level, which all values fit
		}
		return w
	}
	w, err := gzip.NewWriterLevel(nil, pick(gzipLevel))
	if err != nil {
		panic(err) // the level was checked
	}
	return w
}
