// Command stall is rrd with a fault that can be switched on: at SIGUSR1 the
// dispatcher of every pool stops for good, as by a deadlock, while everything
// else goes on: connections are accepted, requests are read. The tests of the
// watchdog use it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/pool/isolate"
)

func main() {
	isolate.Run()
	o := daemon.Options{Instance: os.Getenv("RR_INSTANCE")}
	flag.StringVar(&o.Config.File, "c", "", "")
	flag.Parse()
	d, err := daemon.New(o)
	if err == nil {
		go stall(d)
		err = d.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// stall takes the locks of the pools, which nobody outside may reach.
func stall(d *daemon.Daemon) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	<-c
	pools := reflect.ValueOf(d).Elem().FieldByName("pools")
	for i := range pools.Len() {
		mu := pools.Index(i).Elem().FieldByName("pool").Elem().FieldByName("mu")
		(*sync.Mutex)(mu.Addr().UnsafePointer()).Lock()
	}
	fmt.Fprintln(os.Stderr, "the dispatcher is stalled")
}
