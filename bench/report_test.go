package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// sample is a report of two contenders, one of which needs a quarter.
func sample() *report {
	slow := measurement{requests: 1000, cpu: 100, php: 60, p50: time.Millisecond, p99: 20 * time.Millisecond, memory: 20, worker: 5}
	fast := measurement{requests: 5500, cpu: 25, php: 10, p50: 200 * time.Microsecond, p99: 900 * time.Microsecond, memory: 60, worker: 7}
	results := []result{{"shm", []measurement{fast, fast}}, {"fpm", []measurement{slow, slow}}}
	return &report{
		o:       &options{rounds: 2, duration: time.Second, workers: 2, starts: 2},
		missing: []string{"rrd & <co>: not here"},
		starts:  []startResult{{variant: "shm", first: []float64{70, 90}, many: []float64{450, 460}, idle: []float64{12, 12}}},
		results: []caseResult{{testCases[0], results}, {testCases[4], results}},
	}
}

func TestReport(t *testing.T) {
	var b strings.Builder
	sample().markdown(&b)
	got := b.String()
	for _, want := range []string{
		"| rrd, php-rrd, shared memory | 5500 (5500-5500) | 5.50 | 25.0 (25.0-25.0) | 0.25 | 10.0 | 200µs | 900µs | 60.0 | 7.00 |",
		"| nginx + php-fpm, opcache | 1000 (1000-1000) | 1.00 |",
		"| hello world, php-rrd over shared memory: CPU, ratio to nginx + php-fpm | <= 0.55 | 0.25 (0.25-0.25) | reached |",
		"| echo 64 KiB, php-rrd: requests/s, ratio to nginx + php-fpm | >= 5.00 | 5.50 (5.50-5.50) | reached |",
		"| start to the first answer, ms | <= 80.0 | 80.0 (70.0-90.0) | reached |",
		"rrd & <co>: not here",
		"  nginx + php-fpm, opcache    ####################------------------------------ 100\n",
		"  rrd, php-rrd, shared memory ########----- 25.0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, line := range strings.Split(got, "\n") {
		if strings.HasPrefix(line, "| ---") && !strings.HasSuffix(line, "--- |") {
			t.Errorf("torn table: %q", line)
		}
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	r := sample()
	labels["shm"] = `a & b <c> "d"`
	defer func(old string) { labels["shm"] = old }("rrd, php-rrd, shared memory")
	for _, r := range []*report{r, {}} {
		d := xml.NewDecoder(strings.NewReader(r.picture()))
		bars := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
				bars++
			}
		}
		// The ground, two parts and two names of them in one panel, two bars in the other.
		if want := 1 + 2*2 + 2 + 2; len(r.results) > 0 && bars != want {
			t.Errorf("%d rectangles, want %d", bars, want)
		}
	}
}

func TestStatistics(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{1, 9, 5, 7}, 6}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v", c.values, got)
		}
	}
	mid, low, high := ratio([]float64{10, 40, 10}, []float64{20, 20, 40})
	if mid != 0.5 || low != 0.25 || high != 2 {
		t.Errorf("ratio: %v (%v-%v)", mid, low, high)
	}
	if mid, _, _ := ratio([]float64{1}, []float64{0}); mid != 0 || math.IsNaN(mid) {
		t.Errorf("ratio to nothing: %v", mid)
	}
	if got := spread([]float64{12.34, 8, 120}, digits); got != "12.3 (8.00-120)" {
		t.Errorf("spread: %s", got)
	}
	for v, want := range map[float64]string{1.2e3: "1µs", 4.567e6: "4.57ms", 45.67e6: "45.7ms", 1.2345e9: "1.23s"} {
		if got := duration(v); got != want {
			t.Errorf("duration(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestChoice(t *testing.T) {
	cases, err := chooseCases("hello,echo-64")
	if err != nil || len(cases) != 3 {
		t.Errorf("%d cases, %v", len(cases), err)
	}
	if _, err := chooseCases("nonsense"); err == nil {
		t.Error("no error for a case that does not exist")
	}
	for _, v := range variants {
		if labels[v.name] == "" {
			t.Errorf("the variant %s has no label", v.name)
		}
	}
	for _, x := range targets {
		if _, err := chooseCases(x.test); err != nil || labels[x.variant] == "" {
			t.Errorf("the target %q is of nothing that is measured", x.text)
		}
	}
	if n := len(browser) + 1; n != 20 { // and Host
		t.Errorf("a browser's request has %d fields", n)
	}
}

func TestScriptAndWorkers(t *testing.T) {
	c := testCase{body: 1 << 10, fields: [][2]string{{"Sec-CH-UA", `"Chromium"`}}}
	script := c.script()
	for _, want := range []string{`string.rep("abcdefghijklmnop", 64)`, `wrk.headers["Sec-CH-UA"] = "\"Chromium\""`, `wrk.method = "POST"`} {
		if !strings.Contains(script, want) {
			t.Errorf("no %s in\n%s", want, script)
		}
	}
	if len(c.bytesToSend()) != 1<<10 {
		t.Errorf("%d bytes", len(c.bytesToSend()))
	}
	got := withWorkers(map[string]string{"a": "pool: {num_workers: 2}}", "b": "pm.max_children = 2\n"}, 64)
	if got["a"] != "pool: {num_workers: 64}}" || got["b"] != "pm.max_children = 64\n" {
		t.Errorf("%v", got)
	}
}

func TestTreeFindsThisProcess(t *testing.T) {
	list := tree([]int{os.Getpid()})
	if len(list) == 0 || list[0].pid != os.Getpid() || list[0].php {
		t.Fatalf("%+v", list)
	}
	if m := pss(list[:1]); m.all <= 0 || m.workers != 0 {
		t.Errorf("memory: %+v", m)
	}
}

func TestFrontendTables(t *testing.T) {
	var b strings.Builder
	protocolTable(&b, []protocolResult{{"HTTP/1.1", []float64{100}, []float64{50}}, {"HTTP/3", []float64{60}, []float64{100}}})
	idleTable(&b, []idleResult{{"fpm", 0.5}}, 10000)
	for _, want := range []string{"| HTTP/3 | 60.0 (60.0-60.0) | 100 (100-100) | 2.00 |", "10000 keep-alive connections", "| nginx + php-fpm, opcache | 0.50 |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if got := gibibytes("25165824 kB"); got != "24 GiB" {
		t.Error(got)
	}
}
