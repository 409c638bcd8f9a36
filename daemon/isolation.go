package daemon

import (
	"os"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/isolate"
	"github.com/rr-systemd/rrd/pool/worker"
)

// isolate adds the section isolation of the pool whose section is key to a recipe
// for its workers. They may change the shared folders. The error names what this
// kernel lacks.
func (s *settings) isolate(spec *worker.Spec, key string, o isolate.Options, shared ...string) error {
	if _, err := o.Check(); err != nil {
		return located(s.tree, key+".isolation", err)
	}
	spec.Isolation = o.Plan(spec.Argv, spec.Dir, os.TempDir(), shared...)
	return nil
}

// warnOfIsolation names what this kernel leaves open.
func (d *Daemon) warnOfIsolation(key string, o isolate.Options) {
	warnings, _ := o.Check() // the error came out when the recipe was made
	for _, text := range warnings {
		d.log.Warn("isolation is not complete", logkey.Key, key+".isolation", logkey.Error, text)
	}
}
