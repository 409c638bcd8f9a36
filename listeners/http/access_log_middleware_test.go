package http

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// accessLine is the line of one request.
func accessLine(t *testing.T, c Config, target string, header ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "access.log")
	c.AccessLog.File = file
	s, _ := serveWith(t, c, answering(msg(`{"status":404,"headers":{"X-Out":["o"]}}`, "gone")))
	s.get(t, target, header...)
	var text []byte
	waitFor(t, "the line", func() bool {
		text, _ = os.ReadFile(file)
		return len(text) > 0
	})
	line, rest, _ := strings.Cut(string(text), "\n")
	if rest != "" {
		t.Errorf("more than a line: %q", rest)
	}
	return line
}

func TestAccessLogFormats(t *testing.T) {
	const uri = "/a%20b?x=1"
	header := []string{"User-Agent: ua \"1\"\\", "Referer: http://r/", credentials("max:x"), "X-Request-Id: id-1"}
	for format, want := range map[string]string{
		"":       `^127\.0\.0\.1 - max \[\d\d/\w+/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a%20b\?x=1 HTTP/1\.1" 404 4 "http://r/" "ua \\x221\\x22\\x5C"$`,
		"common": `^127\.0\.0\.1 - max \[.*\] "GET /a%20b\?x=1 HTTP/1\.1" 404 4$`,
		"%{status} %{method} %{uri} %{path} %{query} %{protocol} %{host}":                                       `^404 GET /a%20b\?x=1 /a b x=1 HTTP/1\.1 a\.test$`,
		"%{status}ms %% %{http_x_none} %{sent_http_x_out} %{request_id} %{scheme} %{bytes_read} %{content_len}": `^404ms % - o id-1 http 0 0$`,
		"%{time_iso8601} %{msec} %{request_time} %{elapsed_ms} %{peer_addr}":                                    `^\d{4}-\d\d-\d\dT\S+ \d+\.\d{3} \d+\.\d{3} \d+ 127\.0\.0\.1:\d+$`,
	} {
		c := Config{Middleware: []string{"access_log"}, MiddlewareConfig: MiddlewareConfig{AccessLog: AccessLog{Format: format}}}
		if line := accessLine(t, c, uri, header...); !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("%s\n got %s\nwant %s", format, line, want)
		}
	}
}

func TestAccessLogJSON(t *testing.T) {
	c := Config{Middleware: []string{"access_log"}, MiddlewareConfig: MiddlewareConfig{AccessLog: AccessLog{Format: "json"}}}
	line := accessLine(t, c, "/x?y=1", "User-Agent: \"u\"")
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	for key, want := range map[string]any{"status": 404.0, "write_bytes": 4.0, "URI": "/x?y=1", "query": "y=1", "user_agent": `"u"`, "remote_address": "127.0.0.1"} {
		if got[key] != want {
			t.Errorf("%s: %v", key, got[key])
		}
	}
}

// What a middleware answers is logged, with the bytes that the client got and
// the address that proxy_ip_parser found.
func TestAccessLogOutermost(t *testing.T) {
	dir := tempFiles(t, map[string]string{"a.css": strings.Repeat("body{}", 1000)})
	c := Config{Middleware: []string{"static", "gzip", "proxy_ip_parser", "access_log"}, MiddlewareConfig: MiddlewareConfig{
		Static: &Static{Dir: dir}, TrustedSubnets: []string{"127.0.0.0/8"}, AccessLog: AccessLog{Format: "%{remote_addr} %{status} %{bytes_sent}"}}}
	line := accessLine(t, c, "/a.css", "Accept-Encoding: gzip", "X-Forwarded-For: 1.2.3.4")
	if !regexp.MustCompile(`^1\.2\.3\.4 200 \d\d\d?$`).MatchString(line) {
		t.Errorf("%s", line)
	}
}

// Without a file the lines go to the log of the daemon. The file may be moved
// away at any time.
func TestAccessLogOutput(t *testing.T) {
	c := Config{Middleware: []string{"access_log"}, MiddlewareConfig: MiddlewareConfig{AccessLog: AccessLog{Format: "line %{status}"}}}
	s, log := serveWith(t, c, answering(msg(okContext, "ok")))
	s.get(t, "/")
	waitFor(t, "the line", func() bool { return log.count(`"msg":"line 200"`) == 1 })

	file := filepath.Join(t.TempDir(), "access.log")
	c.AccessLog.File = file
	s, _ = serveWith(t, c, answering(msg(okContext, "ok")))
	lines := func(name string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(name)
			return string(text) == "line 200\n"
		}
	}
	s.get(t, "/")
	waitFor(t, "the first line", lines(file))
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	s.get(t, "/")
	waitFor(t, "the line in the new file", lines(file))
	if !lines(file + ".1")() {
		t.Error("the old file was written to")
	}
}

// An aborted answer is logged too.
func TestAccessLogAborted(t *testing.T) {
	c := Config{Middleware: []string{"access_log"}, MiddlewareConfig: MiddlewareConfig{AccessLog: AccessLog{Format: "cut %{status}"}}}
	s, log := serveWith(t, c, answering(msg(`{"status":200,"headers":{"Content-Length":["1"]}}`, "")))
	conn := s.dial(t)
	conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the line", func() bool { return log.count("cut 200") == 1 })
}

// FuzzLogFormat: a format is refused or gives one line, whatever a client sends.
func FuzzLogFormat(f *testing.F) {
	for _, s := range []string{"combined", "json", "%{http_x} %% %{status}", "%{", "%", "a\"b%{http_user_agent}\""} {
		f.Add(s, "ua\r\n\"\\\x00é")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		format, err := parseLogFormat(text)
		if err != nil {
			return
		}
		r := parseRequest(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		for _, name := range []string{"User-Agent", "Referer", "X"} {
			r.Header[name] = []string{value}
		}
		r.RequestURI, r.Host = value, value
		e := &logEntry{r: r, w: newStatusWriter(&nullWriter{header: map[string][]string{"X": {value}}})}
		line := string(format.append(nil, e))
		if strings.Count(line, "\n") > strings.Count(text, "\n") || strings.Count(line, "\r") > strings.Count(text, "\r") {
			t.Errorf("%q gives %q", text, line)
		}
		if text == "json" && !json.Valid([]byte(line)) {
			t.Errorf("%s", line)
		}
	})
}
