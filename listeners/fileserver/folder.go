package fileserver

import (
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/compress"
	"github.com/rr-systemd/rrd/listeners/files"
)

const (
	indexFile = "index.html"
	// pause is how long a client may take for the next MiB.
	pause = time.Minute
)

// folder serves the files below one prefix.
type folder struct {
	prefix string // without "/" at the end
	root   files.Root
	ranges bool
	zip    *compress.Compressor // nil: not compressed
	maxAge []string
	tags   *files.Tags // nil: no ETag
	weak   bool
	log    *slog.Logger
}

func newFolder(c Folder, tags *files.Tags, weak bool, log *slog.Logger) *folder {
	f := &folder{
		prefix: strings.TrimRight(c.Prefix, "/"),
		root:   files.Root{Dir: c.Root, FollowLinks: c.FollowSymlinks, DotFiles: c.DotFiles},
		ranges: c.BytesRange, tags: tags, weak: weak, log: log,
	}
	if c.MaxAge > 0 {
		f.maxAge = []string{"public, max-age=" + strconv.Itoa(c.MaxAge)}
	}
	if c.Compress {
		f.zip = compress.New(compress.Options{})
	}
	return f
}

// below returns the rest of a cleaned path, false when the prefix is another.
func (f *folder) below(p string) (rest string, ok bool) {
	if len(p) < len(f.prefix) || !strings.EqualFold(p[:len(f.prefix)], f.prefix) {
		return "", false
	}
	rest = p[len(f.prefix):]
	return rest, rest == "" || rest[0] == '/'
}

// serve answers with the file, or returns false when there is none. p is the
// cleaned path of the URL; slash tells whether that ended with one.
func (f *folder) serve(w http.ResponseWriter, r *http.Request, p string, slash bool) bool {
	rest, ok := f.below(p)
	if !ok {
		return false
	}
	file, info, err := f.root.Open(rest)
	if err == files.ErrNotRegular {
		file, info, err = f.root.Open(path.Join(rest, indexFile))
		if err == nil && !slash {
			// The links of the page are relative to its folder.
			file.Close()
			to := url.URL{Path: p + "/", RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, to.RequestURI(), http.StatusFound)
			return true
		}
	} else if err == nil && slash {
		file.Close() // a file is no folder
		return false
	}
	if err != nil {
		if files.Escapes(err) {
			f.log.Warn("a symbolic link leads out of the folder and is not followed, set follow_symlinks: true if it may be", logkey.File, rest, logkey.Key, "fileserver.serve")
		}
		return false
	}
	defer file.Close()
	header := w.Header()
	if f.maxAge != nil {
		header["Cache-Control"] = f.maxAge
	}
	if f.tags != nil {
		tag, err := f.tags.Of(file, info, f.weak)
		if err != nil {
			f.log.Error("cannot read a file", logkey.File, rest, logkey.Error, err)
			return false
		}
		if tag != "" {
			header["Etag"] = []string{tag}
		}
	}
	send := func(w http.ResponseWriter, r *http.Request) {
		if !f.ranges {
			r.Header.Del("Range")
			w = &noRanges{ResponseWriter: w}
		}
		files.Send(w, r, file, info.Name(), info.ModTime(), pause)
	}
	if f.zip != nil {
		f.zip.Handler(http.HandlerFunc(send)).ServeHTTP(w, r)
		return true
	}
	send(w, r)
	return true
}
