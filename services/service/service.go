// Package service keeps other programs running beside the workers: those of the
// section `service`, and those that are created over RPC. It is RoadRunner's
// service plugin.
//
// A service is a command that runs as one or several processes. Each process has
// a life of its own:
//
//	              ┌───────────── restart_sec is over ─────────────┐
//	              ▼                                               │
//	started ──► running ──► it ended, remain_after_exit ───────► pausing
//	              │  │                                            │
//	              │  └───► it ended ──────────────────► ended     │
//	              │                                       │       │
//	              └──────────────► stopped ◄──── stop ────┴───────┘
//
// A stop is SIGINT, as in RoadRunner, then SIGTERM when half of timeout_stop_sec
// is over, and in the end SIGKILL, each for the process and all that it started.
package service

import (
	"context"
	"fmt"

	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/service/servicepb"
)

// Register adds RoadRunner's methods to s, and service.Processes: the processes of
// the named services, of all without a name, with what RoadRunner's messages have no
// room for.
func Register(s *rpc.Server, m *Manager) {
	type name = servicepb.Service
	type response = servicepb.Response
	rpc.Register(s, "service.Create", rpc.Owner, func(_ context.Context, q *servicepb.Create, reply *response) error {
		c, err := fromRequest(q)
		if err != nil {
			return err
		}
		reply.Ok = true
		return m.Create(q.GetName(), c)
	})
	rpc.Register(s, "service.Terminate", rpc.Owner, func(_ context.Context, q *name, reply *response) error {
		reply.Ok = true
		return m.Terminate(q.GetName())
	})
	rpc.Register(s, "service.Restart", rpc.Owner, func(_ context.Context, q *name, reply *response) error {
		reply.Ok = true
		return m.Restart(q.GetName())
	})
	rpc.Register(s, "service.List", rpc.Anyone, func(_ context.Context, _ *name, reply *servicepb.List) error {
		reply.Services = m.List()
		return nil
	})
	rpc.Register(s, "service.Statuses", rpc.Anyone, func(_ context.Context, q *name, reply *servicepb.Statuses) error {
		list, err := m.Statuses(q.GetName())
		for _, p := range list {
			reply.Status = append(reply.Status, p.message())
		}
		return err
	})
	rpc.Register(s, "service.Processes", rpc.Anyone, func(_ context.Context, names *[]string, reply *[]Status) error {
		*reply = []Status{}
		if len(*names) == 0 {
			*reply = append(*reply, m.Processes()...)
		}
		for _, name := range *names {
			list, err := m.Statuses(name)
			if err != nil {
				return err
			}
			*reply = append(*reply, list...)
		}
		return nil
	})
	// Deprecated there: it tells of the last process only.
	rpc.Register(s, "service.Status", rpc.Anyone, func(_ context.Context, q *name, reply *servicepb.Status) error {
		list, err := m.Statuses(q.GetName())
		if err != nil {
			return err
		}
		last := list[len(list)-1]
		if !last.Running {
			return fmt.Errorf("%s", last.gone())
		}
		last.fill(reply)
		return nil
	})
}

// gone is what RoadRunner says of a process that has ended.
func (s Status) gone() string {
	return fmt.Sprintf("process_state: open /proc/%d/statm: no such file or directory", s.PID)
}

func (s Status) message() *servicepb.Status {
	m := new(servicepb.Status)
	s.fill(m)
	return m
}

func (s Status) fill(m *servicepb.Status) {
	m.Pid, m.Command = int32(s.PID), s.Command
	if !s.Running {
		m.Status = &servicepb.Error{Message: s.gone()}
		return
	}
	m.CpuPercent, m.MemoryUsage = float32(s.CPUPercent), s.Memory
}
