package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     7.21ms    7.12ms 144.57ms   88.40%
    Req/Sec     5.44k     3.14k   12.07k    56.43%
  Latency Distribution
     50%  812.00us
     75%    2.10ms
     90%    3.45ms
     99%    1.02s
  75769 requests in 2.02s, 8.31MB read
Requests/sec:   5402.82
Transfer/sec:    606.76KB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(wrkOutput)
	want := wrkResult{total: 75769, perSecond: 5402.82, p50: 812 * time.Microsecond, p99: 1020 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{
		"",
		"no output of wrk",
		wrkOutput + "  Non-2xx or 3xx responses: 7\n",
		wrkOutput + "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
		strings.ReplaceAll(wrkOutput, "99%", "98%"),
	} {
		if _, err := parseWrk(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
	if _, err := parseWrk(strings.ReplaceAll(wrkOutput, "75769 requests", "0 requests")); !errors.Is(err, errNoRequests) {
		t.Errorf("no requests: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 0 -1 4194560 7 8 9 10 123 45 6 7 20 0 1 0 999"
	for stat, want := range map[string]string{"17 (php-fpm8.2)" + tail: "php-fpm8.2", "17 (a) b (c)" + tail: "a) b (c"} {
		name, cpu, err := parseStat(stat)
		if err != nil || name != want || cpu != 1680*time.Millisecond {
			t.Errorf("%q: %q, %s, %v", stat, name, cpu, err)
		}
	}
	for _, bad := range []string{"", "17 php S", "17 (php) S 1 2", ")(", "17 (php) S 1 2 3 0 -1 4194560 7 8 9 10 x 45 6"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestParsePSS(t *testing.T) {
	text := "55d0c7a1d000-7ffd3a9f5000 ---p 00000000 00:00 0    [rollup]\nRss:   14848 kB\nPss:    5231 kB\nPss_Dirty:  99 kB\n"
	if kib, ok := parsePSS(text); !ok || kib != 5231 {
		t.Errorf("got %v, %v", kib, ok)
	}
	for _, bad := range []string{"", "Pss:", "Pss: many kB", "Pss_Dirty: 5 kB"} {
		if _, ok := parsePSS(bad); ok {
			t.Errorf("%q is no size", bad)
		}
	}
}

func TestEntry(t *testing.T) {
	text := "processor\t: 0\nmodel name\t: AMD EPYC: fast\n"
	if got := entry(text, "model name", ":"); got != "AMD EPYC: fast" {
		t.Errorf("got %q", got)
	}
	if got := entry(text, "cache size", ":"); got != "unknown" {
		t.Errorf("got %q", got)
	}
}
