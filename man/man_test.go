// Package man_test checks the manual pages: their form, and that they say of
// flags and keys what the programs know, no more and no less.
package man_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/listeners/fileserver"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/services/kv/boltdb"
	"github.com/rr-systemd/rrd/services/kv/memcached"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/kv/redis"
	"github.com/rr-systemd/rrd/services/metrics"
	"github.com/rr-systemd/rrd/services/service"
	"github.com/rr-systemd/rrd/services/status"
	"github.com/rr-systemd/rrd/services/tracing"
)

var pages = []string{"rr.yaml.5", "rr@.service.8", "rrctl.1", "rrd.8"}

func TestLint(t *testing.T) {
	out, err := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
}

// program builds a command and returns what prints its help.
func program(t *testing.T, name string) func(args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", name, err, out)
	}
	return func(args ...string) string {
		out, err := exec.Command(bin, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
}

var (
	helpFlag    = regexp.MustCompile(`(?m)^ +(?:-(\w), +)?--([\w-]+)`)
	helpCommand = regexp.MustCompile(`(?m)^  (\w+) +\S`)
	pageFlag    = regexp.MustCompile(`\bFl (-?[\w-]+)`)
	pageKey     = regexp.MustCompile(`(?m)^\.It Va ([\w.\[\]]+) (.*)`)
)

// flags of a help text, as a page writes them: "c", "-config".
func flags(help string) []string {
	var list []string
	for _, m := range helpFlag.FindAllStringSubmatch(help, -1) {
		if m[1] != "" {
			list = append(list, m[1])
		}
		list = append(list, "-"+m[2])
	}
	return list
}

// commands that a help text lists, without those that cobra adds for itself.
func commands(help string) []string {
	_, list, ok := strings.Cut(help, "Available Commands:\n")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for _, m := range helpCommand.FindAllStringSubmatch(list, -1) {
		if m[1] != "help" {
			names = append(names, m[1])
		}
	}
	return names
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// items are the flags that a page describes, in lines .It Fl.
func items(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".It Fl ") {
			for _, m := range pageFlag.FindAllStringSubmatch(line, -1) {
				list = append(list, m[1])
			}
		}
	}
	return list
}

// same reports what is only in one of the lists.
func same(t *testing.T, what string, program, page []string) {
	t.Helper()
	for _, s := range program {
		if !slices.Contains(page, s) {
			t.Errorf("%s %s is not in the page", what, s)
		}
	}
	for _, s := range page {
		if !slices.Contains(program, s) {
			t.Errorf("%s %s is in the page only", what, s)
		}
	}
}

func TestRrdFlags(t *testing.T) {
	same(t, "rrd flag", flags(program(t, "rrd")("--help")), items(page(t, "rrd.8")))
}

func TestRrctlFlags(t *testing.T) {
	help := program(t, "rrctl")
	text := page(t, "rrctl.1")
	var known []string
	var walk func(path []string)
	walk = func(path []string) {
		h := help(append(slices.Clone(path), "--help")...)
		known = append(known, flags(h)...)
		for _, name := range commands(h) {
			item := ""
			switch {
			case len(path) == 0:
				item = "Cm " + name
			case slices.Equal(path, []string{"rr"}):
				if name != "completion" {
					item = "Nm rr Cm " + name
				}
			case len(path) == 1 && path[0] != "completion":
				item = "Cm " + path[0] + " " + name
			}
			if !strings.Contains(text, "\n.It "+item) {
				t.Errorf("command %q is not in the page", append(path, name))
			}
			walk(append(slices.Clone(path), name))
		}
	}
	walk(nil)
	described := items(text)
	// Said in the text of its command, not as an item.
	if strings.Contains(text, ".Fl -no-descriptions") {
		described = append(described, "-no-descriptions")
	}
	same(t, "rrctl flag", known, described)
}

// keys lists the dotted names of all cfg tags of a struct.
func keys(prefix string, typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	var list []string
	for i := range typ.NumField() {
		field := typ.Field(i)
		tag, ok := field.Tag.Lookup("cfg")
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case strings.Contains(options, "squash"):
			list = append(list, keys(prefix, inner)...)
		case inner.Kind() == reflect.Struct:
			list = append(list, keys(prefix+"."+name, inner)...)
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			list = append(list, keys(prefix+"."+name+"[]", inner.Elem())...)
		default:
			list = append(list, prefix+"."+name)
		}
	}
	return list
}

// TestKeys holds rr.yaml(5) against the structs that the sections are decoded
// into.
func TestKeys(t *testing.T) {
	known := []string{"version", "include", "envfile", "kv.NAME.driver", "lock.driver"}
	for _, section := range []struct {
		name string
		into any
	}{
		{"server", config.Server{}},
		{"rpc", config.RPC{}},
		{"endure", config.Endure{}},
		{"ipc", ipc.Config{}},
		{"metrics", metrics.Config{}},
		{"status", status.Config{}},
		{"logs", logging.Config{}},
		{"http", http.Config{}},
		{"http.pool", pool.Config{}},
		{"otel", tracing.Config{}},
		{"memory", memory.Config{}},
		{"boltdb", boltdb.Config{}},
		{"redis", redis.Config{}},
		{"memcached", memcached.Config{}},
		{"fileserver", fileserver.Config{}},
		{"service.NAME", service.Settings{}},
	} {
		known = append(known, keys(section.name, reflect.TypeOf(section.into))...)
	}
	var described []string
	for _, m := range pageKey.FindAllStringSubmatch(page(t, "rr.yaml.5"), -1) {
		if m[2] != "Ar section" { // the keys in it are items of their own
			described = append(described, m[1])
		}
	}
	same(t, "key", known, described)
	for i, key := range described {
		if slices.Contains(described[:i], key) {
			t.Errorf("key %s is in the page twice", key)
		}
	}
}
