package man_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

// everything turns on all that has RPC methods. Sections that this version does
// not serve are warnings.
const everything = `
version: "3"
rpc: {listen: "unix://rpc.sock"}
kv: {memory: {driver: memory, config: {}}}
metrics: {address: "127.0.0.1:0"}
status: {address: "127.0.0.1:0"}
service: {}
`

// TestMethods holds the table in rrd(8) against that of a running daemon.
func TestMethods(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "rrd")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/rrd").CombinedOutput(); err != nil {
		t.Fatalf("cannot build rrd: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "app.yaml")
	if err := os.WriteFile(file, []byte(everything), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := exec.Command(bin, "-c", file)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	defer func() { // also after a failure
		_ = daemon.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("rrd: %v\n%s", err, text)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var r control.MethodsResult
	for {
		c, err := rpc.Dial(ctx, "unix://"+filepath.Join(dir, "rpc.sock"))
		if err == nil {
			err = c.Call(ctx, "rrd.Methods", rpc.JSON, &control.Done{}, &r)
			_ = c.Close()
			if err == nil {
				break
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatal("rrd has ended")
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	var known, described []string
	for _, m := range r.Methods {
		known = append(known, fmt.Sprintf(".It Li %s Ta %s", m.Name, m.Role))
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Li [\w.]+ Ta \w+$`).FindAllString(page(t, "rrd.8"), -1) {
		described = append(described, m)
	}
	same(t, "RPC method (a line of the table in rrd.8):", known, described)
}
