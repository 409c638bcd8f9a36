package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// limit is how long anything may take that a test waits for.
const limit = time.Minute

// bin holds rrd, rrctl, rr and the PHP package, readable for every user.
var bin string

func TestMain(m *testing.M) {
	code := 1
	if err := buildPrograms(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else if code = m.Run(); code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.RemoveAll(bin)
	os.Exit(code)
}

func buildPrograms() (err error) {
	if bin, err = os.MkdirTemp("", "rrd"); err != nil {
		return err
	}
	// Programs that are built for the race detector wait a second at their end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		return err
	}
	args := []string{"build"}
	if raceEnabled {
		args = append(args, "-race")
	}
	args = append(args, "-o", bin+"/", "../cmd/rrd", "../cmd/rrctl")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return errors.Join(
		os.Symlink("rrctl", filepath.Join(bin, "rr")),
		os.CopyFS(filepath.Join(bin, "php", "src"), os.DirFS("../php/src")),
		exec.Command("cp", "../php/autoload.php", filepath.Join(bin, "php")).Run(),
		os.Chmod(bin, 0o755))
}

// site is a folder with a configuration and an application, and the rrd that
// serves it.
type site struct {
	t    *testing.T
	dir  string
	env  []string // beside RR_PHP
	user *syscall.Credential
	prog []string // how rrd is started, without its flags; default bin/rrd

	cmd    *exec.Cmd
	files  []*os.File // inherited
	output *output
	exited chan struct{}
}

// plain is the configuration of most tests.
const plain = `
version: "3"
server:
  command: "php worker.php"
rpc:
  listen: unix://rpc.sock
http:
  address: unix://http.sock
  pool:
    num_workers: 1
`

// newSite makes the folder. Socket paths in it stay short.
func newSite(t *testing.T, config string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a := &site{t: t, dir: dir}
	t.Cleanup(func() {
		if a.running() {
			_ = a.cmd.Process.Kill()
			<-a.exited
		}
		a.nothingLeft()
		if t.Failed() && a.output != nil {
			t.Logf("output:\n%s", a.output)
		}
		os.RemoveAll(dir)
	})
	worker, err := os.ReadFile("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	a.write("worker.php", string(worker))
	a.write("app.yaml", config)
	return a
}

func (a *site) write(name, content string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// change replaces a text in a file, which must be there.
func (a *site) change(name, old, new string) {
	a.t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil || !strings.Contains(string(b), old) {
		a.t.Fatalf("%s has no %q (%v)", name, old, err)
	}
	a.write(name, strings.Replace(string(b), old, new, 1))
}

func (a *site) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "NOTIFY_SOCKET=") || strings.HasPrefix(e, "JOURNAL_STREAM=") || strings.HasPrefix(e, "RUNTIME_DIRECTORY=")
	})
	return append(append(env, "RR_PHP="+filepath.Join(bin, "php")), a.env...)
}

// start starts rrd and returns at once.
func (a *site) start(args ...string) {
	a.t.Helper()
	prog := a.prog
	if prog == nil {
		prog = []string{filepath.Join(bin, "rrd")}
	}
	args = append(append(prog[1:len(prog):len(prog)], "-c", "app.yaml"), args...)
	a.cmd = exec.Command(prog[0], args...)
	a.cmd.Dir, a.cmd.Env = a.dir, a.environ()
	a.cmd.ExtraFiles = a.files
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.user}
	a.output = new(output)
	a.cmd.Stdout, a.cmd.Stderr = a.output, a.output
	a.cmd.WaitDelay = 5 * time.Second
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	exited := make(chan struct{})
	a.exited = exited
	cmd := a.cmd
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
}

// serve starts rrd and waits until it is ready.
func (a *site) serve(args ...string) {
	a.t.Helper()
	a.start(args...)
	await(a.t, "rrd is ready", func() bool { return !a.running() || a.output.has("\tready\t") })
	if !a.running() {
		a.t.Fatal("rrd ended")
	}
}

func (a *site) running() bool {
	if a.cmd == nil {
		return false
	}
	select {
	case <-a.exited:
		return false
	default:
		return true
	}
}

func (a *site) signal(s syscall.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		a.t.Fatal(err)
	}
}

// wait returns the exit status, -1 after a signal.
func (a *site) wait() int {
	a.t.Helper()
	select {
	case <-a.exited:
	case <-time.After(limit):
		a.t.Fatal("rrd does not end")
	}
	return a.cmd.ProcessState.ExitCode()
}

// stop ends rrd as systemd does.
func (a *site) stop() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	if code := a.wait(); code != 0 {
		a.t.Errorf("exit status %d after SIGTERM", code)
	}
	a.nothingLeft()
}

// nothingLeft fails if a process runs in the folder of the site.
func (a *site) nothingLeft() {
	a.t.Helper()
	var left []string
	if !poll(func() bool { left = processesIn(a.dir); return len(left) == 0 }) {
		a.t.Errorf("still running: %q", left)
	}
}

// processesIn lists the command lines of processes whose working directory is
// dir or below it.
func processesIn(dir string) (list []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			list = append(list, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return list
}

// client speaks HTTP to http.sock.
func (a *site) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(a.dir, "http.sock"))
		},
	}, Timeout: limit}
}

func get(c *http.Client, path string) (string, error) {
	r, err := c.Get("http://app" + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != 200 {
		err = fmt.Errorf("%s: status %s: %s", path, r.Status, body)
	}
	return string(body), err
}

// get is a request that must succeed.
func (a *site) get(path string) string {
	a.t.Helper()
	body, err := get(a.client(), path)
	if err != nil {
		a.t.Fatal(err)
	}
	return body
}

// reply is the answer of a request that runs beside the test.
type reply struct {
	body string
	err  error
}

func (a *site) async(path string) <-chan reply {
	answer := make(chan reply, 1)
	client := a.client()
	go func() {
		body, err := get(client, path)
		answer <- reply{body, err}
	}()
	return answer
}

func (a *site) await(file string) {
	a.t.Helper()
	await(a.t, file+" is there", func() bool {
		_, err := os.Lstat(filepath.Join(a.dir, file))
		return err == nil
	})
}

func (a *site) awaitOutput(text string) {
	a.t.Helper()
	await(a.t, fmt.Sprintf("%q is logged", text), func() bool { return a.output.has(text) })
}

// ctl runs rrctl.
func (a *site) ctl(args ...string) (code int, out string) {
	a.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "rrctl"), append([]string{"--socket", filepath.Join(a.dir, "rpc.sock")}, args...)...)
	b, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		a.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !poll(ok) {
		t.Fatalf("waited in vain until %s", what)
	}
}

// poll asks until ok or the limit.
func poll(ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) has(text string) bool { return strings.Contains(o.String(), text) }
