package http

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// redirect sends requests without TLS to TLS. It stands before all middleware,
// and its answers are not logged, both as in RoadRunner.
type redirect struct {
	port  int // of TLS; 443 is left out
	hsts  string
	hosts []string
}

func newRedirect(s *SSL, port int) *redirect {
	r := &redirect{port: port, hsts: s.HSTS, hosts: s.RedirectHosts}
	if r.hsts == noHSTS {
		r.hsts = ""
	}
	return r
}

func (d *redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := d.host(r)
	if host == "" {
		http.Error(w, "the request names no host to redirect to", http.StatusBadRequest)
		return
	}
	if d.port != 443 {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(d.port))
	}
	// The escaped path: RoadRunner decodes and encodes it again, which turns %2F
	// into a slash. A target like "//evil" stays behind our host.
	target := "https://" + host + r.URL.EscapedPath()
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	if d.hsts != "" {
		w.Header().Set("Strict-Transport-Security", d.hsts)
	}
	http.Redirect(w, r, target, http.StatusPermanentRedirect)
}

// host is the host of the request without its port, if a redirect may lead
// there. An IPv6 address is in brackets.
func (d *redirect) host(r *http.Request) string {
	host := r.Host
	if r.URL.Host != "" {
		host = r.URL.Host
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	if len(d.hosts) > 0 && !slices.ContainsFunc(d.hosts, func(known string) bool { return strings.EqualFold(known, host) }) {
		return d.hosts[0]
	}
	return host
}
