package main

import (
	"errors"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/rr-systemd/rrd/ipc/rpc"

	"github.com/rr-systemd/rrd/services/rpc"
)

// A daemon that hangs takes the connection and says nothing.
func TestNoAnswer(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "mute.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dsn := "unix://" + l.Addr().String()
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"status"}, "the daemon did not answer rrd.Status within 50ms: it hangs, or the machine is overloaded"},
		{[]string{"workers", "-i"}, "did not answer rrd.Status"},
		{[]string{"top", "-n", "1"}, "did not answer rrd.Status"},
		{[]string{"kv", "get", "cache", "key"}, "did not answer kv.MGet"},
		{[]string{"locks"}, "did not answer lock.List"},
		{[]string{"service"}, "did not answer service.Processes"},
		{[]string{"metrics"}, "did not answer rrd.Metrics"},
		{[]string{"reload"}, "the daemon said nothing within 50ms: it hangs, is stopped, or the machine is overloaded; rrd.Reload was not begun"},
		{[]string{"reset", "http"}, "resetter.Reset was not begun"},
		{[]string{"scale", "http", "3"}, "did not answer rrd.Status"},
		{[]string{"stop"}, "did not answer rrd.Stop"},
	} {
		code, out, errOut := runRRCtl(t, append(c.args, "--timeout", "50ms", "--socket", dsn)...)
		if code != exitNoDaemon || out != "" {
			t.Errorf("%q: exit %d, stdout %q", c.args, code, out)
		}
		contains(t, c.args[0], errOut, c.text)
	}
	code, _, errOut := runRRCtl(t, "status", "--timeout", "0", "--socket", dsn)
	if code != exitUsage {
		t.Errorf("no time at all: exit %d", code)
	}
	contains(t, "no time at all", errOut, "write a time such as")
}

// Without --timeout a reload may last, but a daemon that does not answer at all is
// told soon.
func TestLastingCallOfMuteDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		read := make(chan struct{})
		go func() { defer close(read); _, _ = io.Copy(io.Discard, far) }()
		c := &connection{client.NewClient(near), 0}
		began := time.Now()
		err := c.Call(t.Context(), "rrd.Reload", client.JSON, new(bool), new(bool))
		if none := new(noDaemonError); !errors.As(err, &none) || !strings.Contains(err.Error(), "said nothing within 10s") {
			t.Error(err)
		}
		if took := time.Since(began); took != answerTimeout {
			t.Errorf("told after %s", took)
		}
		c.Close()
		<-read
	})
}

// A daemon that is killed in the middle of a call.
func TestDaemonEnds(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "short.sock"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	defer func() { _ = l.Close(); <-done }()
	code, out, errOut := runRRCtl(t, "reload", "--socket", "unix://"+l.Addr().String())
	if code != exitFailed || out != "" || errOut != "rrctl: the daemon ended, or was restarted, before it answered rrd.Reload\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, errOut)
	}
}

// A method that was renamed would get the limit of quick ones.
func TestLastingMethodsExist(t *testing.T) {
	s := rpc.New(rpc.Options{})
	defer s.Close()
	(&fakeDaemon{services: true}).register(s)
	left := maps.Clone(lasting)
	for _, m := range s.Methods() {
		delete(left, m.Name)
	}
	for name := range left {
		t.Errorf("no method %s", name)
	}
}
