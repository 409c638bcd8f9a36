// Package cgroup gives every worker a control group of its own, below that of
// the service, so that the kernel limits, counts, reports and kills a worker
// together with whatever it has started:
//
//	rr@app.service           the unit: delegated to rrd by Delegate=
//	├── daemon               rrd itself
//	└── workers
//	    ├── http             one pool
//	    │   ├── 1            one worker and its children: a Leaf
//	    │   └── 2
//	    └── jobs
//
// The kernel allows processes in the leaves of the tree only, which is why the
// daemon moves into one before it divides its own group.
//
// Nobody has to ask whether delegation is there. Without it (no Delegate=, a
// container with a read-only /sys/fs/cgroup, cgroup version 1) every method
// works and does nothing: leaves have descriptor 0, no limits and no usage.
// Methods of a nil Tree, Pool or Leaf do the same.
//
// Limits protect workers from each other's accidents. They do not hold against
// a worker on purpose that runs as the daemon's user: that user owns the
// delegated files. server.user sets another one.
//
// Sources: Documentation/admin-guide/cgroup-v2.rst of Linux, cgroups(7),
// systemd's CGROUP_DELEGATION document.
package cgroup
