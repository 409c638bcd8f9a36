package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

func (s *testServer) noFiles(t testing.TB) {
	t.Helper()
	waitFor(t, "temporary files to go", func() bool {
		list, err := os.ReadDir(s.dir)
		return err == nil && len(list) == 0
	})
}

func post(c *client, method, contentType, body string) response {
	return c.do(method, fmt.Sprintf("/p HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d", contentType, len(body)), body)
}

const form = "application/x-www-form-urlencoded"

func TestBody(t *testing.T) {
	for _, tt := range []struct {
		name, method, contentType, body string
		raw                             bool
		want                            string
		parsed                          bool
	}{
		{"raw", "POST", "text/plain", "a\x00\xff", false, "a\x00\xff", false},
		{"raw GET", "GET", "text/plain", "abc", false, "abc", false},
		{"form", "POST", form, "a=1&b[]=2", false, `{"a":"1","b":["2"]}`, true},
		{"form DELETE", "DELETE", form, "a=1", false, `{"a":"1"}`, true},
		{"form GET", "GET", form, "a=1", false, `{"a":"1"}`, true},
		{"form of any case", "PUT", "Application/X-WWW-Form-urlencoded", "a=1", false, `{"a":"1"}`, true},
		{"empty form", "POST", form, "", false, "{}", true},
		{"form without fields", "POST", form, "&&", false, "{}", true},
		{"another type", "POST", form + "-v2", "a=1", false, "a=1", false},
		{"raw_body", "POST", form, "a=%zz", true, "a=%zz", false},
		{"HEAD", "HEAD", form, "a=1", false, "", false},
		{"OPTIONS", "OPTIONS", form, "a=1", false, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rec recorder
			s := serve(t, Config{RawBody: tt.raw}, rec.exec())
			if res := post(s.dial(t), tt.method, tt.contentType, tt.body); res.StatusCode != 200 {
				t.Fatalf("%d %q", res.StatusCode, res.text)
			}
			p := rec.last(t)
			if string(p.Body) != tt.want || strings.Contains(string(p.Context), `"parsed":true`) != tt.parsed {
				t.Errorf("%q %s", p.Body, p.Context)
			}
			if p.Label != tt.method || p.Detail != "/p" || p.ID == "" {
				t.Errorf("%q %q %q", p.Label, p.Detail, p.ID)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		target, contentType, body string
		status                    int
		text                      string
	}{
		{"/", form, "a=%zz", 400, "bad request: malformed percent-encoding in form or query\n"},
		{"/", form, "a=1;b=2", 400, "bad request: unescaped semicolon in form or query\n"},
		{"/?x=1;y=2", form, "a=1", 400, "bad request: unescaped semicolon in form or query\n"},
		{"/?x=%z", form, "a=1", 400, "bad request: malformed percent-encoding in form or query\n"},
		{"/?x=1;y=2&%", "text/plain", "a", 200, "ok"},
		{"/", form, "a[]=1&a[b]=2", 400, "bad request: form field \"a\" is used as a value and as a list or map\n"},
		{"/", form + "; charset", "a=1", 400, "bad request: malformed form\n"},
		{"/", "multipart/form-data", "x", 400, "bad request: Content-Type has no usable multipart boundary\n"},
		{"/", "multipart/form-data; boundary=B", "", 400, "bad request: body ended too early\n"},
		{"/", "multipart/form-data; boundary=B", "--B\r\nContent-Disp", 400, "bad request: malformed form\n"},
		{"/", "multipart/form-data; boundary=B", "--B--\r\n", 200, "ok"},
		{"/", "text/plain", strings.Repeat("x", 1<<20), 200, "ok"},
		{"/", "text/plain", strings.Repeat("x", 1<<20+1), 413, "serve_http: http: request body too large\n"},
		{"/", form, strings.Repeat("x", 1<<20+1), 413, "serve_http: http: request body too large\n"},
		{"/", "multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n" + strings.Repeat("x", 1<<20), 413,
			"serve_http: multipart: NextPart: http: request body too large\n"},
	} {
		for _, chunked := range []bool{false, true} {
			var rec recorder
			s := serve(t, Config{MaxRequestSize: 1}, rec.exec())
			c := s.dial(t)
			head, body := fmt.Sprintf("%s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n", tt.target, tt.contentType), tt.body
			if chunked {
				head += "Transfer-Encoding: chunked"
				if body != "" {
					body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
				}
				body += "0\r\n\r\n"
			} else {
				head += fmt.Sprintf("Content-Length: %d", len(body))
			}
			res := c.do("POST", head, body)
			if res.StatusCode != tt.status || res.text != tt.text {
				t.Errorf("%s %.60q: %d %q", tt.contentType, tt.body, res.StatusCode, res.text)
			}
			if tt.status != 200 {
				if len(rec.list) > 0 {
					t.Errorf("%.60q reached the worker", tt.body)
				}
				if res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%v", res.Header)
				}
			}
			// The connection is in step for the next request, or known to end: the rest
			// of a long body may come too late.
			if res.Close && tt.status == 413 {
				continue
			}
			if res := c.do("GET", plainGet, ""); res.StatusCode != 200 {
				t.Errorf("next request: %d", res.StatusCode)
			}
			s.noFiles(t)
		}
	}
}

func TestTooLargeIsToldBeforeTheBodyIsSent(t *testing.T) {
	s := serve(t, Config{MaxRequestSize: 1}, failing(ipc.ErrWorkerFailed))
	c := s.dial(t)
	res := c.do("POST", "/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000000", "")
	if res.StatusCode != 413 {
		t.Error(res.StatusCode)
	}
}

// TestSlowClientHoldsNoWorker uploads slowly and reads slowly.
func TestSlowClientHoldsNoWorker(t *testing.T) {
	begun := make(chan bool, 1)
	s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		begun <- true
		return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
	}))
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
	waitFor(t, "the request to begin", func() bool { return s.Stats().Active == 1 })
	select {
	case <-begun:
		t.Fatal("a worker got half a request")
	default:
	}
	c.send("cd")
	<-begun
	if res := c.receive("POST"); res.text != "ok" {
		t.Error(res.text)
	}
}

func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	var rec recorder
	// Each with the one limit that it is about: a busy machine may pass the others.
	for name, tt := range map[string]struct {
		limits       Timeouts
		text, status string
	}{
		"header": {Timeouts{ReadHeader: short}, "GET / HTTP/1.1\r\nHos", ""},
		"idle":   {Timeouts{Idle: short}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200"},
		"body":   {Timeouts{Read: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 408"},
	} {
		s := serve(t, Config{Timeouts: tt.limits}, rec.exec())
		c := s.dial(t)
		c.send(tt.text)
		b, err := io.ReadAll(c)
		if name == "header" && errors.Is(err, syscall.ECONNRESET) { // the limit passed before send
			err = nil
		}
		if err != nil || !strings.HasPrefix(string(b), tt.status) {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	// A client that pauses shorter than that may take as long as it likes.
	limit := 3 * time.Second
	s := serve(t, Config{Timeouts: Timeouts{Read: limit}}, rec.exec())
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n")
	tick := time.NewTicker(limit / 30)
	defer tick.Stop()
	for range 32 {
		<-tick.C
		c.send("x")
	}
	if res := c.receive("POST"); res.StatusCode != 200 {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
}

// part of a multipart body.
func formPart(name, file, contentType, content string) string {
	head := "--B\r\nContent-Disposition: form-data; name=\"" + name + "\""
	if file != "" {
		head += "; filename=\"" + file + "\""
	}
	if contentType != "" {
		head += "\r\nContent-Type: " + contentType
	}
	return head + "\r\n\r\n" + content + "\r\n"
}

func TestUploads(t *testing.T) {
	type file struct {
		Name, Mime string
		Size       int64
		Error      int
		TmpName    string
	}
	var got struct {
		Uploads map[string]json.RawMessage
	}
	var fields string
	contents := map[string]string{}
	s := (*testServer)(nil)
	exec := execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		fields, got.Uploads = string(p.Body), nil
		if err := json.Unmarshal(p.Context, &got); err != nil {
			t.Error(err)
		}
		list, _ := os.ReadDir(s.dir)
		for _, f := range list {
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Error(info.Mode(), err)
			}
			b, _ := os.ReadFile(filepath.Join(s.dir, f.Name()))
			contents[filepath.Join(s.dir, f.Name())] = string(b)
		}
		return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
	})
	s = serve(t, Config{Uploads: Uploads{Forbid: []string{".PHP"}, Allow: []string{".txt", ".php", ".bin"}}}, exec)
	big := strings.Repeat("\x00\xffabc", 100000)
	body := formPart("a", "", "", "1") + formPart("a", "", "", "2") + formPart("e", "", "", "") +
		formPart("doc", "../x/a.TXT", "text/plain", "hello") + formPart("doc", "second.txt", "", "no") +
		formPart("l[]", "1.txt", "", "") + formPart("l[]", "2.php", "a/b", "x") + formPart("l[]", "noext", "a/b", "x") +
		formPart("t[x][y]", "b.bin", "", big) + "--B--\r\n"
	if res := post(s.dial(t), "POST", "multipart/form-data; boundary=B", body); res.StatusCode != 200 {
		t.Fatal(res.StatusCode, res.text)
	}
	if fields != `{"a":"2","e":""}` {
		t.Error(fields)
	}
	var doc file
	var list []file
	var deep map[string]map[string]file
	for name, v := range map[string]any{"doc": &doc, "l": &list, "t": &deep} {
		if err := json.Unmarshal(got.Uploads[name], v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, got.Uploads[name])
		}
	}
	if doc.Name != "a.TXT" || doc.Mime != "text/plain" || doc.Size != 5 || doc.Error != 0 || contents[doc.TmpName] != "hello" {
		t.Errorf("%+v", doc)
	}
	if len(list) != 3 || list[0].Error != 0 || list[0].TmpName == "" || list[1] != (file{"2.php", "a/b", 0, 8, ""}) || list[2] != (file{"noext", "a/b", 0, 8, ""}) {
		t.Errorf("%+v", list)
	}
	if f := deep["x"]["y"]; f.Size != int64(len(big)) || contents[f.TmpName] != big {
		t.Errorf("%+v", f)
	}
	if len(contents) != 3 {
		t.Errorf("%d files", len(contents))
	}
	s.noFiles(t)

	// A folder that is missing is told to PHP, and the form still arrives.
	if err := os.Remove(s.dir); err != nil {
		t.Fatal(err)
	}
	if res := post(s.dial(t), "POST", "multipart/form-data; boundary=B", body); res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	if err := json.Unmarshal(got.Uploads["doc"], &doc); err != nil || doc.Error != 6 || doc.TmpName != "" || doc.Size != 0 {
		t.Errorf("%+v %v", doc, err)
	}
}

// TestUploadsAreRemoved after every way to end.
func TestUploadsAreRemoved(t *testing.T) {
	file := formPart("f", "a.txt", "", strings.Repeat("x", 100000))
	for name, body := range map[string]string{
		"answered":  file + "--B--\r\n",
		"conflict":  file + formPart("f[x]", "b.txt", "", "y") + "--B--\r\n",
		"list":      formPart("g[][b]", "a.txt", "", "x") + formPart("g[]", "a.txt", "", "x") + formPart("g", "a.txt", "", "x") + "--B--\r\n",
		"truncated": file,
		"in a part": file[:1000],
		"fields":    file + formPart("a", "", "", "1") + formPart("a[b]", "", "", "1") + "--B--\r\n",
		"too large": file + formPart("g", "b.txt", "", strings.Repeat("x", 1<<20)),
	} {
		for _, exec := range []execFunc{answering(msg(okContext, "ok")), failing(ipc.ErrWorkerFailed)} {
			s := serve(t, Config{MaxRequestSize: 1}, exec)
			res := post(s.dial(t), "POST", "multipart/form-data; boundary=B", body)
			if name != "answered" && res.StatusCode != 400 && res.StatusCode != 413 {
				t.Errorf("%s: %d %q", name, res.StatusCode, res.text)
			}
			s.noFiles(t)
		}
	}
	// The client leaves in the middle of a file.
	s := serve(t, Config{}, failing(ipc.ErrWorkerFailed))
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000\r\n\r\n" + file)
	waitFor(t, "the file", func() bool { list, _ := os.ReadDir(s.dir); return len(list) == 1 })
	_ = c.Close()
	s.noFiles(t)
}

// FuzzMultipart: any body is refused or parsed, and leaves no file.
func FuzzMultipart(f *testing.F) {
	f.Add(formPart("a", "", "", "1") + formPart("f[][x]", "../a\\b.txt", "a/b", "x") + formPart("f[]", "b", "", "y") + "--B--\r\n")
	f.Add("--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx=3Dy=ZZ\r\n--B--")
	f.Add("--B\r\n\r\n\r\n--B--\r\nrest")
	dir := f.TempDir()
	rules := newUploadRules(Uploads{Dir: dir, Forbid: []string{".php"}})
	var m multipartForm
	f.Fuzz(func(t *testing.T, body string) {
		err := m.parse(strings.NewReader(body), map[string]string{"boundary": "B"}, &rules)
		if err == nil {
			for _, b := range [][]byte{m.files.appendJSON(nil, appendUpload), m.fields.appendJSON(nil, appendJSONString)} {
				if !json.Valid(b) {
					t.Errorf("%q", b)
				}
			}
		}
		m.remove()
		if list, _ := os.ReadDir(dir); len(list) > 0 {
			t.Errorf("left: %v", list)
		}
	})
}

func TestGrowBody(t *testing.T) {
	// A client that announces much and sends nothing costs little.
	if n := growth(nil, 1<<40); n > trustedBody+firstBody {
		t.Error(n)
	}
	if n := growth(nil, 100); n > firstBody {
		t.Error(n)
	}
	for _, length := range []int64{-1, 5 << 20, 1000} {
		e := exchange{reader: bodyReader{body: io.LimitReader(zeros{}, max(length, 3<<20)), left: 1 << 40}}
		if length > 0 {
			e.reader.body = io.LimitReader(zeros{}, length)
		}
		got, err := e.readAll(nil, length, 1<<40, nil)
		if want := max(length, 0); err != nil || length > 0 && int64(len(got)) != want {
			t.Errorf("%d: %d %v", length, len(got), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
