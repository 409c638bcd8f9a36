package http

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/files"
)

// Sendfile is the section http.sendfile, an extension to RoadRunner, whose
// middleware has no keys and sends any file that its process can read.
type Sendfile struct {
	// Roots are the folders that X-Sendfile may name files of. Empty means
	// Environment.Dir: server.dir, or else the configuration's folder.
	Roots []string `cfg:"roots"`
}

// sendfileField is the field in which PHP names the file.
const sendfileField = "X-Sendfile"

// sendfile replaces an answer that has a field X-Sendfile by that file. Other
// answers pass as they are, streams included (RoadRunner holds back every one).
type sendfile struct {
	roots []string
	dir   string // relative paths begin here, where PHP runs
	log   *slog.Logger
	pause time.Duration
}

func newSendfile(c Config, env Environment) (Middleware, error) {
	s := &sendfile{roots: c.Sendfile.Roots, dir: env.Dir, log: env.Log, pause: c.Timeouts.Write}
	if s.dir == "" {
		s.dir = "."
	}
	if len(s.roots) == 0 {
		s.roots = []string{s.dir}
	}
	for _, root := range c.Sendfile.Roots {
		if err := (&files.Root{Dir: root}).Check(); err != nil {
			return nil, fmt.Errorf("http.sendfile.roots: %w", err)
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sw := &sendfileWriter{ResponseWriter: w}
			next.ServeHTTP(sw, r)
			if sw.path != "" {
				s.send(w, r, sw.path)
			}
		})
	}, nil
}

// sendfileWriter notices the field. The body beside it is dropped, and the file
// is sent after the worker has been let go.
type sendfileWriter struct {
	http.ResponseWriter
	path    string
	decided bool
}

// Unwrap serves http.ResponseController.
func (w *sendfileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *sendfileWriter) WriteHeader(status int) {
	if status < 200 || w.decided {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.decided = true
	header := w.Header()
	if v := header[sendfileField]; len(v) > 0 && v[0] != "" {
		w.path = v[0]
		// The framing was that of the body that is dropped.
		for _, name := range []string{sendfileField, "Content-Length", "Transfer-Encoding"} {
			delete(header, name)
		}
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *sendfileWriter) Write(p []byte) (int, error) {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	if w.path != "" {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// FlushError serves http.ResponseController.
func (w *sendfileWriter) FlushError() error {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	if w.path != "" {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// errOutside is a file that PHP may read and X-Sendfile may not.
var errOutside = errors.New("the file is outside of http.sendfile.roots: add its folder there")

// send answers with the file. The status is 200 whatever PHP said, as in
// RoadRunner; range and conditional requests work, those with the validators
// that PHP has set.
func (s *sendfile) send(w http.ResponseWriter, r *http.Request, path string) {
	if strings.Contains(path, "..") {
		s.log.Error("X-Sendfile with .. in its path is refused", logkey.File, path)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	f, err := s.open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, files.ErrNotRegular), errors.Is(err, syscall.ENOTDIR):
		s.log.Warn("cannot send the file that X-Sendfile names", logkey.File, path, logkey.Error, err)
		http.Error(w, "not found", http.StatusNotFound)
		return
	case errors.Is(err, errOutside), errors.Is(err, fs.ErrPermission):
		s.log.Error("cannot send the file that X-Sendfile names", logkey.File, path, logkey.Error, err)
		w.WriteHeader(http.StatusForbidden)
		return
	case err != nil:
		s.log.Error("cannot send the file that X-Sendfile names", logkey.File, path, logkey.Error, err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer f.Close()
	modified, _ := http.ParseTime(w.Header().Get("Last-Modified"))
	files.Send(&quietWriter{ResponseWriter: w, head: r.Method == http.MethodHead}, r, f, "", modified, s.pause)
}

// open opens a file below one of the roots. What counts is where the opened
// file really lies: a link that is exchanged after the check changes nothing.
func (s *sendfile) open(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *sendfile) allowed(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return files.ErrNotRegular
	}
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return err
	}
	for _, root := range s.roots {
		// Followed anew each time: a release link may have been switched.
		if root, err = filepath.Abs(root); err != nil {
			continue
		}
		if root, err = filepath.EvalSymlinks(root); err != nil {
			continue
		}
		if root == "/" || strings.HasPrefix(real, root+"/") {
			return nil
		}
	}
	return errOutside
}

// quietWriter leaves out what RoadRunner does not send with such a file: that
// ranges are possible, and the length for HEAD.
type quietWriter struct {
	http.ResponseWriter
	head bool
}

// Unwrap serves http.ResponseController.
func (w *quietWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom keeps sendfile(2) available.
func (w *quietWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

// WriteHeader implements http.ResponseWriter.
func (w *quietWriter) WriteHeader(status int) {
	if status == http.StatusOK {
		delete(w.Header(), "Accept-Ranges")
		if w.head {
			delete(w.Header(), "Content-Length")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}
