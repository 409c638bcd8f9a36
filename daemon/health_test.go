package daemon

import "testing"

// The table is written by hand, apart from transition, so that one checks the
// other.
func TestTransitions(t *testing.T) {
	allowed := map[State][]State{
		Starting:  {Ready, Degraded, Draining},
		Ready:     {Ready, Degraded, Reloading, Draining},
		Degraded:  {Ready, Degraded, Reloading, Draining},
		Reloading: {Ready, Degraded, Draining},
		Draining:  {Stopped},
		Stopped:   {},
	}
	for from := Starting; from <= Stopped; from++ {
		for to := Starting; to <= Stopped; to++ {
			want := false
			for _, s := range allowed[from] {
				want = want || s == to
			}
			if err := transition(from, to); (err == nil) != want {
				t.Errorf("%s -> %s: %v, want allowed=%v", from, to, err, want)
			}
		}
	}
}

func TestAssess(t *testing.T) {
	h := newHealth()
	if h.assess("no workers", true) {
		t.Fatal("a starting daemon was judged")
	}
	for _, s := range []State{Ready, Reloading} {
		if err := h.to(s, ""); err != nil {
			t.Fatal(err)
		}
	}
	h.assess("no workers", true)
	if s, _, _ := h.get(); s != Reloading {
		t.Fatalf("state %s during a reload", s)
	}
	_ = h.to(Ready, "")
	if h.assess("http: 3 of 4 workers", false) {
		t.Fatal("a worker that is being replaced makes the daemon degraded")
	}
	if !h.assess("http: 0 of 4 workers", true) {
		t.Fatal("a pool whose workers do not start is not degraded")
	}
	if s, why, _ := h.get(); s != Degraded || why == "" {
		t.Fatalf("state %s, reason %q", s, why)
	}
	if h.assess("http: 0 of 4 workers", false) {
		t.Fatal("the next attempt alone makes it ready")
	}
	if !h.assess("", false) {
		t.Fatal("does not recover")
	}
	if s, why, _ := h.get(); s != Ready || why != "" {
		t.Fatalf("state %s, reason %q", s, why)
	}
}
