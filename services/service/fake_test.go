package service

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakes is a Spawner of processes that do what the test says.
type fakes struct {
	mu      sync.Mutex
	started []*fake
	broken  error        // what Spawn returns
	obeys   map[int]bool // the signals that end a process
}

type fake struct {
	owner   *fakes
	program Program
	pid     int
	done    chan struct{}

	mu      sync.Mutex
	exit    string
	signals []syscall.Signal
}

func (f *fakes) Spawn(p Program) (Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	q := &fake{owner: f, program: p, pid: 100 + len(f.started), done: make(chan struct{})}
	f.started = append(f.started, q)
	return q, nil
}

func (f *fakes) fails(err error) {
	f.mu.Lock()
	f.broken = err
	f.mu.Unlock()
}

func (f *fakes) all() []*fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*fake(nil), f.started...)
}

// last is the process that was started last.
func (f *fakes) last() *fake { a := f.all(); return a[len(a)-1] }

func (q *fake) PID() int              { return q.pid }
func (q *fake) Done() <-chan struct{} { return q.done }

func (q *fake) Exit() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.exit
}

func (q *fake) Signal(s syscall.Signal) {
	q.mu.Lock()
	q.signals = append(q.signals, s)
	q.mu.Unlock()
	if s == syscall.SIGKILL || q.owner.obeys[int(s)] {
		q.end("signal: " + s.String())
	}
}

func (q *fake) end(exit string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.done:
	default:
		q.exit = exit
		close(q.done)
	}
}

func (q *fake) got() []syscall.Signal {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]syscall.Signal(nil), q.signals...)
}

func (q *fake) alive() bool {
	select {
	case <-q.done:
		return false
	default:
		return true
	}
}

func (q *fake) Usage() (uint64, time.Duration, bool) { return 4096, time.Second, q.alive() }

var errBroken = errors.New("fork/exec x: no such file or directory")

// bubble runs a test with a manager in a bubble of synctest. Processes end at
// SIGINT.
func bubble(t *testing.T, test func(*testing.T, *Manager, *fakes)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{obeys: map[int]bool{int(syscall.SIGINT): true}}
		m := New(Options{Spawner: f})
		test(t, m, f)
		m.Close(t.Context())
		for _, q := range f.all() {
			if q.alive() {
				t.Errorf("process %d is left behind", q.pid)
			}
		}
	})
}

func settings(command string, change func(*Settings)) *Settings {
	s := &Settings{Command: []string{command}}
	if change != nil {
		change(s)
	}
	s.Defaults()
	return s
}

func create(t *testing.T, m *Manager, name string, s *Settings) {
	t.Helper()
	if err := m.Create(name, s); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// count fails unless so many processes have been started so far.
func (f *fakes) count(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	if got := len(f.all()); got != want {
		t.Fatalf("%d processes were started, want %d", got, want)
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want %q", err, text)
	}
}
