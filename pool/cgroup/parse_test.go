package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	const stat = "anon 1024\nfile 2048\ninactive_file 77\ninactive_file_x 5\nlast 9"
	for key, want := range map[string]uint64{"anon": 1024, "inactive_file": 77, "last": 9} {
		if got, ok := lookup([]byte(stat), key); !ok || got != want {
			t.Errorf("%s: %d, %v", key, got, ok)
		}
	}
	for _, key := range []string{"ano", "inactive", "none", ""} {
		if got, ok := lookup([]byte(stat), key); ok {
			t.Errorf("%q: found %d", key, got)
		}
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "42\n": 42, "18446744073709551615": 1<<64 - 1} {
		if got, ok := number([]byte(text)); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "\n", "max", "-1", "1 2", "18446744073709551616", "99999999999999999999", "1\n\n"} {
		if got, ok := number([]byte(text)); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestCores(t *testing.T) {
	for text, want := range map[string]float64{"150000 100000\n": 1.5, "50000 100000": 0.5} {
		if got, ok := cores([]byte(text)); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"max 100000\n", "", "1", "1 0", "0 1"} {
		if got, ok := cores([]byte(text)); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPressure(t *testing.T) {
	p, ok := parsePressure([]byte("some avg10=1.50 avg60=0.25 avg300=0.00 total=1500000\nfull avg10=0.50 avg60=0.00 avg300=0.10 total=7 new=1\n"))
	want := Pressure{Some: Stall{1.5, 0.25, 0, 1500 * time.Millisecond}, Full: Stall{0.5, 0, 0.1, 7 * time.Microsecond}}
	if !ok || *p != want {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, text := range []string{"", "other avg10=1", "some avg10=x", "some total=-1", "some avg10=NaN", "full avg60=101"} {
		if p, ok := parsePressure([]byte(text)); ok {
			t.Errorf("%q: %+v", text, p)
		}
	}
}

func TestIncidents(t *testing.T) {
	const linux61 = "low 0\nhigh 3\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n"
	const linux510 = "low 0\nhigh 3\nmax 12\noom 1\noom_kill 2\n"
	for _, c := range []struct {
		text  string
		group bool
		want  uint64
	}{{linux61, true, 1}, {linux61, false, 2}, {linux510, true, 1}, {linux510, false, 2}} {
		e, ok := parseEvents([]byte(c.text))
		if !ok || e.high != 3 || e.oom != 1 || e.incidents(c.group) != c.want {
			t.Errorf("%q %v: %+v, %d", c.text, c.group, e, e.incidents(c.group))
		}
	}
	if _, ok := parseEvents([]byte("oom 1\n")); ok {
		t.Error("a file without oom_kill")
	}
}

// fake makes a folder with interface files.
func fake(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUsageOfFiles(t *testing.T) {
	dir := fake(t, t.TempDir(), map[string]string{
		"memory.current": "1000\n", "memory.stat": "anon 500\ninactive_file 300\n", "memory.peak": "4000\n",
		"cpu.stat": "usage_usec 2000000\nuser_usec 1\nthrottled_usec 5000\n", "pids.current": "3\n",
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
		"memory.max":      "5000\n", "memory.events": "high 0\noom 0\noom_kill 1\noom_group_kill 1\n",
	})
	l := &Leaf{dir: dir, group: true}
	u, ok := l.Usage()
	if !ok || u.Memory != 1000 || u.Working != 700 || u.Peak != 4000 || u.CPU != 2*time.Second ||
		u.Throttled != 5*time.Millisecond || u.Processes != 3 || u.CPUPressure != nil || u.MemoryPressure == nil {
		t.Errorf("%+v, %v", u, ok)
	}
	if sum, ok := (&Pool{dir: dir}).Usage(); !ok || sum.Memory != u.Memory || sum.Peak != u.Peak || sum.CPU != u.CPU {
		t.Errorf("of the pool: %+v, %v", sum, ok)
	}
	o, ok := l.OOM()
	if !ok || o != (OOM{Incidents: 1, OwnLimit: false, Peak: 4000, Limit: 5000}) {
		t.Errorf("%+v, %v", o, ok)
	}

	// Linux before 5.19 keeps no peak.
	os.Remove(filepath.Join(dir, "memory.peak"))
	fake(t, dir, map[string]string{"memory.current": "800\n"})
	if u, _ := l.Usage(); u.Memory != 800 || u.Working != 500 || u.Peak != 1000 {
		t.Errorf("%+v", u)
	}
	var err error
	if l.current, err = os.Open(filepath.Join(dir, "memory.current")); err != nil {
		t.Fatal(err)
	}
	defer l.current.Close()
	for limit, want := range map[uint64]bool{801: false, 501: false, 500: true} {
		if over, ok := l.Over(limit); over != want || !ok {
			t.Errorf("over %d: %v, %v", limit, over, ok)
		}
	}
}

func TestBudgetOfFiles(t *testing.T) {
	top := fake(t, t.TempDir(), map[string]string{"memory.max": "max\n", "cpu.max": "max 100000\n"})
	slice := fake(t, filepath.Join(top, "rr.slice"), map[string]string{"memory.max": "8000\n", "memory.high": "6000\n", "cpu.max": "150000 100000\n"})
	unit := fake(t, filepath.Join(slice, "rr@app.service"), map[string]string{"memory.max": "7000\n", "memory.high": "max\n", "cpu.max": "200000 100000\n"})
	inside := func(dir string) bool { return strings.HasPrefix(dir, top) }
	b := Budget{Memory: 1 << 40, CPU: 16}
	if b.within(unit, inside); b != (Budget{6000, 1.5}) {
		t.Errorf("%+v", b)
	}
	b = Budget{Memory: 5000, CPU: 1}
	if b.within(unit, inside); b != (Budget{5000, 1}) {
		t.Errorf("%+v", b)
	}
	b = Budget{Memory: 5000, CPU: 1}
	if b.within(filepath.Join(top, "rr.slice"), func(string) bool { return false }); b != (Budget{5000, 1}) {
		t.Errorf("%+v", b)
	}
}

func TestEscape(t *testing.T) {
	for name, want := range map[string]string{"http": "http", "my_pool-2": "my_pool-2", "a.b": "a%2Eb", "../x": "%2E%2E%2Fx", "": "%", "%": "%25"} {
		if got := escape(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestVersion1(t *testing.T) {
	const hybrid = "9:name=systemd:/x\n7:blkio:/\n4:memory:/a:b\n1:cpu,cpuacct:/\n0::/x\n"
	for controller, want := range map[string]bool{"memory": true, "io": true, "cpu": true, "pids": false, "": false} {
		if got := inVersion1(hybrid, controller); got != want && controller != "" {
			t.Errorf("%s: %v", controller, got)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("low 0\nhigh 3\noom 1\noom_kill 2\noom_group_kill 1\n"), "oom")
	f.Add([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=1.00 total=1\n"), "some")
	f.Add([]byte("usage_usec 2000000\nuser_usec 1\n"), "usage_usec")
	f.Add([]byte("150000 100000\n"), "150000")
	f.Add([]byte("4:memory:/\n0::/\n"), "memory")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		if _, ok := lookup(b, key); ok && !strings.Contains(string(b), key+" ") {
			t.Errorf("found %q", key)
		}
		if c, ok := cores(b); ok && !(c > 0) {
			t.Errorf("%v cores", c)
		}
		if p, ok := parsePressure(b); ok {
			for _, s := range []Stall{p.Some, p.Full} {
				if s.Total < 0 || !(s.Avg10 >= 0 && s.Avg10 <= 100) {
					t.Errorf("%+v", s)
				}
			}
		}
		e, _ := parseEvents(b)
		if e.incidents(true) > 0 && e.oomKill == 0 && e.oomGroup == 0 {
			t.Errorf("%+v", e)
		}
		inVersion1(string(b), key)
		descriptors(b)
		var c CPU
		_ = c.UnmarshalText(b)
		if name := escape(key); strings.ContainsAny(name, "./\x00") || name == "" {
			t.Errorf("%q", name)
		}
	})
}

func BenchmarkOver(b *testing.B) {
	dir := b.TempDir()
	os.WriteFile(filepath.Join(dir, "memory.current"), []byte("1000000\n"), 0o644)
	f, err := os.Open(filepath.Join(dir, "memory.current"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	l := &Leaf{dir: dir, current: f}
	b.ReportAllocs()
	for b.Loop() {
		l.Over(1 << 30)
	}
}
