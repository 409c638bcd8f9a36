package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux, served only with Options.Debug
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// start brings everything up in the order in which parts need each other: the
// RPC socket first, because PHP code may call it while it boots, the frontends'
// servers last.
func (d *Daemon) start(serving, life context.Context) error {
	d.life = life
	s := d.current()
	for _, w := range s.tree.Warnings() {
		d.log.Warn(w.String())
	}
	for _, name := range s.notServed() {
		d.log.Warn("section is not served by this version and is left out", logkey.Key, name)
	}

	d.spawner = worker.NewSpawner()
	rpc, err := d.newRPC(s)
	if err != nil {
		return &StartError{Phase: PhaseServe, Section: "rpc", Err: err}
	}
	d.rpc = rpc
	if rpc != nil {
		d.run(life, "rpc", rpc.server.Run)
	}
	if s.server.OnInit != nil {
		spec, err := s.spec(specOptions{plugin: ""})
		if err == nil {
			err = runOnInit(serving, s.server.OnInit, spec.Env, spec.Dir, d.log)
		}
		if err != nil {
			return &StartError{Phase: PhaseInit, Section: "server", Err: err}
		}
	}
	if s.http != nil {
		if err := d.startHTTP(serving, s); err != nil {
			return err
		}
	}
	if err := d.sockets.release(); err != nil {
		return err
	}
	if len(d.frontends) == 0 && d.rpc == nil {
		return errors.New("nothing to serve: add a section http (and server.command) to the configuration")
	}
	if d.opts.Debug {
		d.run(life, "pprof", servePprof)
	}
	return nil
}

// announce tells everybody that requests are answered.
func (d *Daemon) announce() {
	_ = d.health.to(Ready, "")
	d.assess()
	if err := d.notify.Ready(d.statusLine()); err != nil {
		d.log.Warn("cannot notify systemd", logkey.Error, err)
	}
	d.roadRunnerLine("[INFO] RoadRunner server started; version: " + RoadRunnerVersion + ", buildtime: " + BuildTime)
	if d.notify.Enabled() {
		d.roadRunnerLine("[INFO] sdnotify: notified")
	}
	d.log.Info("ready", "version", Version, "took", time.Since(d.started).Round(time.Millisecond).String())
	interval := d.notify.WatchdogInterval()
	d.background.Go(func() { d.watch(d.life, interval) })
	d.background.Go(func() { d.keepStatus(d.life) })
}

// servePprof serves the profiles on loopback only; RoadRunner's -d opens them
// to the network.
func servePprof(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:6061")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
