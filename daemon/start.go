package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux, served only with Options.Debug
	"strings"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
)

// start brings everything up in the order in which parts need each other: the
// RPC socket first, because PHP code may call it while it boots, the frontends'
// servers last. It gives up when serving ends.
func (d *Daemon) start(serving context.Context) error {
	s := d.boot
	for _, w := range s.tree.Warnings() {
		d.log.Warn(w.String())
	}
	if s.http != nil && !s.http.serves(d.sockets.inherited.Has) {
		return &StartError{Phase: PhaseInit, Section: "http", Err: s.tree.Locate(&config.Error{
			Key:     "http.address",
			Problem: "unable to run http service, no method has been specified (http, https, http/2 or FastCGI)",
			Fix:     "write for example address: 127.0.0.1:8080, or start the socket unit rr-http@.socket",
		})}
	}
	rpcListen := s.rpcListen(d.sockets.inherited.Has("rpc"))
	if err := d.sockets.forget(serving, d.wanted(rpcListen)); err != nil {
		return err
	}
	if err := d.startRPC(rpcListen); err != nil {
		return &StartError{Phase: PhaseServe, Section: "rpc", Err: err}
	}
	if !d.rpc.listens && s.http == nil && !s.serves() {
		return &StartError{Phase: PhaseConfig, Err: errors.New("nothing to serve: add the sections server and http to the configuration")}
	}
	if err := d.startServices(s); err != nil {
		return err
	}
	d.serveRPC()
	if d.opts.Debug {
		l, err := net.Listen("tcp", "127.0.0.1:6061")
		if err != nil {
			return &StartError{Phase: PhaseServe, Section: "profiles", Err: err}
		}
		d.run("profiles", func(ctx context.Context) error { return serveProfiles(ctx, l) })
	}
	if s.server.OnInit != nil {
		if err := d.runOnInit(serving, s); err != nil {
			return &StartError{Phase: PhaseInit, Section: "server", Err: err}
		}
	}
	if err := d.openRelay(s); err != nil {
		return &StartError{Phase: PhaseServe, Section: "server", Err: err}
	}
	if s.http != nil {
		if err := d.startHTTP(serving, s); err != nil {
			return whileServing("http", err)
		}
	}
	return d.sockets.close()
}

// wanted are the names of the sockets in the descriptor store that this
// configuration has a use for.
func (d *Daemon) wanted(rpcListen []string) []string {
	var names []string
	for _, dsn := range rpcListen {
		names = append(names, storeName("rpc", dsn))
	}
	if d.boot.http != nil {
		for name, address := range d.boot.http.addresses() {
			names = append(names, storeName(name, address))
		}
	}
	for _, m := range modules {
		if into := d.boot.modules[m.name]; into != nil && m.socket != nil {
			names = append(names, storeName(m.socket(into)))
		}
	}
	return names
}

// announce tells everybody that requests are answered.
func (d *Daemon) announce(serving context.Context) {
	if d.health.to(Ready, "") != nil {
		return
	}
	d.assess()
	if err := d.notify.Ready(d.status.set(d.statusLine())); err != nil {
		d.log.Warn("cannot notify systemd", logkey.Error, err)
	}
	d.roadRunnerLine("[INFO] RoadRunner server started; version: " + RoadRunnerVersion + ", buildtime: " + BuildTime)
	if d.notify.Enabled() {
		d.roadRunnerLine("[INFO] sdnotify: notified")
	}
	var addresses []string
	for _, b := range d.sockets.open() {
		addresses = append(addresses, b.name+" "+b.addr.Network()+"://"+b.addr.String())
	}
	d.log.Info("ready", "version", Version, "took", time.Since(d.started).Round(time.Millisecond).String(), "addresses", strings.Join(addresses, ", "))
	d.background.Go(func() { d.fitProcessors(serving) })
	// Both end when the drain begins, which speaks to systemd itself.
	if every := d.watchdogInterval(); every > 0 {
		d.background.Go(func() { d.heartbeat(serving, every, d.probe, d.notify.Watchdog) })
	}
	d.background.Go(func() { d.keepStatus(serving) })
	d.reloadIfSignalled(d.life)
}

// serveProfiles serves on loopback only; RoadRunner's -d opens the profiles to
// the network.
func serveProfiles(ctx context.Context, l net.Listener) error {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
