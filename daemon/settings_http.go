package daemon

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/isolate"
	"github.com/rr-systemd/rrd/pool/worker"
)

// httpSettings is the section http: the frontend's own keys and its pool.
type httpSettings struct {
	http.Config `cfg:",squash"`
	Pool        pool.Config `cfg:"pool"`
	// Pools are further ones, by name, for http.routes.
	Pools map[string]*pool.Config `cfg:"pools"`

	// What RoadRunner serves and this version does not. It is refused, not left
	// out: a site that counts on it must not come up.
	Cache any `cfg:"cache"`

	tree *config.Tree
}

// Defaults fills what is not set.
func (h *httpSettings) Defaults() {
	h.Config.Defaults()
	h.Pool.Defaults()
	for _, p := range h.Pools {
		p.Defaults()
	}
}

// Validate reports all mistakes with file and line.
func (h *httpSettings) Validate() error {
	errs := []error{
		located(h.tree, "http", h.Config.Validate()),
		located(h.tree, "http.pool", h.Pool.Validate()),
		located(h.tree, "http", h.Config.CheckPools(slices.Sorted(maps.Keys(h.Pools)))),
	}
	h.warnOfUploads(h.Pool.Isolation)
	for name, p := range h.Pools {
		errs = append(errs, located(h.tree, "http.pools."+name, p.Validate()))
		h.warnOfUploads(p.Isolation)
	}
	h.warnOfTLS()
	refuse := func(key, what string) {
		fix := "remove it, and put a proxy that does it in front"
		if strings.Contains(what, `"cache"`) {
			fix = "it is a part of custom builds of RoadRunner; remove it, and put a caching proxy such as nginx or Varnish in front"
		}
		errs = append(errs, &config.Error{
			Position: h.tree.Position(key), Key: key,
			Problem: what + " is not served by this version of rrd", Fix: fix,
		})
	}
	for _, key := range http.NotServed {
		if h.tree.Has("http." + key) {
			refuse("http."+key, fmt.Sprintf("key %q", key))
		}
	}
	for i, name := range h.Middleware {
		switch {
		case slices.Contains(h.Middleware[:i], name):
			h.tree.Warn("http.middleware", fmt.Sprintf("%q is listed twice: the second one is left out", name), "list it once")
		case http.HasMiddleware(name):
		case slices.Contains(http.MiddlewareNotServed, name):
			refuse("http.middleware", fmt.Sprintf("middleware %q", name))
		default:
			h.tree.Warn("http.middleware", fmt.Sprintf("requested middleware does not exist: %q is left out", name), "")
		}
	}
	return errors.Join(errs...)
}

// warnOfUploads: a private folder for temporary files is no fence when uploads are
// put into the one of all.
func (h *httpSettings) warnOfUploads(o isolate.Options) {
	if o.Landlock != nil && o.PrivateTmp && h.Uploads.Dir == os.TempDir() {
		h.tree.Warn("http.uploads.dir", "workers may change all of "+h.Uploads.Dir+", because uploaded files are put there", "set it to a folder of its own")
	}
}

// specHTTP is the recipe for the workers of one of its pools, whose section is key.
func (s *settings) specHTTP(key string, cfg pool.Config, w wiring) (worker.Spec, error) {
	spec, err := s.spec("http", key, cfg.Command, w)
	if err != nil {
		return spec, err
	}
	if slices.Contains(s.http.Middleware, "sendfile") {
		spec.Env = append(spec.Env, s.sendfileEnv())
	}
	return spec, s.isolate(&spec, key, cfg.Isolation, s.http.Uploads.Dir)
}

// sendfileEnv tells workers that files of these folders may be named in
// X-Sendfile, so that a framework's file response need not pass through PHP.
func (s *settings) sendfileEnv() string {
	roots := s.http.Sendfile.Roots
	if len(roots) == 0 {
		roots = []string{s.server.Dir}
	}
	paths := make([]string, 0, len(roots))
	for _, root := range roots {
		if path, err := filepath.Abs(root); err == nil {
			paths = append(paths, path)
		}
	}
	return "RR_SENDFILE=" + strings.Join(paths, ":")
}

// warnOfTLS names what RoadRunner leaves out without a word.
func (h *httpSettings) warnOfTLS() {
	if h.SSL != nil && !h.SSL.Enabled() {
		h.tree.Warn("http.ssl", "TLS is not served: there is no certificate", "set key and cert, or acme")
	}
	if h.SSL != nil && h.SSL.RootCA != "" && h.SSL.ClientAuthType == "" {
		h.tree.Warn("http.ssl.root_ca", "no client is asked for a certificate", "set client_auth_type, for example require_and_verify_client_cert")
	}
}
