package daemon

import (
	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/fileserver"
)

// fileserverModule serves files on an address of its own. It is a module because
// it needs no workers, and a frontend because it drains like one.
var fileserverModule = module{
	name:     "fileserver",
	sections: []string{"fileserver"},
	settings: func(t *config.Tree) section {
		if !t.Has("fileserver") {
			return nil
		}
		return new(fileserver.Config)
	},
	socket: func(s section) (string, string) { return "fileserver", s.(*fileserver.Config).Address },
	start:  startFileserver,
}

func startFileserver(d *Daemon, s *settings) (*service, error) {
	c := s.modules["fileserver"].(*fileserver.Config)
	listeners, err := d.sockets.stream("fileserver", "fileserver.address", c.Address)
	if err != nil {
		return nil, s.tree.At("fileserver.address", err)
	}
	srv, err := fileserver.New(fileserver.Options{Config: *c, Listeners: listeners, Log: d.root.With(logkey.Logger, "fileserver")})
	if err != nil {
		closeAll(listeners)
		return nil, located(s.tree, "fileserver", err)
	}
	d.addFrontend(&frontend{name: "fileserver", server: srv, requests: srv.Requests})
	return &service{run: srv.Run}, nil
}
