package resetter_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/resetter"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

type fake struct{ reset chan string }

func (*fake) Plugins() []string { return []string{"http", "broken"} }

func (f *fake) Reset(_ context.Context, plugin string) error {
	f.reset <- plugin
	if plugin == "broken" {
		return errors.New("worker exited with code 255\nPHP Parse error")
	}
	return nil
}

func TestResetter(t *testing.T) {
	f := &fake{make(chan string, 1)}
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) { resetter.Register(s, f) }))
	var list []string
	if err := c.Call(t.Context(), "resetter.List", wire.Gob, new(bool), &list); err != nil || !slices.Equal(list, f.Plugins()) {
		t.Errorf("%v, %v", list, err)
	}
	plugin, ok := "http", false
	if err := c.Call(t.Context(), "resetter.Reset", wire.JSON, &plugin, &ok); err != nil || !ok || <-f.reset != "http" {
		t.Errorf("%v, %v", ok, err)
	}
	const prefix = "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: "
	plugin, ok = "broken", false
	err := c.Call(t.Context(), "resetter.Reset", wire.JSON, &plugin, &ok)
	if err == nil || err.Error() != prefix+"worker exited with code 255\nPHP Parse error" || ok || <-f.reset != "broken" {
		t.Errorf("%v, %v", ok, err)
	}
	plugin = "nope"
	if err := c.Call(t.Context(), "resetter.Reset", wire.JSON, &plugin, &ok); err == nil || err.Error() != prefix+"no such plugin: nope" || len(f.reset) > 0 {
		t.Errorf("%v, %v", ok, err)
	}
}
