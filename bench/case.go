package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// testCase is one kind of request.
type testCase struct {
	name   string
	app    string // the application that serves it
	about  string
	path   string
	fields [][2]string
	body   int    // bytes; 0 is a GET
	answer string // what the answer must be, "" for the body that was sent
	length int    // of the answer; -1: only answer counts; else its bytes
	conns  int
	longer int // factor of the duration: few requests fit into it
}

const (
	plain   = "plain"
	symfony = "symfony"
)

// browser is what a browser sends with a request for a page: 20 fields.
var browser = [][2]string{
	{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
	{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"},
	{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"},
	{"Accept-Encoding", "gzip, deflate, br, zstd"},
	{"Cache-Control", "max-age=0"},
	{"Cookie", "user=alice; theme=dark; session=5f2b9c0e7a1d4c3b8e6f0a9d2c4b6e8f; _ga=GA1.1.1234567890.1700000000; consent=yes%2Call; cart=3"},
	{"DNT", "1"},
	{"Pragma", "no-cache"},
	{"Priority", "u=0, i"},
	{"Referer", "https://shop.example.com/products?category=clocks&page=2"},
	{"Sec-CH-UA", `"Chromium";v="131", "Not_A Brand";v="24"`},
	{"Sec-CH-UA-Mobile", "?0"},
	{"Sec-CH-UA-Platform", `"Linux"`},
	{"Sec-Fetch-Dest", "document"},
	{"Sec-Fetch-Mode", "navigate"},
	{"Sec-Fetch-Site", "same-origin"},
	{"Sec-Fetch-User", "?1"},
	{"Upgrade-Insecure-Requests", "1"},
	{"X-Forwarded-For", "203.0.113.7"},
}

const hello = "Hello, World!"

var testCases = []*testCase{
	{name: "hello-32", app: plain, about: "hello world, GET", path: "/hello", answer: hello, length: len(hello), conns: 32},
	{name: "hello-1", app: plain, about: "hello world, GET, one connection", path: "/hello", answer: hello, length: len(hello), conns: 1},
	{name: "browser-32", app: plain, about: "a browser's request: 20 fields, 6 cookies", path: "/browser", fields: browser,
		answer: "<p>Hello, alice, your theme is dark</p>", length: 39, conns: 32},
	{name: "echo-1K", app: plain, about: "POST 1 KiB and get it back", path: "/echo", body: 1 << 10, length: 1 << 10, conns: 32},
	{name: "echo-64K", app: plain, about: "POST 64 KiB and get it back", path: "/echo", body: 64 << 10, length: 64 << 10, conns: 16},
	{name: "echo-1M", app: plain, about: "POST 1 MiB and get it back", path: "/echo", body: 1 << 20, length: 1 << 20, conns: 8},
	{name: "echo-10M", app: plain, about: "POST 10 MiB and get it back", path: "/echo", body: 10 << 20, length: 10 << 20, conns: 4, longer: 2},
	{name: "download-10M", app: plain, about: "GET 10 MiB", path: "/download", answer: "0123456789abcdef", length: 10 << 20, conns: 4, longer: 2},
	{name: "symfony-json", app: symfony, about: "Symfony 5.4, JSON of 433 bytes", path: "/json", answer: "{", length: -1, conns: 32},
	{name: "symfony-page", app: symfony, about: "Symfony 5.4, a Twig page of 10 KB", path: "/page", answer: "<!doctype html", length: -1, conns: 32},
}

func caseNames() (names []string) {
	for _, c := range testCases {
		names = append(names, c.name)
	}
	return names
}

// chooseCases returns those whose names begin with one of the given ones.
func chooseCases(list string) ([]*testCase, error) {
	if list == "" {
		return testCases, nil
	}
	var chosen []*testCase
	for _, c := range testCases {
		if begins(c.name, list) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-cases %s: no such case, there are %s", list, strings.Join(caseNames(), ", "))
	}
	return chosen, nil
}

// begins tells whether name begins with one of list, or list is empty.
func begins(name, list string) bool {
	return list == "" || slices.ContainsFunc(strings.Split(list, ","), func(w string) bool { return w != "" && strings.HasPrefix(name, w) })
}

// bytesToSend is the body of a case.
func (c *testCase) bytesToSend() []byte {
	if c.body == 0 {
		return nil
	}
	return bytes.Repeat([]byte("abcdefghijklmnop"), c.body/16)
}

// script makes wrk send the case.
func (c *testCase) script() string {
	var b strings.Builder
	if c.body > 0 {
		fmt.Fprintf(&b, "wrk.method = \"POST\"\nwrk.body = string.rep(\"abcdefghijklmnop\", %d)\n", c.body/16)
		fmt.Fprintf(&b, "wrk.headers[\"Content-Type\"] = \"application/octet-stream\"\n")
	}
	for _, f := range c.fields {
		fmt.Fprintf(&b, "wrk.headers[%q] = %q\n", f[0], f[1])
	}
	return b.String()
}

// verify makes one request and compares the answer: a server that answers nonsense
// may be very quick.
func (c *testCase) verify(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	method, sent := http.MethodGet, c.bytesToSend()
	if sent != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url(c.path), bytes.NewReader(sent))
	if err != nil {
		return err
	}
	for _, f := range c.fields {
		req.Header.Set(f[0], f[1])
	}
	if sent != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := []byte(c.answer)
	if c.answer == "" {
		want = sent
	}
	if resp.StatusCode != 200 || !bytes.HasPrefix(got, want) || c.length >= 0 && len(got) != c.length {
		return fmt.Errorf("%s %s: status %s and %d bytes (%.60q...), not %d bytes like %.60q", method, c.path, resp.Status, len(got), got, c.length, want)
	}
	return nil
}
