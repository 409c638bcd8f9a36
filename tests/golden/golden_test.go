package golden_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	dataDir   = flag.String("golden.data", "data", "folder of the recordings")
	filter    = flag.String("golden.run", "", "replay only the cases whose id matches this regular expression")
	update    = flag.Bool("golden.update", false, "rewrite "+notYetFile)
	parallel  = flag.Int("golden.parallel", 4, "servers at a time")
	overrides overrideFlag
)

func init() {
	flag.Var(&overrides, "golden.override", "key=value for `rr serve -o` (repeatable); replaces the two runs with either codec by one")
}

type overrideFlag []string

func (o *overrideFlag) String() string     { return strings.Join(*o, " ") }
func (o *overrideFlag) Set(s string) error { *o = append(*o, s); return nil }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(buildDir)
		os.Exit(code)
	}))
}

var buildDir string // "" until something is built

// built are the programs under test, built once.
var built = sync.OnceValues(func() (b *binaries, err error) {
	if buildDir, err = os.MkdirTemp("", "golden"); err != nil {
		return nil, err
	}
	return build(buildDir)
})

// pass is one run over recordings.
type pass struct {
	name      string
	files     []string
	overrides []string
	codec     byte // of the contexts of HTTP requests
}

func passes() []pass {
	all := []string{"http.jsonl", "worker.jsonl", "rpc.jsonl"}
	if len(overrides) > 0 {
		p := pass{strings.Join(overrides, " "), all, overrides, flagJSON}
		if slices.Contains(overrides, "http.codec=proto") {
			p.codec = flagProto
		}
		return []pass{p}
	}
	return []pass{
		{"http.codec=json (default)", all, nil, flagJSON},
		{"http.codec=proto", []string{"http.jsonl"}, []string{"http.codec=proto"}, flagProto},
	}
}

// serves tells whether a case can be right in this run.
func (p pass) serves(c *goldenCase) bool { return p.codec == flagProto || protoOnly[c.ID] == "" }

// verdict is what a case came to.
type verdict struct {
	c    *goldenCase
	took time.Duration // with the start of the server, if it needed one
	err  error
}

func TestGolden(t *testing.T) {
	only, err := regexp.Compile(*filter)
	if err != nil {
		t.Fatalf("-golden.run: %v", err)
	}
	listed, err := loadNotYet()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	seen := map[string]bool{}
	lastErr := map[string]error{} // by id: not nil if any run failed
	byID := map[string]*goldenCase{}
	for _, p := range passes() {
		t.Run(p.name, func(t *testing.T) {
			var cases []*goldenCase
			for _, file := range p.files {
				list, err := loadCases(*dataDir, file)
				if err != nil {
					t.Fatal(err)
				}
				cases = append(cases, list...)
			}
			cases = slices.DeleteFunc(cases, func(c *goldenCase) bool {
				// What failed in the run before and may do so is not tried again.
				again := listed.has(c.ID) && lastErr[c.ID] != nil
				return !only.MatchString(c.ID) || !p.serves(c) || again
			})
			for _, c := range cases {
				byID[c.ID] = c
				if c.UpstreamBug == "" {
					continue
				}
				improve := better[c.ID]
				if improve == nil {
					t.Fatalf("%s records a mistake of RoadRunner (%s): say in better_test.go what rrd does", c.ID, c.UpstreamBug)
				}
				improve(c)
			}
			verdicts := replayAll(bin, cases, p, listed)
			for _, v := range verdicts {
				seen[v.c.ID] = true
				lastErr[v.c.ID] = errors.Join(lastErr[v.c.ID], v.err)
				if v.err != nil && !listed.has(v.c.ID) {
					t.Errorf("%s: %v", v.c.ID, v.err)
				}
			}
			report(p.name, verdicts, listed)
		})
	}
	var missing []*goldenCase
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		switch {
		case lastErr[id] != nil:
			missing = append(missing, byID[id])
		case listed.has(id) && !*update:
			t.Errorf("%s passes: take it off %s (or run with -golden.update)", id, notYetFile)
		}
	}
	if *update {
		if *filter != "" {
			t.Fatal("-golden.update needs all cases, without -golden.run")
		}
		if err := writeNotYet(missing); err != nil {
			t.Error(err)
		}
	}
	fmt.Printf("golden: %d cases in %s\n", len(seen), time.Since(began).Round(100*time.Millisecond))
}

// replayAll replays the cases, a few servers at a time.
func replayAll(bin *binaries, cases []*goldenCase, p pass, listed notYet) []verdict {
	groups := map[string][]*goldenCase{}
	for _, c := range cases {
		key := c.serverKey()
		if c.Fresh {
			key = c.ID
		}
		groups[key] = append(groups[key], c)
	}
	queue := slices.SortedFunc(maps.Values(groups), func(a, b []*goldenCase) int {
		return cmp.Or(cmp.Compare(cost(b), cost(a)), cmp.Compare(a[0].ID, b[0].ID))
	})
	work := make(chan []*goldenCase)
	var mu sync.Mutex
	var out []verdict
	var wg sync.WaitGroup
	for range max(1, *parallel) {
		wg.Go(func() {
			for group := range work {
				verdicts := replayGroup(bin, group, p, listed)
				mu.Lock()
				out = append(out, verdicts...)
				mu.Unlock()
			}
		})
	}
	for _, group := range queue {
		work <- group
	}
	close(work)
	wg.Wait()
	slices.SortFunc(out, func(a, b verdict) int { return cmp.Compare(a.c.ID, b.c.ID) })
	return out
}

// cost puts what takes long first.
func cost(group []*goldenCase) int {
	n := len(group)
	for _, c := range group {
		for _, s := range c.Steps {
			n += s.MS/20 + 50*s.Timeout
		}
		if c.Handshake == "ignore-stop" {
			n += 500
		}
	}
	return n
}

// replayGroup replays cases that share a server, one after the other. A server
// that failed a case is replaced.
func replayGroup(bin *binaries, group []*goldenCase, p pass, listed notYet) []verdict {
	var out []verdict
	var s *server
	var startErr error
	last := -1 // the case that ran last on s
	stop := func(failed bool) {
		if s == nil {
			return
		}
		if err := s.close(failed); err != nil && last >= 0 && !failed {
			out[last].err = errors.Join(out[last].err, fmt.Errorf("at the end: %w", err))
		}
		s = nil
	}
	for _, c := range group {
		limit := stepLimit
		if listed.has(c.ID) && !*update {
			limit = time.Second // not expected to pass: no long wait for it
		}
		v, began := verdict{c: c}, time.Now()
		if s == nil && startErr == nil {
			if s, v.err = start(bin, c, p.overrides, limit); v.err != nil {
				startErr = fmt.Errorf("start: %w", v.err)
				if s != nil {
					_ = s.close(true)
					s = nil
				}
			}
		}
		if s == nil {
			v.err = startErr
			out = append(out, v)
			continue
		}
		v.err = run(s, c, p.codec, limit)
		v.took = time.Since(began)
		out = append(out, v)
		last = len(out) - 1
		if v.err != nil {
			stop(true)
		}
	}
	stop(false)
	return out
}

// report prints passed, failed and not yet by area.
func report(name string, verdicts []verdict, listed notYet) {
	type counts struct{ passed, failed, notYet int }
	areas := map[string]*counts{}
	for _, v := range verdicts {
		for _, area := range []string{v.c.Area, "total"} {
			if areas[area] == nil {
				areas[area] = new(counts)
			}
			switch n := areas[area]; {
			case v.err == nil:
				n.passed++
			case listed.has(v.c.ID):
				n.notYet++
			default:
				n.failed++
			}
		}
	}
	fmt.Printf("%-28s %7s %7s %7s\n", name, "passed", "failed", "not yet")
	for _, area := range slices.SortedFunc(maps.Keys(areas), func(a, b string) int {
		return cmp.Or(cmp.Compare(boolInt(a == "total"), boolInt(b == "total")), cmp.Compare(a, b))
	}) {
		n := areas[area]
		fmt.Printf("  %-26s %7d %7d %7d\n", area, n.passed, n.failed, n.notYet)
	}
	if testing.Verbose() {
		for _, v := range verdicts {
			if v.took > time.Second {
				fmt.Printf("  slow: %s: %s\n", v.c.ID, v.took.Round(100*time.Millisecond))
			}
			if v.err != nil && listed.has(v.c.ID) {
				fmt.Printf("  not yet: %s: %v\n", v.c.ID, v.err)
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestListIsAllowed: what must pass cannot be put on the list.
func TestListIsAllowed(t *testing.T) {
	listed, err := loadNotYet()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, file := range []string{"http.jsonl", "worker.jsonl", "rpc.jsonl"} {
		cases, err := loadCases(*dataDir, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if !listed.has(c.ID) {
				continue
			}
			if reason(c) == "" {
				t.Errorf("%s is on the list, but there is no reason for it", c.ID)
			}
			for _, glob := range listed {
				if (notYet{glob}).has(c.ID) {
					used[glob] = true
				}
			}
		}
	}
	for _, glob := range listed {
		if !used[glob] {
			t.Errorf("%s fits no case", glob)
		}
	}
}
