package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestProcessors(t *testing.T) {
	p := processors{full: 6, n: 1}
	for _, step := range []struct {
		used  float64
		times int // intervals
		want  int
	}{
		{0.5, 50, 1},  // one is enough
		{0.7, 1, 2},   // a burst is answered at once
		{1.3, 1, 4},   // and again
		{3, 1, 6},     // not beyond what the machine has
		{6, 50, 6},    //
		{2, 50, 6},    // three are not enough for two
		{1.4, 7, 6},   // a lull is no calm
		{2, 1, 6},     //
		{1.4, 8, 3},   // a calm is
		{0.1, 8, 1},   //
		{0, 50, 1},    // never none
		{0.61, 1, 2},  //
		{0.49, 50, 1}, // back where 0.6 is not reached again
	} {
		for range step.times {
			p.next(step.used)
		}
		if p.n != step.want {
			t.Fatalf("after %d intervals with %v in use: %d processors, want %d", step.times, step.used, p.n, step.want)
		}
	}
}

// TestProcessorsOfTheRuntime: a daemon that rests has one, whatever the machine has;
// who sets GOMAXPROCS gets what he asks for.
func TestProcessorsOfTheRuntime(t *testing.T) {
	for env, want := range map[string]string{"": "1", "GOMAXPROCS=3": "3"} {
		a := newSite(t, withMetrics)
		a.unit(newManager(t, filepath.Join(a.dir, "notify")), strings.Fields(env))
		a.hasMetric("go_sched_gomaxprocs_threads " + want)
		a.stop()
	}
}

// TestProcessorsSettle: a steady load ends at a number that can carry it and is
// never left again, whatever the machine has.
func TestProcessorsSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := rapid.IntRange(1, 256).Draw(t, "full")
		p := processors{full: full, n: rapid.IntRange(1, full).Draw(t, "n")}
		used := rapid.Float64Range(0, float64(full)).Draw(t, "used")
		for range 20 * processorsWait {
			p.next(used)
		}
		settled := p.n
		if used > processorsBusy*float64(settled) && settled != full {
			t.Fatalf("%d of %d processors for %v", settled, full, used)
		}
		for range 20 * processorsWait {
			if p.next(used) != settled {
				t.Fatalf("%d of %d processors for %v do not last", settled, full, used)
			}
		}
	})
}
