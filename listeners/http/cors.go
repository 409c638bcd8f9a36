package http

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/rs/cors"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// CORS is the section http.headers.cors.
type CORS struct {
	// AllowedOrigin are origins, separated by commas; "*" within one is a
	// wildcard. Empty allows all.
	AllowedOrigin string `cfg:"allowed_origin"`
	// AllowedOriginRegex takes the place of AllowedOrigin. It is not anchored.
	AllowedOriginRegex string `cfg:"allowed_origin_regex"`
	// AllowedHeaders and AllowedMethods are lists separated by commas. Empty
	// means accept, content-type, x-requested-with; and GET, POST, HEAD.
	AllowedHeaders string `cfg:"allowed_headers"`
	AllowedMethods string `cfg:"allowed_methods"`
	// ExposedHeaders is a list of what scripts may read of an answer.
	ExposedHeaders   string `cfg:"exposed_headers"`
	AllowCredentials bool   `cfg:"allow_credentials"`
	// MaxAge in seconds is how long a preflight holds; 0 says nothing of it.
	MaxAge int `cfg:"max_age"`
	// OptionsSuccessStatus answers preflights; 0 means 200.
	OptionsSuccessStatus int `cfg:"options_success_status"`
	// Debug logs why a request is allowed or not.
	Debug bool `cfg:"debug"`
}

func (c *CORS) validate() error {
	if s := c.OptionsSuccessStatus; s != 0 && (s < 200 || s > 299) {
		return fmt.Errorf("http.headers.cors.options_success_status: %d is no success: use 200 or 204", s)
	}
	if c.AllowedOriginRegex == "" {
		return nil
	}
	if _, err := regexp.Compile(c.AllowedOriginRegex); err != nil {
		return fmt.Errorf("http.headers.cors.allowed_origin_regex: %w", err)
	}
	if c.AllowCredentials && !anchored(c.AllowedOriginRegex) {
		return fmt.Errorf("http.headers.cors.allowed_origin_regex: %q also matches a part of an origin, such as https://your.site.attacker.test, "+
			"which could then act for a signed-in user because of allow_credentials: begin it with ^ and end it with $", c.AllowedOriginRegex)
	}
	return nil
}

// middleware answers preflights and adds the fields to other answers. The
// library is the one that RoadRunner uses.
func (c *CORS) middleware(log *slog.Logger) Middleware {
	o := cors.Options{
		AllowedOrigins:       splitList(c.AllowedOrigin),
		AllowedMethods:       splitList(c.AllowedMethods),
		AllowedHeaders:       splitList(c.AllowedHeaders),
		ExposedHeaders:       splitList(c.ExposedHeaders),
		AllowCredentials:     c.AllowCredentials,
		MaxAge:               max(c.MaxAge, 0),
		OptionsSuccessStatus: c.OptionsSuccessStatus,
	}
	if o.OptionsSuccessStatus == 0 {
		o.OptionsSuccessStatus = http.StatusOK
	}
	if c.Debug {
		o.Logger = corsLog{log}
	}
	every := len(o.AllowedOrigins) == 0
	for _, origin := range o.AllowedOrigins {
		every = every || origin == "*"
	}
	switch {
	case c.AllowedOriginRegex != "":
		o.AllowOriginFunc = regexp.MustCompile(c.AllowedOriginRegex).MatchString // validate has compiled it
		if !anchored(c.AllowedOriginRegex) {
			log.Warn("the regular expression also matches a part of an origin, begin it with ^ and end it with $", logkey.Key, "http.headers.cors.allowed_origin_regex")
		}
	case every && c.AllowCredentials:
		log.Warn("browsers refuse credentials when every origin is allowed, name the origins", logkey.Key, "http.headers.cors.allowed_origin")
	}
	return cors.New(o).Handler
}

func splitList(s string) (list []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// anchored tells whether a regular expression matches nothing but the whole
// text.
func anchored(expr string) bool {
	re, err := syntax.Parse(expr, syntax.Perl)
	return err == nil && begins(re) && ends(re)
}

func begins(re *syntax.Regexp) bool { return atEdge(re, false, syntax.OpBeginText, syntax.OpBeginLine) }
func ends(re *syntax.Regexp) bool   { return atEdge(re, true, syntax.OpEndText, syntax.OpEndLine) }

// atEdge tells whether the first, or last, part of every alternative is one of
// the two anchors.
func atEdge(re *syntax.Regexp, last bool, text, line syntax.Op) bool {
	switch re.Op {
	case text, line:
		return true
	case syntax.OpCapture:
		return atEdge(re.Sub[0], last, text, line)
	case syntax.OpConcat:
		if last {
			return atEdge(re.Sub[len(re.Sub)-1], last, text, line)
		}
		return atEdge(re.Sub[0], last, text, line)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !atEdge(sub, last, text, line) {
				return false
			}
		}
		return true
	}
	return false
}

// corsLog writes what the library says.
type corsLog struct{ log *slog.Logger }

func (l corsLog) Printf(format string, args ...any) {
	l.log.Info("[cors] " + fmt.Sprintf(format, args...))
}
