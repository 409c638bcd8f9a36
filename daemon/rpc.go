package daemon

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	listens bool
}

// rpcListen lists where the daemon itself opens RPC sockets, beside the one that
// systemd may have handed over: at rpc.listen, and under systemd always in the
// instance's runtime folder, because rrctl and reload need it. A section rpc
// without an address means RoadRunner's default, if there is no other socket.
func (s *settings) rpcListen(inherited bool) []string {
	var list []string
	if s.rpc != nil && (s.rpc.Listen != "" || !inherited) {
		list = append(list, s.rpc.Address())
	}
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" && !inherited {
		if own := "unix://" + filepath.Join(dir, "rpc.sock"); !slices.Contains(list, own) {
			list = append(list, own)
		}
	}
	return list
}

// startRPC opens the RPC sockets. Without systemd and without a section rpc there
// are none, as in RoadRunner.
func (d *Daemon) startRPC(addresses []string) error {
	listeners, err := d.sockets.stream("rpc", "rpc.listen", "")
	if err != nil {
		return err
	}
	for _, dsn := range addresses {
		if slices.ContainsFunc(listeners, func(l net.Listener) bool { return strings.HasSuffix(dsn, "://"+l.Addr().String()) }) {
			continue // the socket unit has the configured address
		}
		own, err := d.sockets.stream("rpc", "rpc.listen", dsn)
		if err != nil {
			closeAll(listeners)
			return d.boot.tree.At("rpc.listen", err)
		}
		listeners = append(listeners, own...)
	}
	r := &rpcService{listens: len(listeners) > 0}
	if d.boot.rpc != nil {
		r.address = d.boot.rpc.Listen // as written; RoadRunner does not set its default
	}
	for _, l := range listeners {
		if a := l.Addr(); r.address == "" && a.Network() == "unix" {
			r.address = "unix://" + a.String()
		}
	}
	r.server = rpc.New(rpc.Options{Listeners: listeners, Log: d.root.With(logkey.Logger, "rpc"), Authority: d.authority()})
	rpc.RegisterSelf(r.server, RoadRunnerVersion, func() ([]byte, error) { return d.current().tree.JSON() })
	informer.Register(r.server, roadRunnerView{d}, roadRunnerView{d})
	resetter.Register(r.server, roadRunnerView{d})
	app.Register(r.server, d.root.With(logkey.Logger, "app"), os.Stderr)
	control.Register(r.server, controlView{d}, controlView{d})
	d.rpc = r
	return nil
}

// serveRPC answers, when all services have registered their methods.
func (d *Daemon) serveRPC() { d.run("rpc", d.rpc.server.Run) }
