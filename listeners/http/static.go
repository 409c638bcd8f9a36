package http

import (
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/files"
)

// Static is the section http.static: files that are served without PHP.
type Static struct {
	// Dir is the folder of the files.
	Dir string `cfg:"dir"`
	// Forbid and Allow are extensions with their dot, in any case. When Allow is
	// not empty, nothing else is served; Forbid wins over Allow.
	Forbid []string `cfg:"forbid"`
	Allow  []string `cfg:"allow"`
	// CalculateETag adds an ETag made of the content; Weak makes it a weak one.
	CalculateETag bool `cfg:"calculate_etag"`
	Weak          bool `cfg:"weak"`
	// Request fields have no effect: RoadRunner sets them after the decision to
	// serve a file. Response fields are set on answers with a file.
	Request  map[string]string `cfg:"request,ignored"`
	Response map[string]string `cfg:"response"`

	// Extensions to RoadRunner's keys.

	// FollowSymlinks serves what symbolic links outside of Dir lead to.
	FollowSymlinks bool `cfg:"follow_symlinks"`
	// DotFiles serves files and folders whose name begins with a dot.
	DotFiles bool `cfg:"dotfiles"`
}

func (c *Static) validate() error {
	for key, list := range map[string][]string{"forbid": c.Forbid, "allow": c.Allow} {
		for _, ext := range list {
			if ext != "" && ext[0] != '.' {
				return fmt.Errorf("http.static.%s: extension %q has no dot and would never match: write %q", key, ext, "."+ext)
			}
		}
	}
	return validFields("http.static.response", c.Response)
}

// static serves the files of a folder. What it does not serve goes on to PHP.
type static struct {
	root          files.Root
	forbid, allow []string
	tags          *files.Tags // nil: no ETag
	weak          bool
	response      presetFields
	log           *slog.Logger
	pause         time.Duration
	outside       sampler
}

func newStatic(c Config, env Environment) (Middleware, error) {
	if c.Static == nil {
		return missingSection(env, "static", "http.static")
	}
	s := &static{
		root:     files.Root{Dir: c.Static.Dir, FollowLinks: c.Static.FollowSymlinks, DotFiles: c.Static.DotFiles},
		forbid:   lowerCase(c.Static.Forbid),
		allow:    lowerCase(c.Static.Allow),
		weak:     c.Static.Weak,
		response: newPresetFields(c.Static.Response),
		log:      env.Log,
		pause:    c.Timeouts.Write,
	}
	if err := s.root.Check(); err != nil {
		return nil, fmt.Errorf("http.static.dir: %w", err)
	}
	if c.Static.CalculateETag {
		s.tags = files.NewTags(files.StaticPolynomial)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !s.answer(w, r) {
				next.ServeHTTP(w, r)
			}
		})
	}, nil
}

// answer tells whether the request needs no PHP.
func (s *static) answer(w http.ResponseWriter, r *http.Request) bool {
	name := r.URL.Path
	if strings.ContainsAny(name, "\r\n") {
		name = oneLine.Replace(name)
	}
	// As RoadRunner, which refuses it for PHP as well.
	if strings.Contains(name, "..") {
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && s.serves(name) && s.send(w, r, name)
}

// serves tells whether the extension of a path may be served.
func (s *static) serves(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	switch {
	case ext == "":
		return false
	case slices.Contains(s.forbid, ext):
		s.log.Debug("file extension is forbidden", "ext", ext)
		return false
	case len(s.allow) > 0 && !slices.Contains(s.allow, ext):
		s.log.Debug("file extension is not allowed", "ext", ext)
		return false
	}
	return true
}

// send answers with the file; false when there is none.
func (s *static) send(w http.ResponseWriter, r *http.Request, name string) bool {
	f, info, err := s.root.Open(name)
	if err != nil {
		if files.Escapes(err) {
			s.warnOutside(name)
		}
		return false
	}
	defer f.Close()
	header := w.Header()
	s.response.set(header)
	if s.tags != nil {
		tag, err := s.tags.Of(f, info, s.weak)
		if err != nil {
			s.log.Warn("cannot read a static file", logkey.File, name, logkey.Error, err)
			return false
		}
		if tag != "" {
			header["Etag"] = []string{tag}
		}
	}
	files.Send(w, r, f, info.Name(), info.ModTime(), s.pause)
	return true
}

// warnOutside explains what RoadRunner would have served. Such links are common
// (Laravel's public/storage), and nobody would guess.
func (s *static) warnOutside(name string) {
	if leftOut, ok := s.outside.next(time.Now()); ok {
		s.log.Warn("a symbolic link leads out of http.static.dir and is not followed, set http.static.follow_symlinks: true if it may be",
			logkey.File, name, "left_out", leftOut)
	}
}

func lowerCase(list []string) (lower []string) {
	for _, s := range list {
		if s != "" {
			lower = append(lower, strings.ToLower(s))
		}
	}
	return lower
}
