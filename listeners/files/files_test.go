package files

import (
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzOpen: no path leads out of the folder, to a hidden file, or to what is no
// file.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	for name, content := range map[string]string{"pub/a.txt": "inside", "pub/sub/b.txt": "inside", "pub/.env": "outside", "secret": "outside"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	for link, to := range map[string]string{"pub/up": "..", "pub/abs": dir, "pub/l": "../secret"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			f.Fatal(err)
		}
	}
	for _, s := range []string{"/a.txt", "/sub/b.txt", "/../secret", "/up/secret", "/abs/secret", "/l", "//a.txt", "/.env", "/sub/../.env", "/a.txt\x00", "", "/./a.txt", "/sub/./..//.env"} {
		f.Add(s)
	}
	strict, loose := Root{Dir: dir + "/pub"}, Root{Dir: dir + "/pub", FollowLinks: true}
	f.Fuzz(func(t *testing.T, path string) {
		for _, r := range []*Root{&strict, &loose} {
			file, info, err := r.Open(path)
			if err != nil {
				continue
			}
			content, err := io.ReadAll(file)
			file.Close()
			linked := r.FollowLinks && (strings.Contains(path, "up") || strings.Contains(path, "abs") || strings.Contains(path, "l"))
			if err != nil || !info.Mode().IsRegular() || string(content) != "inside" && !linked {
				t.Errorf("%q gives %q, %v", path, content, err)
			}
		}
	})
}

// A tag is computed once for each state of a file, and never for one that is so
// young that a change could go unnoticed.
func TestTags(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func() (*os.File, os.FileInfo) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return f, info
	}
	tags := NewTags(crc32.IEEE)
	f, info := open()
	want := string(appendTag(nil, 7, crc32.ChecksumIEEE([]byte("content"))))
	if tag, err := tags.Of(f, info, false); tag != want || err != nil || len(tags.known) != 0 {
		t.Errorf("%q %v, %d remembered", tag, err, len(tags.known))
	}
	deadline := time.After(time.Minute)
	for len(tags.known) == 0 {
		select {
		case <-deadline:
			t.Fatal("never remembered")
		case <-time.After(50 * time.Millisecond):
		}
		if tag, err := tags.Of(f, info, true); tag != "W/"+want || err != nil {
			t.Errorf("%q %v", tag, err)
		}
	}
	f.Close() // what is remembered needs no reading
	if tag, err := tags.Of(f, info, false); tag != want || err != nil {
		t.Errorf("%q %v", tag, err)
	}
}

func BenchmarkSend(b *testing.B) {
	dir := b.TempDir()
	for text, size := range map[string]int{"1KiB": 1 << 10, "100KiB": 100 << 10, "10MiB": 10 << 20} {
		name := filepath.Join(dir, "f.bin")
		if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			root := Root{Dir: dir}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f, info, err := root.Open("/f.bin")
				if err != nil {
					b.Error(err)
					return
				}
				defer f.Close()
				Send(w, r, f, info.Name(), info.ModTime(), time.Minute)
			}))
			defer s.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				res, err := s.Client().Get(s.URL)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); n != int64(size) || err != nil {
					b.Fatal(n, err)
				}
				res.Body.Close()
			}
		})
	}
}
