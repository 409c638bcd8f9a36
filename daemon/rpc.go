package daemon

import (
	"context"
	"os"
	"path/filepath"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/app"
	"github.com/rr-systemd/rrd/services/control"
	"github.com/rr-systemd/rrd/services/informer"
	"github.com/rr-systemd/rrd/services/resetter"
	"github.com/rr-systemd/rrd/services/rpc"
)

// rpcService is the RPC server and the address that workers get in RR_RPC.
type rpcService struct {
	server  *rpc.Server
	address string
}

// newRPC opens the RPC sockets: the one that systemd hands over under the name
// "rpc", and rpc.listen of the configuration. Under systemd there is always one
// in the instance's runtime folder, because rrctl and reload need it. Without
// systemd and without a section rpc there is none, as in RoadRunner.
func (d *Daemon) newRPC(s *settings) (*rpcService, error) {
	r := &rpcService{}
	listeners, err := d.listen("rpc", "rpc.listen", "")
	if err != nil {
		return nil, err
	}
	if len(listeners) > 0 {
		r.address = "unix://" + listeners[0].Addr().String()
	}
	if s.rpc != nil {
		own, err := d.listen("rpc", "rpc.listen", s.rpc.Listen)
		if err != nil {
			closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, own...)
	} else if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" && len(listeners) == 0 {
		r.address = "unix://" + filepath.Join(dir, "rpc.sock")
		if listeners, err = d.listen("rpc", "rpc.listen", r.address); err != nil {
			return nil, err
		}
	}
	if s.tree.Has("rpc.listen") {
		r.address = s.rpc.Listen
	}
	if len(listeners) == 0 {
		return nil, nil
	}
	r.server = rpc.New(rpc.Options{Listeners: listeners, Log: d.root.With(logkey.Logger, "rpc")})
	rpc.RegisterSelf(r.server, RoadRunnerVersion, func() ([]byte, error) { return d.current().tree.JSON() })
	informer.Register(r.server, roadRunnerView{d}, roadRunnerView{d})
	resetter.Register(r.server, roadRunnerView{d})
	app.Register(r.server, d.root.With(logkey.Logger, "app"), os.Stderr)
	control.Register(r.server, controlView{d}, controlView{d})
	return r, nil
}

// env is the value of RR_RPC, "" when there is no RPC server.
func (r *rpcService) env() string {
	if r == nil {
		return ""
	}
	return r.address
}

func (r *rpcService) shutdown(ctx context.Context) error {
	if r == nil {
		return nil
	}
	return r.server.Shutdown(ctx)
}
