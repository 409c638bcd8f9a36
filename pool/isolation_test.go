package pool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/pool/isolate"
)

// isolated starts a pool of one worker with these options, for the folder dir.
func isolated(t *testing.T, o isolate.Options, dir string, write ...string) *Pool {
	t.Helper()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Check(); err != nil {
		t.Fatalf("this kernel cannot run the test: %v", err)
	}
	spec := phpSpec(t)
	spec.Dir = dir
	spec.Isolation = o.Plan(spec.Argv, dir, os.TempDir(), write...)
	p, _ := newPool(t, Config{NumWorkers: 1}, withSpec(spec))
	return p
}

// eval runs PHP code in a worker.
func eval(t *testing.T, p *Pool, code string) string {
	t.Helper()
	return mustDo(t, p, "eval "+code)
}

func TestNoNewPrivs(t *testing.T) {
	const code = `preg_match('/NoNewPrivs:\s*(\d)/', file_get_contents('/proc/self/status'), $m); return $m[1];`
	no := false
	own, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "by default", eval(t, isolated(t, isolate.Options{}, ""), code), "1")
	want := "0"
	if own == 1 { // the test itself cannot give privileges back
		want = "1"
	}
	equal(t, "switched off", eval(t, isolated(t, isolate.Options{NoNewPrivs: &no}, ""), code), want)
}

func TestPrivateTmp(t *testing.T) {
	base := t.TempDir()
	t.Setenv("TMPDIR", base)
	p := isolated(t, isolate.Options{PrivateTmp: true}, "")
	dir := eval(t, p, `return sys_get_temp_dir();`)
	if filepath.Dir(dir) != base {
		t.Fatalf("temporary files go to %q, not below %q", dir, base)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	eval(t, p, `mkdir(sys_get_temp_dir() . '/a'); return file_put_contents(sys_get_temp_dir() . '/a/b', 'x');`)
	if _, err := do(p, "exit 1"); err == nil {
		t.Error("no error of the worker that ended")
	}
	eventually(t, "its folder is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	if next := eval(t, p, `return sys_get_temp_dir();`); next == dir || filepath.Dir(next) != base {
		t.Errorf("the next worker has %q", next)
	}
}

func TestLandlock(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"app", "var", "other"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "file"), []byte(dir), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(root, "tmp"))
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	o := isolate.Options{PrivateTmp: true, Landlock: &isolate.Landlock{Read: []string{scripts}, Write: []string{filepath.Join(root, "var")}}}
	p := isolated(t, o, filepath.Join(root, "app"))
	for _, c := range []struct{ what, code, want string }{
		{"read the application", `return @file_get_contents("ROOT/app/file");`, "app"},
		{"write into it", `return var_export(@file_put_contents("ROOT/app/new", "x"), true);`, "false"},
		{"change a file of it", `return var_export(@file_put_contents("ROOT/app/file", "x"), true);`, "false"},
		{"write where it may", `return file_put_contents("ROOT/var/new", "x") . rename("ROOT/var/new", "ROOT/var/old") . unlink("ROOT/var/old");`, "111"},
		{"read elsewhere", `return var_export(@file_get_contents("ROOT/other/file"), true);`, "false"},
		{"list elsewhere", `return var_export(@scandir("ROOT"), true);`, "false"},
		{"use its temporary folder", `$f = tempnam("", "x"); return file_put_contents($f, "abc") . (strpos($f, sys_get_temp_dir()) === 0);`, "31"},
		{"use that of others", `return var_export(@file_put_contents("ROOT/tmp/x", "x"), true);`, "false"},
		{"run a program", `return trim(shell_exec("echo child; cat ROOT/other/file 2>&1"));`, "child\ncat: ROOT/other/file: Permission denied"},
		{"read the system", `return (string) (strlen(file_get_contents("/etc/passwd")) > 0);`, "1"},
		{"use devices", `return (string) strlen(file_get_contents("/dev/urandom", false, null, 0, 8)) . file_put_contents("/dev/null", "x");`, "81"},
	} {
		replace := strings.NewReplacer("ROOT", root)
		if got := eval(t, p, replace.Replace(c.code)); got != replace.Replace(c.want) {
			t.Errorf("%s: got %q", c.what, got)
		}
	}
}

func TestSeccomp(t *testing.T) {
	const harmless = `
		$s = stream_socket_server("tcp://127.0.0.1:0"); $c = stream_socket_client("tcp://" . stream_socket_get_name($s, false));
		$a = stream_socket_accept($s); fwrite($c, "ping"); $got = fread($a, 4);
		$p = proc_open("cat | tr a-z A-Z", [["pipe", "r"], ["pipe", "w"]], $pipes); fwrite($pipes[0], "pong"); fclose($pipes[0]);
		$got .= stream_get_contents($pipes[1]); proc_close($p);
		$f = tempnam(sys_get_temp_dir(), "x"); file_put_contents($f, "file", LOCK_EX); $got .= file_get_contents($f); unlink($f);
		$pid = pcntl_fork(); if ($pid === 0) { posix_kill(getmypid(), SIGKILL); } pcntl_waitpid($pid, $status); $got .= pcntl_wtermsig($status);
		usleep(10); return $got . strlen(random_bytes(8)) . (count(scandir("/")) > 2);`
	const forbidden = `exec("unshare --user true 2>&1", $o, $code); return $code . " " . implode(" ", $o);`
	for profile, o := range map[string]isolate.Seccomp{
		"php":                {Profile: isolate.ProfilePHP},
		"deny":               {Profile: isolate.ProfileDeny},
		"php without socket": {Profile: isolate.ProfilePHP, Deny: []string{"socket"}},
		"deny and no mkdir":  {Profile: isolate.ProfileDeny, Deny: []string{"mkdir", "mkdirat"}},
	} {
		t.Run(profile, func(t *testing.T) {
			p := isolated(t, isolate.Options{Seccomp: o}, "")
			if profile == o.Profile {
				equal(t, "ordinary work", eval(t, p, harmless), "pingPONGfile981")
			}
			if got := eval(t, p, forbidden); !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "not permitted") {
				t.Errorf("a new namespace: %q", got)
			}
			switch {
			case len(o.Deny) == 0:
			case o.Deny[0] == "socket":
				equal(t, "socket", eval(t, p, `return var_export(@stream_socket_server("tcp://127.0.0.1:0"), true);`), "false")
			default:
				equal(t, "mkdir", eval(t, p, `return var_export(@mkdir(sys_get_temp_dir() . "/rrd-never"), true);`), "false")
			}
		})
	}
}

// Limits that would stop the step between fork and exec are put on after it.
func TestIsolationWithRlimits(t *testing.T) {
	spec := phpSpec(t)
	o := isolate.Options{Seccomp: isolate.Seccomp{Profile: isolate.ProfilePHP}}
	spec.Isolation = o.Plan(spec.Argv, "", os.TempDir())
	c := Config{NumWorkers: 1}
	c.Limits.AS = 400 << 20
	p, _ := newPool(t, c, withSpec(spec))
	got := eval(t, p, `preg_match('/Max address space\s+(\d+)\s+(\d+)/', file_get_contents('/proc/self/limits'), $m); return "$m[1] $m[2]";`)
	equal(t, "address space", got, "419430400 419430400")
}

// What cannot be applied is told with the worker's last words.
func TestIsolationFails(t *testing.T) {
	dir := t.TempDir()
	spec := phpSpec(t)
	o := isolate.Options{Landlock: &isolate.Landlock{Write: []string{filepath.Join(dir, "gone")}}}
	spec.Isolation = o.Plan(spec.Argv, "", os.TempDir())
	p, _ := unstarted(t, Config{NumWorkers: 1}, withSpec(spec))
	err := p.Start(t.Context())
	var boot *BootError
	if !errors.As(err, &boot) || !strings.Contains(boot.Explain(), "cannot isolate the worker: landlock: cannot use "+filepath.Join(dir, "gone")) {
		t.Errorf("%v", err)
	}
}
