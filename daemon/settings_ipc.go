package daemon

import (
	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc"
)

// ipcSettings is the section ipc.
type ipcSettings struct {
	ipc.Config `cfg:",squash"`

	tree *config.Tree
}

// Validate reports a mistake with file and line.
func (s *ipcSettings) Validate() error { return located(s.tree, "ipc", s.Config.Validate()) }
