package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a handler writes and flushes, the client reads the same bytes.
func TestSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(Options{MinSize: rapid.SampledFrom([]int{0, 10, 2000}).Draw(t, "min size"), Level: rapid.IntRange(0, 9).Draw(t, "level")})
		var want bytes.Buffer
		h := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range rapid.IntRange(0, 6).Draw(t, "steps") {
				if rapid.IntRange(0, 3).Draw(t, "flush") == 0 {
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				part := rapid.SliceOfN(rapid.Byte(), 0, 1500).Draw(t, "part")
				want.Write(part)
				n, err := w.Write(part)
				if n != len(part) || err != nil {
					t.Fatalf("%d of %d, %v", n, len(part), err)
				}
			}
		}))
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		h.ServeHTTP(rec, r)
		body := io.Reader(rec.Body)
		if rec.Header().Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		got, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d bytes of %d, %v", len(got), want.Len(), err)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	page := []byte(strings.Repeat("<li>some text of a page, as a template writes it</li>\n", 200))
	for _, accept := range []string{"identity", Gzip, Brotli, Zstd} {
		b.Run(accept, func(b *testing.B) {
			h := New(Options{Encodings: []string{Gzip, Brotli, Zstd}}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(page)
			}))
			w := &discard{header: http.Header{}}
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept-Encoding", accept)
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				w.n = 0
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(w.n), "bytes/page")
		})
	}
}

type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
