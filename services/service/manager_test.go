package service

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCreateTerminateList(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "b", settings("x", func(s *Settings) { s.ProcessNum = 3 }))
		create(t, m, "a", settings("y", nil))
		f.count(t, 4)
		wantError(t, m.Create("a", settings("z", nil)), "the service with a name already exists")
		if got := m.List(); !slices.Equal(got, []string{"a", "b"}) {
			t.Error(got)
		}
		if got := m.Processes(); len(got) != 4 || got[0].Command != "y" || got[0].Memory != 4096 || !got[3].Running {
			t.Errorf("%+v", got)
		}
		if err := m.Terminate("b"); err != nil {
			t.Error(err)
		}
		for _, do := range []func(string) error{m.Terminate, m.Restart} {
			wantError(t, do("b"), "the service with b name doesn't exist")
		}
		_, err := m.Statuses("b")
		wantError(t, err, "the service with b name doesn't exist")
		create(t, m, "b", settings("x", nil)) // the name is free again
	})
}

func TestCreateIsWholeOrNothing(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		n := 0
		m.opts.Spawner = spawnFunc(func(p Program) (Process, error) {
			if n++; n == 3 {
				return nil, errBroken
			}
			return f.Spawn(p)
		})
		if err := m.Create("a", settings("x", func(s *Settings) { s.ProcessNum = 5; s.RemainAfterExit = true })); err != errBroken {
			t.Error(err)
		}
		f.count(t, 2)
		for _, q := range f.all() {
			if q.alive() {
				t.Errorf("%d runs", q.pid)
			}
		}
		if len(m.List()) != 0 {
			t.Error(m.List())
		}
	})
}

type spawnFunc func(Program) (Process, error)

func (f spawnFunc) Spawn(p Program) (Process, error) { return f(p) }

// TestRestartOneByOne: of several processes all but one run at any time.
func TestRestartOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		least := 3
		m.opts.Spawner = spawnFunc(func(p Program) (Process, error) {
			alive := 0
			for _, q := range f.all() {
				if q.alive() {
					alive++
				}
			}
			if len(f.all()) >= 3 {
				least = min(least, alive)
			}
			return f.Spawn(p)
		})
		create(t, m, "a", settings("x", func(s *Settings) { s.ProcessNum = 3 }))
		f.last().end("exit status 1") // an ended one is started again
		least = 3
		if err := m.Restart("a"); err != nil {
			t.Error(err)
		}
		f.count(t, 6)
		if least != 1 { // the third had ended by itself
			t.Errorf("only %d ran", least)
		}
		for _, s := range m.Processes() {
			if !s.Running || s.PID < 103 {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestRestartThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		create(t, m, "a", settings("x", remain(1)))
		create(t, m, "b", settings("x", nil))
		f.fails(errBroken)
		wantError(t, m.RestartAll(), errBroken.Error())
		f.fails(nil)
		time.Sleep(time.Second)
		f.count(t, 3) // a is to remain: it is tried again
		if err := m.Restart("b"); err != nil {
			t.Error(err)
		}
		f.count(t, 4)
	})
}

func TestApply(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		conf := func(pairs ...string) Config {
			c := Config{Services: map[string]*Settings{}}
			for i := 0; i < len(pairs); i += 2 {
				c.Services[pairs[i]] = settings(pairs[i+1], nil)
			}
			return c
		}
		if err := m.Start(conf("same", "one", "changed", "one", "gone", "one")); err != nil {
			t.Fatal(err)
		}
		create(t, m, "created", settings("rpc", nil))
		if err := m.Apply(conf("same", "one", "changed", "two", "new", "one")); err != nil {
			t.Error(err)
		}
		commands := map[string]string{}
		for _, p := range m.Processes() {
			if !p.Running || p.PID < 104 {
				t.Errorf("%+v", p)
			}
			commands[p.Service] = p.Command
		}
		if len(commands) != 4 || commands["changed"] != "two" || commands["created"] != "rpc" || commands["new"] != "one" {
			t.Error(commands)
		}
	})
}

// TestManyCallers: whatever they do at once, nothing is left behind.
func TestManyCallers(t *testing.T) {
	bubble(t, func(t *testing.T, m *Manager, f *fakes) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				name := string(rune('a' + i%3))
				for range 20 {
					_ = m.Create(name, settings("x", func(s *Settings) { s.ProcessNum = 2; s.RemainAfterExit = i%2 == 0 }))
					_ = m.Restart(name)
					_, _ = m.Statuses(name)
					m.Problem()
					_ = m.Terminate(name)
				}
			})
		}
		wg.Go(func() { _ = m.RestartAll() })
		wg.Wait()
	})
}

func TestConfig(t *testing.T) {
	c := Config{Services: map[string]*Settings{"a": {Command: []string{"x  y"}, ProcessNum: -3, RestartSec: 1 << 63}}}
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	a := c.Services["a"]
	if a.ProcessNum != 1 || a.stop() != 5*time.Second || a.restart() <= 0 || !slices.Equal(a.argv(), []string{"x", "", "y"}) {
		t.Errorf("%+v", a)
	}
	if s := settings("x", nil); s.RestartSec != 30 {
		t.Errorf("%+v", s)
	}
	for text, bad := range map[string]*Settings{
		"a.command: ":      {},
		"a.process_num: ":  {Command: []string{"x"}, ProcessNum: MostProcesses + 1},
		"a.exec_timeout: ": {Command: []string{"x"}, ExecTimeout: -1},
		"a.env: ":          {Command: []string{"x"}, Env: map[string]string{"A=B": "c"}},
	} {
		c := Config{Services: map[string]*Settings{"a": bad}}
		c.Defaults()
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}
