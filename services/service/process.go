package service

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// state of a process; the diagram is in the package's documentation.
type state uint8

const (
	stopped state = iota
	running
	pausing // until it is started again
	ended   // by itself, for good
)

func (s state) String() string { return [...]string{"stopped", "running", "pausing", "ended"}[s] }

// quick is how long a process must live for its end not to count as a failure to
// start.
const quick = 10 * time.Second

// maxPause bounds the pauses that failures lengthen. It is RoadRunner's default
// pause, so nobody waits longer for a restart than there.
const maxPause = 30 * time.Second

// pause is the time before the next start, after so many failures in a row: it
// doubles from restart_sec up to maxPause.
func pause(restart time.Duration, failures int) time.Duration {
	for range failures - 1 {
		if restart >= maxPause {
			break
		}
		restart = min(2*restart, maxPause)
	}
	return restart
}

// process is one copy of a service's command.
type process struct {
	service  string
	settings *Settings
	spawner  Spawner
	log      *slog.Logger
	changed  func() // something happened that Problem tells of

	// The group's mutex guards these two.
	quit context.CancelFunc
	done chan struct{} // nil if nobody looks after the process

	mu       sync.Mutex
	state    state
	current  Process // the last one if none runs
	started  time.Time
	next     time.Time // start, while it is pausing
	failures int       // in a row
	why      string    // the last end
}

// start starts the process, and somebody who looks after it. With again it is
// tried again later when that fails, if the service is to remain; the error is
// returned all the same. hurried ends when a stop may not take its time.
func (p *process) start(wg *sync.WaitGroup, hurried context.Context, again bool) error {
	first, err := p.spawn()
	if err != nil {
		if !again || !p.settings.RemainAfterExit {
			return err
		}
		p.failed(err)
	}
	quit, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.quit, p.done = cancel, done
	wg.Go(func() {
		defer close(done)
		p.run(quit, hurried, first)
	})
	return err
}

// halt stops the process and returns when it is gone, and nobody will start it
// again.
func (p *process) halt() {
	if p.done == nil {
		return
	}
	p.quit()
	<-p.done
	p.done = nil
}

func (p *process) spawn() (Process, error) {
	proc, err := p.spawner.Spawn(Program{
		Argv: p.settings.argv(), Env: p.settings.Env, User: p.settings.User,
		Output: p.output,
	})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.state, p.current, p.started = running, proc, time.Now()
	p.mu.Unlock()
	p.log.Debug("service process started", logkey.Service, p.service, logkey.Worker, proc.PID())
	return proc, nil
}

// output logs what a process writes, a record a line.
func (p *process) output(pid int, chunk []byte) {
	for line := range strings.Lines(string(chunk)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			p.log.Info(line, logkey.Service, p.service, logkey.Worker, pid)
		}
	}
}

// run looks after the process until quit ends, or it has ended for good. proc is
// nil if the start has failed.
func (p *process) run(quit, hurried context.Context, proc Process) {
	for {
		if proc != nil && !p.watch(quit, hurried, proc) {
			p.is(stopped)
			return
		}
		if proc != nil && !p.ended(proc) {
			return
		}
		p.mu.Lock()
		wait := pause(p.settings.restart(), p.failures)
		p.mu.Unlock()
		if !sleep(quit, wait) {
			p.is(stopped)
			return
		}
		var err error
		if proc, err = p.spawn(); err != nil {
			p.failed(err)
		}
	}
}

// failed records that the process could not be started.
func (p *process) failed(err error) {
	p.mu.Lock()
	p.state, p.why = pausing, err.Error()
	p.failures++
	wait := pause(p.settings.restart(), p.failures)
	p.next = time.Now().Add(wait)
	p.mu.Unlock()
	p.log.Error("cannot start a service process", logkey.Service, p.service, logkey.Error, err, "next_start_in", wait.String())
	p.changed()
}

// watch returns when proc is gone: true if it ended, by itself or for want of
// time, false if it was to stop.
func (p *process) watch(quit, hurried context.Context, proc Process) bool {
	var limit <-chan time.Time
	if p.settings.ExecTimeout > 0 {
		t := time.NewTimer(p.settings.ExecTimeout)
		defer t.Stop()
		limit = t.C
	}
	select {
	case <-proc.Done():
		return quit.Err() == nil
	case <-quit.Done():
		p.terminate(hurried, proc)
		return false
	case <-limit:
		p.log.Warn("service process is stopped, it took longer than exec_timeout",
			logkey.Service, p.service, logkey.Worker, proc.PID(), "exec_timeout", p.settings.ExecTimeout.String())
		p.terminate(hurried, proc)
		return quit.Err() == nil
	}
}

// terminate ends a process with all that it started.
func (p *process) terminate(hurried context.Context, proc Process) {
	half := p.settings.stop() / 2
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if hurried.Err() != nil {
			break
		}
		proc.Signal(sig)
		t := time.NewTimer(half)
		select {
		case <-proc.Done():
		case <-hurried.Done():
		case <-t.C:
		}
		t.Stop()
		select {
		case <-proc.Done():
			return
		default:
		}
	}
	if hurried.Err() == nil {
		p.log.Warn("service process is killed, it did not end within timeout_stop_sec",
			logkey.Service, p.service, logkey.Worker, proc.PID(), "timeout_stop_sec", p.settings.TimeoutStopSec)
	}
	proc.Signal(syscall.SIGKILL)
	<-proc.Done()
}

// ended records the end of a process and says whether it is started again.
func (p *process) ended(proc Process) (again bool) {
	why := proc.Exit()
	again = p.settings.RemainAfterExit
	p.mu.Lock()
	p.why, p.state = why, ended
	if again {
		p.state = pausing
	}
	if p.failures++; why == "" || time.Since(p.started) >= quick {
		p.failures = 0
	}
	wait := pause(p.settings.restart(), p.failures)
	p.next = time.Now().Add(wait)
	p.mu.Unlock()
	level, attrs := slog.LevelInfo, []slog.Attr{slog.String(logkey.Service, p.service), slog.Int(logkey.Worker, proc.PID())}
	if why != "" {
		level = slog.LevelError
		attrs = append(attrs, slog.String(logkey.Error, why))
	}
	if again {
		attrs = append(attrs, slog.String("next_start_in", wait.String()))
	}
	p.log.LogAttrs(context.Background(), level, "service process ended", attrs...)
	p.changed()
	return again
}

func (p *process) is(s state) {
	p.mu.Lock()
	p.state = s
	p.mu.Unlock()
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Status is one process in figures, as service.Processes tells it.
type Status struct {
	Service    string    `json:"service"`
	Command    string    `json:"command"`
	PID        int       `json:"pid"` // of the last process, if none runs
	Running    bool      `json:"running"`
	State      string    `json:"state"` // running, pausing until the next start, ended for good, stopped
	Started    time.Time `json:"started,omitzero"`
	NextStart  time.Time `json:"next_start,omitzero"`   // while it is pausing
	Failures   int       `json:"failures,omitempty"`    // in a row
	Failing    bool      `json:"failing,omitempty"`     // so many that the daemon is degraded
	LastEnd    string    `json:"last_end,omitempty"`    // why it failed, "" for an end with status 0
	Memory     uint64    `json:"memory,omitempty"`      // bytes
	CPUPercent float64   `json:"cpu_percent,omitempty"` // CPU time in per cent of the life time
}

func (p *process) status() Status {
	p.mu.Lock()
	s := Status{
		Service: p.service, Command: strings.Join(p.settings.Command, " "), Running: p.state == running, State: p.state.String(),
		Started: p.started, Failures: p.inARow(), Failing: p.inARow() >= failing, LastEnd: p.why,
	}
	if p.state == pausing {
		s.NextStart = p.next
	}
	current := p.current
	p.mu.Unlock()
	if current == nil {
		s.Running = false
		return s
	}
	s.PID = current.PID()
	if !s.Running {
		return s
	}
	var cpu time.Duration
	if s.Memory, cpu, s.Running = current.Usage(); !s.Running {
		s.State = ended.String() // just now, and nobody has noticed yet
		if p.settings.RemainAfterExit {
			s.State, s.NextStart = pausing.String(), time.Now().Add(p.settings.restart())
		}
	}
	if age := time.Since(s.Started); age > 0 {
		s.CPUPercent = 100 * cpu.Seconds() / age.Seconds()
	}
	return s
}

// failing is how many failures in a row keep a service from running before it is
// a problem of the daemon.
const failing = 3

func (p *process) problem() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.inARow()
	if n < failing {
		return ""
	}
	return fmt.Sprintf("%s failed %d times in a row: %s", p.service, n, p.why)
}

// inARow is how often the process has failed: not at all, once one lives. The
// caller holds mu.
func (p *process) inARow() int {
	if p.state == running && time.Since(p.started) >= quick {
		return 0
	}
	return p.failures
}
