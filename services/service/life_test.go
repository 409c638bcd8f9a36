package service

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func remain(restart uint64) func(*Settings) {
	return func(s *Settings) { s.RemainAfterExit, s.RestartSec = true, restart }
}

func TestEndedStaysListed(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("true", nil))
		f.last().end("")
		time.Sleep(time.Hour)
		f.count(t, 1)
		list, err := m.Statuses("a")
		if err != nil || len(list) != 1 || list[0].Running || list[0].PID != 100 || list[0].message().Status.Message == "" {
			t.Errorf("%+v %v", list, err)
		}
	})
}

// What rrctl tells its users from: who waits for the next start has not ended for
// good.
func TestStates(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		one := func() Status {
			synctest.Wait()
			return m.Processes()[0]
		}
		create(t, m, "a", settings("false", remain(1)))
		if s := one(); s.State != "running" || !s.NextStart.IsZero() || s.LastEnd != "" {
			t.Errorf("%+v", s)
		}
		for i, wait := range []time.Duration{1, 2, 4} {
			f.last().end("exit status 1")
			if s := one(); s.Running || s.State != "pausing" || !s.NextStart.Equal(time.Now().Add(wait*time.Second)) || s.Failures != i+1 || s.LastEnd != "exit status 1" || s.Failing != (i+1 == failing) {
				t.Errorf("%+v", s)
			}
			time.Sleep(wait * time.Second)
			synctest.Wait() // until it is started
		}
		if err := m.Terminate("a"); err != nil {
			t.Error(err)
		}
		create(t, m, "a", settings("true", nil))
		f.last().end("")
		if s := one(); s.State != "ended" || !s.NextStart.IsZero() || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRestartAfterExit(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("true", remain(7)))
		for i := range 5 {
			time.Sleep(time.Second)
			f.last().end("") // it did its work: no failure, however quick
			time.Sleep(7*time.Second - 1)
			f.count(t, i+1)
			time.Sleep(1)
			f.count(t, i+2)
		}
	})
}

// TestBackoff: failures in a row double the pause, up to RoadRunner's default.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("false", remain(1)))
		for i, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			f.last().end("exit status 1")
			time.Sleep(wait*time.Second - 1)
			f.count(t, i+1)
			if (m.Problem() != "") != (i+1 >= failing) {
				t.Errorf("after %d failures the problem is %q", i+1, m.Problem())
			}
			time.Sleep(1)
			f.count(t, i+2)
		}
		// One that lived is no failure to start.
		time.Sleep(quick - 1)
		if m.Problem() == "" {
			t.Error("a process that has just been started has no problem any more")
		}
		time.Sleep(1)
		if s := m.Processes()[0]; m.Problem() != "" || s.Failing || s.Failures != 0 {
			t.Errorf("it runs, and the problem is still %q: %+v", m.Problem(), s)
		}
		f.last().end("exit status 1")
		time.Sleep(time.Second)
		f.count(t, 9)
		if m.Problem() != "" {
			t.Error(m.Problem())
		}
	})
}

func TestPause(t *testing.T) {
	for _, c := range []struct {
		restart  time.Duration
		failures int
		want     time.Duration
	}{
		{time.Second, 0, time.Second}, {time.Second, 1, time.Second}, {20 * time.Second, 2, maxPause},
		{maxPause, 9, maxPause}, {time.Hour, 9, time.Hour}, {time.Second, 1 << 40, maxPause},
	} {
		if got := pause(c.restart, c.failures); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestStopInThePause: RoadRunner starts the process all the same.
func TestStopInThePause(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("false", remain(5)))
		f.last().end("exit status 1")
		synctest.Wait()
		if err := m.Terminate("a"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		f.count(t, 1)
	})
}

func TestStartThatFailsLater(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("x", remain(1)))
		f.fails(errBroken)
		f.last().end("")
		time.Sleep(10 * time.Second)
		wantError(t, stringError(m.Problem()), errBroken.Error())
		f.fails(nil)
		time.Sleep(maxPause)
		f.count(t, 2)
	})
}

type stringError string

func (s stringError) Error() string { return string(s) }

func TestStopSequence(t *testing.T) {
	for name, c := range map[string]struct {
		obeys []syscall.Signal
		want  []syscall.Signal
		takes time.Duration
	}{
		"INT":  {[]syscall.Signal{syscall.SIGINT}, []syscall.Signal{syscall.SIGINT}, 0},
		"TERM": {[]syscall.Signal{syscall.SIGTERM}, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, 4 * time.Second},
		"none": {nil, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *Manager, f *fakes) {
				f.obeys = map[int]bool{}
				for _, s := range c.obeys {
					f.obeys[int(s)] = true
				}
				create(t, m, "a", settings("x", func(s *Settings) { s.TimeoutStopSec = 8; s.RemainAfterExit = true }))
				begin := time.Now()
				if err := m.Terminate("a"); err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took != c.takes || !slices.Equal(f.last().got(), c.want) {
					t.Errorf("%v after %v", f.last().got(), took)
				}
				time.Sleep(time.Hour)
				f.count(t, 1)
			})
		})
	}
}

func TestExecTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("x", func(s *Settings) {
			s.ExecTimeout, s.RemainAfterExit, s.RestartSec = time.Minute, true, 1
		}))
		time.Sleep(time.Minute + time.Second)
		f.count(t, 2)
		if !slices.Equal(f.all()[0].got(), []syscall.Signal{syscall.SIGINT}) {
			t.Error(f.all()[0].got())
		}
	})
}

// TestCloseStopsAllAtOnce: RoadRunner stops one process after the other.
func TestCloseStopsAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		f.obeys = map[int]bool{}
		create(t, m, "a", settings("x", func(s *Settings) { s.ProcessNum = 10 }))
		create(t, m, "b", settings("x", func(s *Settings) { s.ProcessNum = 10 }))
		begin := time.Now()
		m.Close(t.Context())
		if took := time.Since(begin); took != 5*time.Second {
			t.Error(took)
		}
		wantError(t, m.Create("c", settings("x", nil)), ErrClosed.Error())
	})
	// Hurried it does not wait.
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		f.obeys = map[int]bool{}
		create(t, m, "a", settings("x", func(s *Settings) { s.TimeoutStopSec = 3600 }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		m.Close(ctx)
		if took := time.Since(begin); took != time.Second {
			t.Error(took)
		}
	})
}
