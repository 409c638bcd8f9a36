package daemon

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFileserver: the section alone makes a daemon, and its socket closes with it.
func TestFileserver(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	a := newSite(t, `
version: "3"
fileserver:
  address: `+address+`
  calculate_etag: true
  serve:
    - prefix: /docs
      root: public
      max_age: 60
`)
	if err := os.Mkdir(filepath.Join(a.dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "public", "a.txt"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	a.serve()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + "/docs/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "content" || !strings.HasPrefix(res.Header.Get("Etag"), `"7-`) {
		t.Errorf("%q %v %v", body, res.Header, err)
	}
	a.stop()
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the address is still open")
	}
}
