package compress

import (
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	all := []string{Zstd, Brotli, Gzip}
	for _, tt := range []struct {
		accept  string
		offered []string
		want    string
	}{
		{"", all, ""},
		{"gzip", all, Gzip},
		{"gzip, br, zstd", all, Zstd},
		{"gzip, br, zstd", []string{Gzip}, Gzip},
		{"gzip, br", []string{Gzip, Brotli}, Gzip},
		{"gzip;q=0.5, br;q=0.8", []string{Gzip, Brotli}, Brotli},
		{"GZip ; Q=1.0", all, Gzip},
		{"gzip;q=0", all, ""},
		{"gzip;q=0.000, br;q=0.001", all, Brotli},
		{"*", all, ""},
		{"*;q=1, gzip;q=0", all, ""},
		{"gzip;q=x", all, ""},
		{"gzip;q=2", all, ""},
		{"gzip;q=1.00000001", all, ""},
		{"gzip;q=", all, ""},
		{"gzip;level=1;q=0.1", all, Gzip},
		{"xgzip, gzipx, gz ip", all, ""},
		{",,gzip,,", all, Gzip},
		{"deflate, identity", all, ""},
	} {
		if got := Choose([]string{tt.accept}, tt.offered); got != tt.want {
			t.Errorf("%q of %v: %q, want %q", tt.accept, tt.offered, got, tt.want)
		}
	}
	if got := Choose([]string{"deflate", "br"}, all); got != Brotli {
		t.Errorf("two lines: %q", got)
	}
}

// FuzzChoose: what is chosen was offered and named, and a refusal alone is never
// a choice.
func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip", "gzip;q=0, br", "*;q=0.1", "a;b;c=d, gzip;q=1e9", ";;;q=1,gzip"} {
		f.Add(s)
	}
	offered := []string{Zstd, Brotli, Gzip}
	f.Fuzz(func(t *testing.T, accept string) {
		got := Choose([]string{accept}, offered)
		if got != "" && (!slices.Contains(offered, got) || !strings.Contains(strings.ToLower(accept), got)) {
			t.Errorf("%q: %q", accept, got)
		}
		if !strings.ContainsAny(accept, ",;") {
			if got := Choose([]string{accept + ";q=0"}, offered); got != "" {
				t.Errorf("%q is refused, and %q chosen", accept, got)
			}
		}
	})
}
