// Package packaging_test builds the packages and looks into them.
package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// run returns the standard output of a command, and fails the test with all of
// its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, &stdout, &stderr)
	}
	return stdout.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPackages builds everything once. The first run on a machine builds nfpm,
// which takes a minute; it stays in the user's cache folder.
func TestPackages(t *testing.T) {
	dist := t.TempDir()
	build := exec.Command("./build")
	build.Env = append(os.Environ(), "DIST="+dist, "VERSION=0.1.0", "RELEASE=1", "FORMATS=deb rpm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("packaging/build: %v\n%s", err, out)
	}
	one := func(pattern string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dist, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d files %s, 1 expected", len(found), pattern)
		}
		return found[0]
	}
	rrd, php, extension := one("rrd_0.1.0-1_*.deb"), one("php-rr_0.1.0-1_all.deb"), one("php[0-9]*-rr_0.1.0-1_*.deb")
	one("rrd-0.1.0-1.*.rpm")
	one("php-rr-0.1.0-1.noarch.rpm")

	t.Run("lintian", func(t *testing.T) {
		// --no-cfg and --profile: the same verdict on every machine.
		out, err := exec.Command("lintian", "--no-cfg", "--profile", "debian", "--allow-root", "--fail-on", "error,warning", rrd, php, extension).CombinedOutput()
		if err != nil {
			t.Errorf("lintian: %v\n%s", err, out)
		}
	})

	t.Run("content", func(t *testing.T) {
		list := run(t, "dpkg-deb", "-c", rrd)
		for _, want := range []string{
			`-rwxr-xr-x root/root .* \./usr/bin/rrd`,
			`-rwxr-xr-x root/root .* \./usr/bin/rrctl`,
			`\./usr/bin/rr -> rrctl`,
			`drwxr-xr-x root/root .* \./etc/rr/`,
			`-rw-r--r-- .* \./usr/lib/systemd/system/rr@\.service`,
			`-rw-r--r-- .* \./usr/lib/systemd/system/rr-rpc@\.socket`,
			`\./usr/lib/sysusers\.d/rrd\.conf`,
			`\./usr/lib/tmpfiles\.d/rrd\.conf`,
			`\./usr/share/rrd/app\.yaml`,
			`\./usr/share/rrd/grafana/rrd\.json`,
			`\./usr/share/man/man1/rrctl\.1\.gz`,
			`\./usr/share/man/man1/rr\.1\.gz -> rrctl\.1\.gz`,
			`\./usr/share/man/man5/rr\.yaml\.5\.gz`,
			`\./usr/share/man/man8/rrd\.8\.gz`,
			`\./usr/share/man/man8/rr@\.service\.8\.gz`,
			`\./usr/share/bash-completion/completions/rrctl`,
			`\./usr/share/zsh/vendor-completions/_rrctl`,
			`\./usr/share/fish/vendor_completions\.d/rrctl\.fish`,
			`\./usr/share/doc/rrd/third-party\.txt\.gz`,
		} {
			if !regexp.MustCompile(`(?m)` + want + `$`).MatchString(list) {
				t.Errorf("%s is not in the package", want)
			}
		}
		units, err := filepath.Glob("../systemd/rr*@.*")
		if err != nil || len(units) != 11 {
			t.Errorf("%d units in the tree: %v", len(units), err)
		}
		for _, unit := range units {
			if !strings.Contains(list, "./usr/lib/systemd/system/"+filepath.Base(unit)+"\n") {
				t.Errorf("%s is not in the package", unit)
			}
		}
		// Only configuration may lie in /etc, and no package ships an instance.
		for line := range strings.Lines(list) {
			if _, path, ok := strings.Cut(strings.TrimSpace(line), " ./etc/"); ok && path != "" && path != "rr/" {
				t.Errorf("/etc/%s is in the package", path)
			}
		}
	})

	t.Run("programs", func(t *testing.T) {
		dir := t.TempDir()
		run(t, "dpkg-deb", "-x", rrd, dir)
		for _, name := range []string{"rrd", "rr"} {
			if out := run(t, filepath.Join(dir, "usr/bin", name), "--version"); !strings.Contains(out, "0.1.0") {
				t.Errorf("%s --version: %s", name, out)
			}
		}
		if out := run(t, filepath.Join(dir, "usr/bin/rrctl"), "version"); !strings.Contains(out, "0.1.0") {
			t.Errorf("rrctl version: %s", out)
		}
		run(t, filepath.Join(dir, "usr/bin/rrd"), "--check", "--config", filepath.Join(dir, "usr/share/rrd/app.yaml"),
			"-o", "server.dir="+dir) // that of the example is the user's to make
	})

	t.Run("php", func(t *testing.T) {
		dir := t.TempDir()
		run(t, "dpkg-deb", "-x", php, dir)
		root := filepath.Join(dir, "usr/share/php/RR")
		out := run(t, "php", "-r", fmt.Sprintf(`require '%s/autoload.php'; echo class_exists('RR\Worker') ? (new ReflectionClass('RR\Worker'))->getFileName() : '';`, root))
		if out != filepath.Join(root, "Worker.php") {
			t.Errorf("RR\\Worker is in %q", out)
		}
		example := read(t, filepath.Join(dir, "usr/share/doc/php-rr/examples/worker.php"))
		if !strings.Contains(example, "'/usr/share/php/RR/autoload.php'") || strings.Contains(example, "../autoload.php") {
			t.Error("the example does not require the installed autoloader")
		}
	})

	t.Run("extension", func(t *testing.T) { testExtension(t, extension) })
}

// testExtension looks into the package of rr.so, for the PHP of this machine.
func testExtension(t *testing.T, deb string) {
	version, api := strings.TrimSpace(run(t, "php-config", "--version")), strings.TrimSpace(run(t, "php-config", "--phpapi"))
	version = strings.Join(strings.Split(version, ".")[:2], ".")
	dir := t.TempDir()
	run(t, "dpkg-deb", "-R", deb, dir)
	control := func(name string) string { return read(t, filepath.Join(dir, "DEBIAN", name)) }

	text := control("control")
	for _, want := range []string{
		"Package: php" + regexp.QuoteMeta(version) + "-rr",
		`Architecture: \w+`,
		`Depends: libc6 \(>= 2\.\d+\), php-common \(>= 1:81~\), phpapi-` + api,
		"Recommends: php-rr",
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(text) {
			t.Errorf("%s is not in the control file:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Architecture: all") {
		t.Error("a compiled file in a package for all architectures")
	}
	ini := "/etc/php/" + version + "/mods-available/rr.ini"
	if list := control("conffiles"); list != ini+"\n" {
		t.Errorf("conffiles: %q", list)
	}
	for _, line := range []string{"; priority=20\n", "\nextension=rr.so\n"} { // phpenmod reads the first
		if !strings.Contains(read(t, filepath.Join(dir, ini)), line) {
			t.Errorf("%s lacks %q", ini, line)
		}
	}
	for script, want := range map[string]string{
		"postinst": "php_invoke enmod " + version + " ALL rr\n",
		"prerm":    "php_invoke dismod " + version + " ALL rr\n",
		"postrm":   "/var/lib/php/modules/" + version + "/registry/rr",
	} {
		if text := control(script); !strings.Contains(text, want) || strings.Contains(text, "@") {
			t.Errorf("%s:\n%s", script, text)
		}
		run(t, "sh", "-n", filepath.Join(dir, "DEBIAN", script))
	}

	so := filepath.Join(dir, "usr/lib/php", api, "rr.so")
	if out := run(t, "php", "-n", "-d", "extension="+so, "-r", `echo phpversion('rr');`); out != "0.1.0" {
		t.Errorf("the extension is of version %q", out)
	}
	symbols := run(t, "objdump", "-T", so)
	if exported := regexp.MustCompile(`(?m)^.* g +D\S* +\.\S+\s.*$`).FindAllString(symbols, -1); len(exported) != 1 || !strings.Contains(exported[0], "get_module") {
		t.Errorf("it shows the process %q, wanted get_module", exported)
	}
	// Came with PHP 8.2.36, which the dependency on phpapi does not say (php/ext/text.h).
	if strings.Contains(symbols, "ferealloc") {
		t.Error("it does not load in every PHP of this API")
	}
	if !strings.Contains(symbols, "__stack_chk_fail") {
		t.Error("it was compiled without Debian's hardening")
	}
}

// extensionIn runs packaging/extension and returns what it says.
func extensionIn(t *testing.T, dir string, env ...string) string {
	t.Helper()
	cmd := exec.Command("./extension", dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("packaging/extension: %v\n%s", err, out)
	}
	return string(out)
}

// A machine that cannot make the extension makes the other packages, and says what it
// lacks.
func TestExtensionLeftOut(t *testing.T) {
	other := filepath.Join(t.TempDir(), "php-config")
	if err := os.WriteFile(other, []byte("#!/bin/sh\necho /usr/local/lib/php\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{
		"PHP_CONFIG=":                        "",
		"PHP_CONFIG=/nonexistent/php-config": "/nonexistent/php-config is missing (apt-get install php-dev)",
		"PHP_CONFIG=" + other:                other + " is not of Debian's PHP",
		"CC=/nonexistent/cc":                 "there is no C compiler (apt-get install gcc libc6-dev)",
		"ARCH=sparc64":                       "it is made on a machine of sparc64 only",
	} {
		dir := filepath.Join(t.TempDir(), "ext")
		if want != "" {
			want = "packaging: no package of the PHP extension: " + want + "\n"
		}
		if out := extensionIn(t, dir, env); out != want {
			t.Errorf("%s: it says %q, wanted %q", env, out, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: it has made something", env)
		}
	}
}

// The same sources give the same file, wherever they are put together.
func TestExtensionIsReproducible(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	extensionIn(t, a)
	extensionIn(t, b)
	if read(t, filepath.Join(a, "rr.so")) != read(t, filepath.Join(b, "rr.so")) {
		t.Error("two builds differ")
	}
}

func TestScripts(t *testing.T) {
	for _, pattern := range []string{"deb/*", "rpm/*", "build", "extension"} {
		scripts, err := filepath.Glob(pattern)
		if err != nil || len(scripts) == 0 {
			t.Errorf("no scripts %s: %v", pattern, err)
		}
		for _, script := range scripts {
			run(t, "sh", "-n", script)
		}
	}
	// An upgrade stops nothing: only a removal may.
	for _, s := range []struct{ script, guard, act string }{
		{"deb/prerm", `[ "$1" = remove ]`, " stop "},
		{"deb/ext-prerm", `[ "$1" = remove ]`, " dismod "},
		{"rpm/preun", `[ "$1" -eq 0 ]`, " stop "},
	} {
		if text := read(t, s.script); strings.Index(text, s.guard) < 0 || strings.Index(text, s.guard) > strings.Index(text, s.act) {
			t.Errorf("%s has %s outside of %s", s.script, s.act, s.guard)
		}
	}
}

// The changelogs, packaging/build and the Makefile speak of one version.
func TestVersion(t *testing.T) {
	entry := regexp.MustCompile(`^[\w-]+ \(([^-)]+)-\d+\) `)
	first := func(name string) string {
		m := entry.FindStringSubmatch(read(t, name))
		if m == nil {
			t.Fatalf("%s does not begin with an entry", name)
		}
		return m[1]
	}
	version := first("changelog")
	if other := first("changelog-php"); other != version {
		t.Errorf("changelog has %s, changelog-php %s", version, other)
	}
	if !strings.Contains(read(t, "build"), "VERSION=${VERSION:-"+version+"}") {
		t.Errorf("packaging/build does not default to %s", version)
	}
	if !regexp.MustCompile(`(?m)^VERSION \?= ` + regexp.QuoteMeta(version) + `$`).MatchString(read(t, "../Makefile")) {
		t.Errorf("the Makefile does not default to %s", version)
	}
}
