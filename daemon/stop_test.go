package daemon

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stop lets the running request finish, closes idle connections, and leaves
// neither process nor file.
func TestStop(t *testing.T) {
	a := newSite(t, plain)
	a.serve("-p")
	idle, err := net.Dial("unix", filepath.Join(a.dir, "http.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	_ = idle.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(idle, "GET / HTTP/1.1\r\nHost: app\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(idle)
	r, err := http.ReadResponse(reader, nil)
	if err != nil || r.Close {
		t.Fatal(r, err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}

	answer := a.async("/slow")
	a.await("slow")
	a.signal(syscall.SIGTERM)
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v, want it closed", err)
	}
	if !a.running() {
		t.Error("rrd ended before its request")
	}
	a.write("go", "")
	if got := <-answer; got.body != "slow answer" || got.err != nil {
		t.Errorf("running request: %+v", got)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	a.nothingLeft()
	for _, text := range []string{"\tstopped\t{\"took\": \"", "rpc unix://rpc.sock, http unix://http.sock"} {
		if !a.output.has(text) {
			t.Errorf("no %q in the log", text)
		}
	}
	for _, name := range []string{"http.sock", "rpc.sock", ".pid"} {
		if _, err := os.Lstat(filepath.Join(a.dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

// The stop is what was asked for, so its status is 0 although a request was
// cut: systemd must not start the unit again.
func TestStopCutsAfterGracePeriod(t *testing.T) {
	a := newSite(t, plain+"endure: {grace_period: 300ms}\n")
	a.serve()
	answer := a.async("/hang")
	a.await("hang")
	a.signal(syscall.SIGTERM)
	if got := <-answer; got.err == nil {
		t.Errorf("a request that hangs got the answer %q", got.body)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	a.nothingLeft()
	if !a.output.has("endure.grace_period") {
		t.Error("the log does not say why the request was cut")
	}
}

func TestSecondSignal(t *testing.T) {
	a := newSite(t, plain)
	a.prog = []string{filepath.Join(bin, "rr"), "serve"}
	a.serve()
	answer := a.async("/hang")
	a.await("hang")
	a.signal(syscall.SIGINT)
	a.awaitOutput("stop signal received, grace timeout is: 30 seconds")
	a.signal(syscall.SIGTERM)
	if code := a.wait(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	<-answer
	a.nothingLeft()
	if !a.output.has("\nexit forced\n") {
		t.Error(`no line "exit forced"`)
	}
}

func TestStopByRPC(t *testing.T) {
	for _, args := range [][]string{{"stop"}, {"stop", "--force"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			a := newSite(t, plain)
			a.serve()
			if len(args) > 1 {
				answer := a.async("/hang")
				a.await("hang")
				defer func() { <-answer }()
			}
			if code, out := a.ctl(args...); code != 0 {
				t.Errorf("rrctl: %d %s", code, out)
			}
			if code := a.wait(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			a.nothingLeft()
		})
	}
}

// A stop during the start is no failure and does not wait for the workers.
func TestStopWhileStarting(t *testing.T) {
	for name, c := range map[string]struct{ config, worker string }{
		"slow worker":  {plain, "<?php touch('booting'); while (true) usleep(10000);"},
		"slow on_init": {strings.Replace(plain, "command:", "on_init: {command: \"php worker.php\"}\n  command:", 1), "<?php touch('booting'); while (true) usleep(10000);"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSite(t, c.config)
			a.write("worker.php", c.worker)
			a.start()
			a.await("booting")
			// Somebody asks already.
			if code, out := a.ctl("status"); code != 1 || !strings.Contains(out, "starting") {
				t.Errorf("status: %d %s", code, out)
			}
			if code, out := a.ctl("reload"); code != 1 || !strings.Contains(out, "while the daemon is starting") {
				t.Errorf("reload: %d %s", code, out)
			}
			a.signal(syscall.SIGTERM)
			if code := a.wait(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			a.nothingLeft()
			if a.output.has("rrd: ") || a.output.has("\tready\t") {
				t.Error("a cancelled start is reported as a failure, or as a success")
			}
		})
	}
}

// The kernel ends the workers with a daemon that is killed.
func TestKill(t *testing.T) {
	a := newSite(t, strings.Replace(plain, "num_workers: 1", "num_workers: 3", 1))
	a.serve()
	answer := a.async("/hang")
	a.await("hang")
	a.signal(syscall.SIGKILL)
	<-answer
	a.wait()
	a.nothingLeft()

	// What it left behind is no obstacle.
	a.serve()
	if got := a.get("/"); got != "version one" {
		t.Errorf("got %q", got)
	}
	a.stop()
}
