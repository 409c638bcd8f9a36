package daemon

import (
	"fmt"
	"os"

	"github.com/rr-systemd/rrd/pool/worker"
)

// wiring is what workers connect back to. It is fixed at the start: a reload
// changes workers, not the sockets that they find.
type wiring struct {
	rpc   string // RR_RPC, "" for none
	relay string // RR_RELAY
	// listener is where workers connect that do not use pipes.
	listener *worker.Relay
}

func (d *Daemon) wiring() wiring {
	w := wiring{relay: d.boot.server.Relay, listener: d.relay}
	if d.rpc.listens {
		w.rpc = d.rpc.address
	}
	return w
}

// openRelay listens at server.relay, for the workers of all pools. A unix
// socket belongs to the user that the workers run as.
func (d *Daemon) openRelay(s *settings) error {
	if s.server.Relay == "" || s.server.Relay == "pipes" {
		return nil
	}
	relay, err := worker.ListenRelay(s.server.Relay)
	if err != nil {
		return s.tree.At("server.relay", err)
	}
	d.relay = relay
	cred, err := credential("server", s.server.User, s.server.Group)
	if err != nil {
		return s.tree.Locate(err)
	}
	if addr := relay.Addr(); addr.Network() == "unix" && cred != nil {
		if err := os.Chown(addr.String(), int(cred.Uid), int(cred.Gid)); err != nil {
			return s.tree.At("server.relay", fmt.Errorf("cannot give the socket to the workers' user: %w", err))
		}
	}
	return nil
}

func (d *Daemon) closeRelay() error {
	if d.relay == nil {
		return nil
	}
	return d.relay.Close()
}
