package isolate

import (
	"encoding/json"
	"path/filepath"
	"slices"
)

// Plan is what is put on one generation of workers.
type Plan struct {
	NoNewPrivs bool
	PrivateTmp bool
	filter     *filter // nil: one step is enough
}

// filter is what the step between fork and exec applies. It travels as JSON.
type filter struct {
	Profile     string   `json:",omitempty"`
	Allow, Deny []string `json:",omitempty"`

	Landlock    bool     `json:",omitempty"`
	Read, Write []string `json:",omitempty"`

	AS    uint64 `json:",omitempty"`
	Nproc uint64 `json:",omitempty"`
}

// Plan makes the plan for workers that run argv in the folder dir, "" for that of
// the daemon. tmp is where temporary files go, and write are further paths that
// the daemon shares with them, such as that of uploads.
func (o *Options) Plan(argv []string, dir, tmp string, write ...string) Plan {
	p := Plan{NoNewPrivs: o.noNewPrivs(), PrivateTmp: o.PrivateTmp}
	if !o.filtered() {
		return p
	}
	f := &filter{}
	if o.Seccomp.on() {
		f.Profile, f.Allow, f.Deny = o.Seccomp.Profile, o.Seccomp.Allow, o.Seccomp.Deny
	}
	if l := o.Landlock; l != nil {
		f.Landlock = true
		f.Read = append(slices.Clone(l.Read), absolute(dir))
		if len(argv) > 0 && filepath.IsAbs(argv[0]) {
			f.Read = append(f.Read, argv[0])
		}
		f.Write = slices.Clone(l.Write)
		for _, path := range write {
			f.Write = append(f.Write, absolute(path))
		}
		if !o.PrivateTmp {
			f.Write = append(f.Write, tmp)
		}
	}
	p.filter = f
	return p
}

// absolute is a path from the daemon's folder, "" for that itself.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// TwoSteps tells whether Argv and Path are needed.
func (p *Plan) TwoSteps() bool { return p != nil && p.filter != nil }

// Path is the program of the first step: this one, also when its file has been
// replaced by an upgrade.
const Path = "/proc/self/exe"

// name is argv[0] of the first step.
const name = "rrd-isolate"

// First is what differs from worker to worker, or is in force only when the second
// step begins: the first one, a Go program, has threads and a large address space.
type First struct {
	Tmp   string // the worker's own folder, "" for none
	AS    uint64 // RLIMIT_AS in bytes, 0 for the daemon's
	Nproc uint64 // RLIMIT_NPROC, 0 for the daemon's
}

// Argv is the command line of the first step. The second one executes the program
// path with argv.
func (p *Plan) Argv(path string, argv []string, first First) ([]string, error) {
	f := *p.filter
	f.AS, f.Nproc = first.AS, first.Nproc
	if first.Tmp != "" && f.Landlock {
		f.Write = append(slices.Clone(f.Write), first.Tmp)
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return append([]string{name, string(data), path}, argv...), nil
}
