package pool

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestCrashLoopWindow(t *testing.T) {
	var c crashLoop
	now := time.Unix(1000, 0)
	for range 4 + crashSpare - 1 { // each of four workers once, and four more
		c.failed(now, 4)
	}
	if c.is(now) {
		t.Error("an accident is taken for a loop")
	}
	c.failed(now.Add(crashWindow), 4)
	if c.is(now.Add(crashWindow)) {
		t.Error("old failures count")
	}
	now = now.Add(2 * crashWindow)
	for range 4 + crashSpare {
		c.failed(now, 4)
	}
	if text := c.text(now); !strings.HasPrefix(text, "9 failures") {
		t.Errorf("got %q", text)
	}
	now = now.Add(crashQuiet - 1)
	if !c.is(now) {
		t.Error("the loop is forgotten too soon")
	}
	if now = now.Add(1); c.is(now) || c.text(now) != "" {
		t.Error("the loop has no end")
	}
	c.failed(now, 4)
	if c.is(now) {
		t.Error("the failures before its end count")
	}
	for range 10000 {
		c.failed(now, 4)
	}
	if len(c.failures) > 4*(4+crashSpare)+1 {
		t.Errorf("%d failures are kept", len(c.failures))
	}
}

// A request that kills its worker costs that worker only: the pool says that
// something is wrong, and goes on to answer the others without a pause.
func TestPoisonousRequests(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 2})
	for range 2 + crashSpare + 3 {
		mustDo(t, p, "echo") // what is killed has answered
		mustDo(t, p, "echo")
		if _, err := do(p, "segv"); err == nil {
			t.Fatal("no error")
		}
	}
	eventually(t, "the loop to be told", func() bool {
		text := p.Stats().CrashLoop
		return strings.Contains(text, "segmentation fault") && strings.Contains(text, "in TEST segv")
	})
	p.mu.Lock()
	equal(t, "pause before a start", p.backoff, 0)
	p.mu.Unlock()
	mustDo(t, p, "echo")
	eventually(t, "all workers", func() bool { s := p.Stats(); return s.Ready == 2 })
	p.mu.Lock()
	p.crashes.last = p.crashes.last.Add(-crashQuiet) // instead of waiting
	p.mu.Unlock()
	equal(t, "loop", p.Stats().CrashLoop, "")
}

// Workers that fail before they have answered anything are started more and
// more slowly.
func TestCrashLoopSlowsDown(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	slowed := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.backoff >= 2*minBackoff && p.crashes.text(time.Now()) != ""
	}
	began := time.Now()
	limit, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !slowed() {
		if _, err := doCtx(limit, p, "segv"); limit.Err() != nil {
			t.Fatalf("no loop is told, or no pause is made: %v", err)
		}
	}
	if n, seconds := len(r.all(WorkerStopped)), int(time.Since(began).Seconds())+3; n > 7*seconds {
		t.Errorf("%d workers were used up in %d seconds", n, seconds)
	}
	eventually(t, "a worker again", func() bool { return p.Stats().Ready == 1 })
	if _, err := do(p, "echo"); err != nil {
		t.Error(err)
	}
}
