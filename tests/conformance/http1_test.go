//go:build conformance

package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// quiet is how long to wait for another answer after one.
const quiet = 100 * time.Millisecond

// exchange sends an attack and returns the statuses of the final answers, and
// whether the connection was closed then.
func exchange(t *testing.T, addr, raw string) (statuses []int, closed bool) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	_, _ = io.WriteString(c, raw) // the other side may have closed it before the end
	method, _, _ := strings.Cut(raw, " ")
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			var wait net.Error
			return statuses, !errors.As(err, &wait) || !wait.Timeout()
		}
		if res.StatusCode >= 200 {
			statuses = append(statuses, res.StatusCode)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return statuses, true // bytes that nobody read make it a reset
		}
		_ = c.SetReadDeadline(time.Now().Add(quiet))
	}
}

// front is what stands before rrd, or rrd itself.
type front struct {
	name string
	site *site
	addr string
	// forwarded returns what it passed on and rrd answered with 200, method and
	// path, beyond the first n; nil for rrd itself.
	forwarded func(n int) []string
}

// nginx keeps its connections to rrd and passes on as much as it can be made to.
func (s *site) nginx(name string) front {
	addr := freePort(s.t, "tcp")
	s.write("nginx.conf", `
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  log_format f '$upstream_status $request_method rrd $uri';
  access_log nginx.log f;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  ignore_invalid_headers off; underscores_in_headers on; large_client_header_buffers 8 2m;
  upstream rrd { server `+s.http+`; keepalive 4; }
  server {
    listen `+addr+`;
    location / {
      proxy_pass http://rrd; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_next_upstream off;
    }
  }
}
`)
	s.run(exec.Command("nginx", "-p", s.dir, "-c", "nginx.conf", "-e", "stderr"), new(output))
	return s.up(front{name, s, addr, func(n int) []string {
		b, err := os.ReadFile(s.path("nginx.log"))
		if err != nil {
			s.t.Fatal(err)
		}
		return answered(string(b), n)
	}})
}

// haproxy keeps its connections to rrd and shares them between clients.
func (s *site) haproxy(name, options string) front {
	addr := freePort(s.t, "tcp")
	s.write(name+".cfg", `
global
  log stdout format raw local0
  tune.bufsize 2200000
defaults
  mode http
  timeout connect 10s
  timeout client 10s
  timeout server 10s
  option http-keep-alive
`+options+`
frontend in
  bind `+addr+`
  log global
  log-format "%ST %HM %s %HPO"
  default_backend rrd
backend rrd
  http-reuse always
  server rrd `+s.http+`
`)
	log := new(output)
	s.run(exec.Command("haproxy", "-db", "-f", name+".cfg"), log)
	return s.up(front{name, s, addr, func(n int) []string { return answered(log.String(), n) }})
}

// answered reads lines of status, method, server and path, which haproxy
// leaves out for the target *.
func answered(log string, n int) (list []string) {
	for text := range strings.Lines(log) {
		f := strings.Fields(text)
		if len(f) >= 3 && f[0] == "200" && f[2] == "rrd" && f[1] != "OPTIONS" { // OPTIONS * ends in net/http
			list = append(list, strings.Join(append(f[1:2:2], f[3:]...), " "))
		}
	}
	return list[min(n, len(list)):]
}

func (s *site) up(f front) front {
	await(s.t, f.name+" answers", func() bool { _, err := get("http://"+f.addr+"/up", nil); return err == nil })
	return f
}

// seen are the requests that PHP saw beyond the first n.
func (s *site) seen(n int) []string {
	s.t.Helper()
	b, err := os.ReadFile(s.path("seen"))
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	return lines[min(n, len(lines)):]
}

// count is the number of final answers and of requests of a corpus.
type count struct{ refused, reached, unanswered int }

// attack sends one to a front, then a request of another client, which must get
// its own answer, and checks that the front and rrd agree about what went
// between them.
func (s *site) attack(t *testing.T, f front, a attack, c *count) {
	s.t = t
	seen := len(s.seen(0))
	statuses, closed := exchange(t, f.addr, a.raw)
	body, err := get("http://"+f.addr+"/victim", nil)
	if err != nil || !strings.HasPrefix(body, "/victim 0 ") {
		t.Errorf("the next client got %q %v", body, err)
	}
	reached := s.seen(seen)
	if last := len(reached) - 1; last < 0 || reached[last] != "GET /victim 0" {
		t.Errorf("the next client's request is not the last: %q", reached)
	} else {
		reached = reached[:last]
	}
	if f.forwarded == nil {
		if !slices.Equal(statuses, a.want) || !slices.Equal(reached, a.reach) {
			t.Errorf("answered with %d (closed: %t), PHP got %q; want %d and %q", statuses, closed, reached, a.want, a.reach)
		}
	} else {
		var between []string
		await(t, "the log is complete", func() bool {
			if between = f.forwarded(s.through); err != nil {
				return true
			}
			return len(between) > 0 && between[len(between)-1] == "GET /victim"
		})
		s.through += len(between)
		between = between[:max(0, len(between)-1)]
		if !slices.EqualFunc(between, reached, func(b, r string) bool { return strings.HasPrefix(r, b+" ") }) {
			t.Errorf("it forwarded %q, PHP got %q", between, reached)
		}
	}
	switch {
	case len(reached) > 0:
		c.reached++
	case len(statuses) > 0:
		c.refused++
	default:
		c.unanswered++
	}
}

// TestHTTP1: rrd refuses what is wrong, and agrees with a proxy in front of it
// about what is a request: after each attack another client gets its own answer.
func TestHTTP1(t *testing.T) {
	t.Parallel()
	s, streaming := newSite(t, ""), newSite(t, "", "  request_streaming: true\n")
	const section = "HTTP/1.1: smuggled and malformed requests"
	note(section,
		fmt.Sprintf("%d attempts to smuggle a request and %d malformed or unusual requests (`tests/conformance/corpus_test.go`, each", len(smuggling), len(malformed)),
		"with its section of RFC 9112), sent to `rrd` directly and through proxies that pass on all they can be made to and",
		"share their connections between clients. Directly, each has its expected status and reaches PHP as expected or not at",
		"all. Behind a proxy, its log and PHP agree about what went between them. Everywhere the next client gets its own",
		"answer. A request with both a Content-Length and chunks is read by its chunks, and the",
		"connection goes on, as in RoadRunner (RFC 9112, 6.1 wants it closed): put no proxy in front that believes the length.", "",
		"| through | corpus | cases | answered without PHP | closed without an answer | reached PHP as what it is |", "|---|---|---|---|---|---|")
	for _, f := range []front{
		{name: "directly", site: s, addr: s.http}, {name: "directly, request_streaming", site: streaming, addr: streaming.http},
		s.nginx("nginx"), streaming.nginx("nginx, request_streaming"),
		s.haproxy("haproxy", ""), s.haproxy("lenient haproxy", "  option accept-invalid-http-request\n"),
	} {
		s := f.site
		s.through = 1 // a page when it came up
		for _, corpus := range []struct {
			name  string
			cases []attack
		}{{"smuggling", smuggling}, {"malformed", malformed}} {
			var c count
			for _, a := range corpus.cases {
				t.Run(f.name+"/"+a.name, func(t *testing.T) { s.attack(t, f, a, &c) })
			}
			note(section, fmt.Sprintf("| %s | %s | %d | %d | %d | %d |", f.name, corpus.name, len(corpus.cases), c.refused, c.unanswered, c.reached))
		}
	}
}
