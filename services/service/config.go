package service

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/services/service/servicepb"
)

// Config is the section `service`: services by name.
type Config struct {
	Services map[string]*Settings `cfg:",remain"`
}

// Settings are those of one service.
type Settings struct {
	// Command is split at every single space; there is no shell.
	Command []string `cfg:"command"`
	// ProcessNum is how many processes run.
	ProcessNum int `cfg:"process_num"`
	// ExecTimeout is how long a process may run before it is stopped; 0 for ever.
	ExecTimeout time.Duration `cfg:"exec_timeout"`
	// RemainAfterExit starts a process again that has ended, whatever its status.
	RemainAfterExit bool `cfg:"remain_after_exit"`
	// RestartSec is the pause before that, in seconds.
	RestartSec uint64 `cfg:"restart_sec"`
	// TimeoutStopSec is how long a stop may take before SIGKILL, in seconds.
	TimeoutStopSec uint64 `cfg:"timeout_stop_sec"`
	// ServiceNameInLog logs on the channel service.NAME instead of service.
	ServiceNameInLog bool `cfg:"service_name_in_log"`
	// Env is added to the daemon's environment, names in upper case.
	Env map[string]string `cfg:"env"`
	// User is who the processes run as; empty: the daemon's user.
	User string `cfg:"user"`
}

// RoadRunner's defaults, in seconds.
const (
	defaultRestart = 30
	defaultStop    = 5
)

// MostProcesses is the highest process_num. It is far above what a machine runs
// and keeps a mistake from taking all pids.
const MostProcesses = 1000

// maxSeconds is a hundred years: what a longer time is cut to.
const maxSeconds = 100 * 365 * 24 * 3600

// Defaults fills what is not set.
func (c *Config) Defaults() {
	for name, s := range c.Services {
		if s == nil {
			s = new(Settings)
			c.Services[name] = s
		}
		s.Defaults()
	}
}

// Defaults fills what is not set.
func (s *Settings) Defaults() {
	if s.ProcessNum <= 0 {
		s.ProcessNum = 1
	}
	if s.RestartSec == 0 {
		s.RestartSec = defaultRestart
	}
	if s.TimeoutStopSec == 0 {
		s.TimeoutStopSec = defaultStop
	}
	s.RestartSec, s.TimeoutStopSec = min(s.RestartSec, maxSeconds), min(s.TimeoutStopSec, maxSeconds)
}

// Validate names the key below `service`.
func (c *Config) Validate() error {
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if err := c.Services[name].validate(); err != nil {
			return fmt.Errorf("%s.%w", name, err)
		}
	}
	return nil
}

func (s *Settings) validate() error {
	if len(s.Command) == 0 || strings.TrimSpace(s.Command[0]) == "" {
		return errors.New(`command: command should not be empty; write for example command: "php daemon.php"`)
	}
	if s.ProcessNum > MostProcesses {
		return fmt.Errorf("process_num: %d processes are too many; write at most %d", s.ProcessNum, MostProcesses)
	}
	if s.ExecTimeout < 0 {
		return fmt.Errorf("exec_timeout: timeout is negative (%s); write for example 60s, or 0 for no limit", s.ExecTimeout)
	}
	return checkEnv(s.Env)
}

// checkEnv refuses names that would become other variables.
func checkEnv(env map[string]string) error {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return fmt.Errorf("env: %q is no variable", name)
		}
	}
	return nil
}

// fromRequest are the settings of service.Create. Texts are RoadRunner's where it
// has one.
func fromRequest(q *servicepb.Create) (*Settings, error) {
	switch {
	case strings.TrimSpace(q.GetName()) == "":
		return nil, errors.New("the name of the service should not be empty")
	case q.GetProcessNum() <= 0:
		return nil, fmt.Errorf("the service with %s name should have at least 1 process", q.GetName())
	case q.GetProcessNum() > MostProcesses:
		return nil, fmt.Errorf("process_num: %d processes are too many; at most %d", q.GetProcessNum(), MostProcesses)
	case q.GetExecTimeout() < 0:
		return nil, fmt.Errorf("exec_timeout: timeout is negative (%d)", q.GetExecTimeout())
	}
	s := &Settings{
		Command:          []string{q.GetCommand()},
		ProcessNum:       int(q.GetProcessNum()),
		ExecTimeout:      time.Duration(min(q.GetExecTimeout(), maxSeconds)) * time.Second,
		RemainAfterExit:  q.GetRemainAfterExit(),
		RestartSec:       min(q.GetRestartSec(), math.MaxInt64),
		TimeoutStopSec:   min(q.GetTimeoutStopSec(), math.MaxInt64),
		ServiceNameInLog: q.GetServiceNameInLogs(),
		Env:              q.GetEnv(),
	}
	s.Defaults()
	return s, checkEnv(s.Env)
}

// argv splits a single element at every single space, as RoadRunner does.
func (s *Settings) argv() []string {
	if len(s.Command) == 1 {
		return strings.Split(s.Command[0], " ")
	}
	return s.Command
}

func (s *Settings) restart() time.Duration { return time.Duration(s.RestartSec) * time.Second }
func (s *Settings) stop() time.Duration    { return time.Duration(s.TimeoutStopSec) * time.Second }
