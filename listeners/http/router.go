package http

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/logkey"
)

var priorities = map[string]ipc.Priority{"": ipc.Normal, "normal": ipc.Normal, "high": ipc.High, "low": ipc.Low}

// route is a Route made ready: where requests go, and their limits.
type route struct {
	matcher   matcher
	log       *slog.Logger // names the pool, if it is not http.pool
	exec      ipc.Executor
	maxBody   int64 // bytes
	wait      time.Duration
	ttl       time.Duration
	priority  ipc.Priority
	line      *ipc.Line // nil: no limit
	retry     bool
	streaming bool
}

// router finds the route of a request.
type router struct {
	routes []*route
	other  *route // of requests that match none
}

// newRouter takes a valid Config whose pools are all in pools.
func newRouter(c *Config, main ipc.Executor, pools map[string]ipc.Executor, log *slog.Logger) *router {
	other := &route{log: log, exec: main, maxBody: int64(c.MaxRequestSize) << 20, retry: c.Retry, streaming: c.RequestStreaming}
	t := &router{other: other}
	for i := range c.Routes {
		from := &c.Routes[i]
		r := &route{
			matcher:   newMatcher(&from.Match),
			log:       log,
			exec:      main,
			maxBody:   int64(cmp.Or(from.MaxRequestSize, c.MaxRequestSize)) << 20,
			wait:      from.AllocateTimeout,
			ttl:       from.Timeout,
			priority:  priorities[from.Priority],
			retry:     c.Retry,
			streaming: c.RequestStreaming,
		}
		if from.Retry != nil {
			r.retry = *from.Retry
		}
		if from.RequestStreaming != nil {
			r.streaming = *from.RequestStreaming
		}
		if from.Pool != "" {
			r.exec = pools[from.Pool]
			r.log = log.With(logkey.Pool, "http."+from.Pool)
		}
		if from.MaxQueueSize > 0 {
			r.line = ipc.NewLine(from.MaxQueueSize)
		}
		t.routes = append(t.routes, r)
	}
	return t
}

// of returns the first route that matches.
func (t *router) of(r *http.Request) *route {
	for _, to := range t.routes {
		if to.matcher.matches(r) {
			return to
		}
	}
	return t.other
}

// matcher is a Match made ready.
type matcher struct {
	hosts   []string // lower case; with a leading dot: all below it
	paths   []pathPattern
	methods []string
	headers []headerPattern
}

type pathPattern struct {
	prefix string         // without a slash at its end
	whole  *regexp.Regexp // nil: the prefix counts
}

type headerPattern struct {
	name  string // canonical
	value *regexp.Regexp
}

func newMatcher(m *Match) matcher {
	var out matcher
	for _, host := range m.Host {
		out.hosts = append(out.hosts, strings.ToLower(strings.TrimPrefix(host, "*")))
	}
	for _, path := range m.Path {
		if !strings.ContainsAny(path, "*?") {
			out.paths = append(out.paths, pathPattern{prefix: strings.TrimRight(path, "/")})
			continue
		}
		out.paths = append(out.paths, pathPattern{whole: glob(path, "[^/]*", "[^/]")})
	}
	for _, method := range m.Method {
		out.methods = append(out.methods, strings.ToUpper(method))
	}
	for name, value := range m.Header {
		out.headers = append(out.headers, headerPattern{http.CanonicalHeaderKey(name), glob(value, ".*", `\?`)})
	}
	return out
}

// glob turns a pattern into an expression for the whole text; star and mark are
// what * and ? stand for, ** is any text.
func glob(pattern, star, mark string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for pattern != "" {
		i := strings.IndexAny(pattern, "*?")
		if i < 0 {
			i = len(pattern)
		}
		b.WriteString(regexp.QuoteMeta(pattern[:i]))
		switch pattern = pattern[i:]; {
		case strings.HasPrefix(pattern, "**"):
			b.WriteString(".*")
			pattern = pattern[2:]
		case strings.HasPrefix(pattern, "*"):
			b.WriteString(star)
			pattern = pattern[1:]
		case pattern != "":
			b.WriteString(mark)
			pattern = pattern[1:]
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String()) // everything but our own operators is quoted
}

func (m *matcher) matches(r *http.Request) bool {
	return m.method(r.Method) && m.path(r.URL.Path) && m.host(r.Host) && m.header(r.Header)
}

func (m *matcher) method(method string) bool {
	for _, want := range m.methods {
		if method == want {
			return true
		}
	}
	return len(m.methods) == 0
}

func (m *matcher) path(path string) bool {
	for _, want := range m.paths {
		if want.whole != nil {
			if want.whole.MatchString(path) {
				return true
			}
		} else if rest, ok := strings.CutPrefix(path, want.prefix); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return len(m.paths) == 0
}

func (m *matcher) host(host string) bool {
	if len(m.hosts) == 0 {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, want := range m.hosts {
		if host == want || want[0] == '.' && strings.HasSuffix(host, want) {
			return true
		}
	}
	return false
}

func (m *matcher) header(h http.Header) bool {
	for _, want := range m.headers {
		found := false
		for _, value := range h[want.name] {
			found = found || want.value.MatchString(value)
		}
		if !found {
			return false
		}
	}
	return true
}
