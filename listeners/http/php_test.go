package http

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
)

// How many random inputs the tests against PHP take; `make property` takes
// 100,000 of each.
var (
	randomForms      = flag.Int("http.forms", 2000, "random urlencoded forms to compare with PHP's parse_str")
	randomMultiparts = flag.Int("http.multiparts", 80, "random multipart forms to compare with PHP's $_POST and $_FILES")
	randomSeed       = flag.Uint64("http.seed", 1, "seed of the random forms")
)

// TestFormLikePHP compares the trees of random forms with PHP's parse_str,
// over names that both read the same way.
func TestFormLikePHP(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Fatal("php is needed: ", err)
	}
	rnd := rand.New(rand.NewPCG(*randomSeed, 2))
	cmd := exec.Command(php, "-n", "-r", `
		while (($line = fgets(STDIN)) !== false) {
			$p = json_decode($line, true);
			parse_str($p['Form'], $want);
			if (json_decode($p['Tree'], true) !== $want)
				echo $p['Form'], "\n  PHP ", json_encode($want), "\n  got ", $p['Tree'], "\n";
		}`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewEncoder(in)
	for compared := 0; compared < *randomForms; {
		form := randomForm(rnd)
		tree, err := formJSON(form)
		if err != nil {
			continue // PHP lets the last structure win, RoadRunner refuses
		}
		compared++
		if err := lines.Encode(struct{ Form, Tree string }{form, tree}); err != nil {
			break // PHP has ended, and says why
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil || out.Len() > 0 {
		t.Errorf("%v\n%.3000s", err, out.String())
	}
}

// randomKey is a key in brackets, percent-encoded. PHP and RoadRunner read all
// of them the same way; brackets, blanks and dots are for other tests.
func randomKey(rnd *rand.Rand) string {
	const alphabet = "aabbc019_-äß€'\"<>&=+%/:;\\{}"
	runes := []rune(alphabet)
	var b strings.Builder
	for range 1 + rnd.IntN(3) {
		b.WriteRune(runes[rnd.IntN(len(runes))])
	}
	return url.QueryEscape(b.String())
}

func randomForm(rnd *rand.Rand) string {
	keys := []string{"a", "b", "x-1", "0", "7", "-3", "08", "ä", ""}
	var b strings.Builder
	for i := range 1 + rnd.IntN(7) {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(keys[rnd.IntN(2)])
		for depth := rnd.IntN(5); depth > 0; depth-- {
			key := keys[rnd.IntN(len(keys))]
			if rnd.IntN(4) == 0 {
				key = randomKey(rnd)
			}
			if depth > 1 && key == "" {
				// RoadRunner's a[][] is not PHP's; a[][b] is.
				fmt.Fprintf(&b, "[][%s]", keys[rnd.IntN(2)])
				break
			}
			fmt.Fprintf(&b, "[%s]", key)
		}
		fmt.Fprintf(&b, "=v%d%%20+%%26%s", i, randomKey(rnd))
	}
	return b.String()
}

// TestMultipartLikePHP posts random forms with files to PHP's own server and
// to ours.
func TestMultipartLikePHP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	php := exec.Command("php", "-n", "-d", "log_errors=0", "-S", addr, "testdata/oracle.php")
	if err := php.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = php.Process.Kill()
		_ = php.Wait()
	}()
	waitFor(t, "PHP's server", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})

	type result struct {
		Post  any
		Files map[string]string
	}
	var ours result
	s := serve(t, Config{}, execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		var ctx struct{ Uploads any }
		if err := json.Unmarshal(p.Context, &ctx); err != nil {
			t.Error(err)
		}
		ours = result{Post: map[string]any{}, Files: map[string]string{}}
		if len(p.Body) > 0 {
			if err := json.Unmarshal(p.Body, &ours.Post); err != nil {
				t.Error(err)
			}
		}
		flatten("", ctx.Uploads, ours.Files)
		return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
	}))
	rnd := rand.New(rand.NewPCG(*randomSeed+2, 4))
	client := s.client(t, false)
	for compared := 0; compared < *randomMultiparts; {
		body := randomMultipart(rnd)
		post := func(url string) (int, []byte) {
			res, err := client.Post(url, "multipart/form-data; boundary=B", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, b
		}
		if status, _ := post(s.url); status != 200 {
			continue
		}
		compared++
		_, b := post("http://" + addr)
		var want result
		var raw struct{ Post, Files json.RawMessage }
		if err := json.Unmarshal(b, &raw); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		_ = json.Unmarshal(raw.Post, &want.Post)
		_ = json.Unmarshal(raw.Files, &want.Files) // [] when empty
		if !reflect.DeepEqual(shape(ours.Post), shape(want.Post)) || fmt.Sprint(ours.Files) != fmt.Sprint(want.Files) {
			t.Errorf("%s\n got %v %v\nwant %v %v", body, ours.Post, ours.Files, want.Post, want.Files)
		}
	}
}

// shape is v as a PHP array: a JSON list and an object with the keys 0, 1, ...
// are the same.
func shape(v any) any {
	switch v := v.(type) {
	case []any:
		m := map[string]any{}
		for i, e := range v {
			m[fmt.Sprint(i)] = shape(e)
		}
		return m
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = shape(e)
		}
		return m
	}
	return v
}

func flatten(path string, v any, out map[string]string) {
	m, ok := shape(v).(map[string]any)
	if !ok {
		return
	}
	if _, ok := m["tmpName"]; ok {
		out[path] = fmt.Sprint(m["name"], " ", m["size"], " ", m["error"])
		return
	}
	for k, e := range m {
		flatten(strings.TrimPrefix(path+"/"+k, "/"), e, out)
	}
}

func randomMultipart(rnd *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + rnd.IntN(6) {
		name, _, _ := strings.Cut(randomForm(rnd), "=")
		value := strings.Repeat("v\r\n-", rnd.IntN(4)) + fmt.Sprint(i)
		if rnd.IntN(2) == 0 {
			b.WriteString(formPart(name, "", "", value))
			continue
		}
		n := fmt.Sprint(i)
		name = []string{"f" + n, "g[]", "g[]", "h[" + n + "]", "k[x][]", "l[x][" + n + "]", "m[][n]", "o[x][][y" + n + "]", "p[" + n + "][q][]"}[rnd.IntN(9)]
		b.WriteString(formPart(name, fmt.Sprintf("dir/n%d.txt", i), "a/b", value))
	}
	return b.String() + "--B--\r\n"
}
