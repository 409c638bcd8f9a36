package http

import "testing"

func TestHello(t *testing.T) {
	s := serve(t, Config{}, answering(msg(`{"status":201,"headers":{"X-A":["1","2"]}}`, "hello")))
	res := s.dial(t).do("GET", "/ HTTP/1.1\r\nHost: a", "")
	if res.StatusCode != 201 || res.text != "hello" || len(res.Header["X-A"]) != 2 || res.ContentLength != 5 {
		t.Fatalf("%+v %q", res.Response, res.text)
	}
}
