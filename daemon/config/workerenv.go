package config

import (
	"maps"
	"slices"
	"strings"
)

// WorkerEnv is the environment of a worker process. In this order, a later
// variable replacing an earlier one of the same name: base (the daemon's own,
// see [Tree.Environ]), RR_RELAY, RR_RPC unless rpcListen is empty, env (the
// section server.env) with names in upper case, RR_VERSION, RR_MODE, extra
// (NAME=value, of one kind of pool).
//
// What belongs to the daemon alone is left out of base: its notification
// socket, watchdog, inherited sockets and journal stream. INVOCATION_ID stays:
// workers are part of the same invocation of the unit.
func WorkerEnv(base []string, relay, rpcListen string, env map[string]string, version, mode string, extra ...string) []string {
	out := envList{at: make(map[string]int, len(base)+len(env)+8)}
	// Huge pages make PHP copy bodies of many MiB about three times faster.
	out.set("USE_ZEND_ALLOC_HUGE_PAGES", "1")
	out.inherit(base)
	out.set("RR_RELAY", relay)
	if rpcListen != "" {
		out.set("RR_RPC", rpcListen)
	}
	out.configured(env)
	out.set("RR_VERSION", version)
	out.set("RR_MODE", mode)
	for _, entry := range extra {
		if name, value, ok := strings.Cut(entry, "="); ok {
			out.set(strings.ToUpper(name), value)
		}
	}
	return out.entries
}

// ProcessEnv is the environment of a child that is no worker: base without what
// belongs to the daemon alone, and over it env with names in upper case.
func ProcessEnv(base []string, env map[string]string) []string {
	out := envList{at: make(map[string]int, len(base)+len(env))}
	out.inherit(base)
	out.configured(env)
	return out.entries
}

// daemonOnly names variables by which systemd speaks to one process.
func daemonOnly(name string) bool {
	switch name {
	case "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "JOURNAL_STREAM", "":
		return true
	}
	return strings.HasPrefix(name, "WATCHDOG_")
}

type envList struct {
	entries []string
	at      map[string]int
}

func (l *envList) set(name, value string) {
	entry := name + "=" + value
	if i, known := l.at[name]; known {
		l.entries[i] = entry
		return
	}
	l.at[name] = len(l.entries)
	l.entries = append(l.entries, entry)
}

func (l *envList) inherit(base []string) {
	for _, entry := range base {
		if name, value, ok := strings.Cut(entry, "="); ok && !daemonOnly(name) {
			l.set(name, value)
		}
	}
}

func (l *envList) configured(env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		l.set(strings.ToUpper(name), env[name])
	}
}
