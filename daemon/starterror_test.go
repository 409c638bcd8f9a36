package daemon

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Every mistake gives one line that names key, value or file, and the fix; exit
// status 1; nothing is left running. `rr serve` prints RoadRunner's text last.
func TestBadConfiguration(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const serve = "handle_serve_command: Function call error:\n\tserve error from the plugin *http.Plugin stopping execution, error: "
	const allocate = serve + "static_pool_allocate_workers: WorkerAllocate: "
	for _, c := range []struct {
		name     string
		old, new string // change of the plain configuration
		worker   string // worker.php, if not the usual one
		want     []string
		without  string // must not be in the line
		rr       string
	}{
		{
			name: "unknown key", old: "num_workers", new: "num_worker",
			want: []string{"app.yaml: line 10", `"num_worker"`, `did you mean "num_workers"?`},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation: unknown key \"num_worker\"",
		}, {
			name: "unknown section", old: "rpc:", new: "rcp:",
			want: []string{"app.yaml: line 5", `"rcp"`, `did you mean "rpc"?`},
			rr:   "handle_serve_command:\n\tconfig_plugin_init: unknown section \"rcp\"",
		}, {
			name: "wrong type", old: "num_workers: 1", new: "num_workers: many",
			want: []string{"app.yaml: line 10: http.pool.num_workers", `"many"`, "whole number"},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation: ",
		}, {
			name: "too large", old: "num_workers: 1", new: "num_workers: 1000",
			want: []string{"app.yaml: line 10: http.pool.num_workers", "500"},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation: number of workers can't be more than 500",
		}, {
			name: "no command", old: `command: "php worker.php"`, new: "env: {}",
			want: []string{"app.yaml: line 3: server.command", "should not be empty", `command: "php worker.php"`},
			rr:   "handle_serve_command:\n\tserver_plugin_init: command should not be empty",
		}, {
			name: "no address", old: "address: unix://http.sock", new: "",
			want: []string{"app.yaml: line 7: http.address", "write for example"},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation: unable to run http service, no method has been specified (http, https, http/2 or FastCGI)",
		}, {
			name: "key that is not served", old: "  pool:", new: "  cache: {}\n  pool:",
			want: []string{"app.yaml: line 9: http.cache", "not served", "remove it"},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation: key \"cache\" is not served",
		}, {
			name: "no certificate", old: "  pool:", new: "  ssl: {key: no.pem, cert: no.pem}\n  pool:",
			want: []string{"app.yaml: line 9: http.ssl.key", "'no.pem'", "does not exists"},
			rr:   "handle_serve_command:\n\thttp_plugin_init:\n\tvalidation:\n\tssl_valid: key file 'no.pem' does not exists",
		}, {
			name: "port in use", old: "unix://http.sock", new: taken.Addr().String(),
			want: []string{"app.yaml: line 8: http.address", taken.Addr().String(), "in use", "choose another"},
			rr:   serve + "cannot listen on " + taken.Addr().String(),
		}, {
			name: "RPC address is a file", old: "unix://rpc.sock", new: "unix://worker.php",
			want: []string{"app.yaml: line 6: rpc.listen", "worker.php", "not a socket", "remove it or choose another"},
			rr:   "handle_serve_command: Function call error:\n\tserve error from the plugin *rpc.Plugin stopping execution, error: ",
		}, {
			name: "program not found", old: "php worker.php", new: "php99 worker.php",
			want: []string{"app.yaml: line 4: server.command", `"php99"`, "install it"},
			rr:   serve + `cannot find the program "php99"`,
		}, {
			name: "folder not found", old: "command:", new: "dir: nowhere\n  command:",
			want: []string{"app.yaml: line 4: server.dir", `"nowhere"`, "no such file or directory", "name the folder"},
			rr:   serve + "cannot use the folder",
		}, {
			name: "unknown user", old: "command:", new: "user: nobody-at-all\n  command:",
			want: []string{"app.yaml: line 4: server.user", `"nobody-at-all"`, "useradd"},
			rr:   serve + `unknown user "nobody-at-all"`,
		}, {
			name: "unknown group", old: "command:", new: "group: no-group-at-all\n  command:",
			want: []string{"app.yaml: line 4: server.group", `"no-group-at-all"`, "groupadd"},
			rr:   serve + `unknown group "no-group-at-all"`,
		}, {
			name: "relay cannot listen", old: "command:", new: "relay: unix://nowhere/relay.sock\n  command:",
			want: []string{"app.yaml: line 4: server.relay", "nowhere/relay.sock"},
			rr:   "handle_serve_command: Function call error:\n\tserve error from the plugin *server.Plugin stopping execution, error: ",
		}, {
			name: "script not found", old: "worker.php", new: "absent.php",
			want: []string{"app.yaml: line 4: server.command", "php absent.php", "Could not open input file"},
			rr:   allocate,
		}, {
			name: "garbage", worker: "<?php echo 'good morning, this is not a frame';",
			want: []string{"app.yaml: line 4: server.command", "php worker.php", "good morning", "STDOUT"},
			rr:   allocate + "validation failed on the message sent to STDOUT",
		}, {
			name: "garbage of several lines", worker: "<html>\n<body>not a frame</body>\n</html>\n",
			want:    []string{"stdout-crc: \"php worker.php\" ended with exit status 0; the application printed to STDOUT", "print to STDERR: <html>"},
			without: "<body>",
			rr:      allocate + "validation failed on the message sent to STDOUT",
		}, {
			name: "garbage that the hint does not quote", worker: "X-Powered-By: PHP/8\n\nhello\n",
			want:    []string{"X-Powered-By: PHP/8 | hello: \"php worker.php\"", "php-cgi"},
			without: "| :",
			rr:      allocate + "validation failed on the message sent to STDOUT",
		}, {
			name: "fatal error", worker: "<?php no_such_function();",
			want: []string{"app.yaml: line 4: server.command", "php worker.php", "exit status 255", "no_such_function"},
			rr:   allocate,
		}, {
			name: "ends at once", worker: "<?php exit(3);",
			want: []string{"app.yaml: line 4: server.command", "php worker.php", "exit status 3", "EOF"},
			rr:   allocate + "EOF",
		}, {
			name: "never answers", old: "num_workers: 1", new: "allocate_timeout: 500ms", worker: "<?php while (true) usleep(10000);",
			want: []string{"app.yaml: line 4: server.command", "php worker.php", "never answered", "allocate_timeout"},
			rr:   allocate + "failed to spawn a worker, possible reasons: https://docs.roadrunner.dev/error-codes/allocate-timeout",
		}, {
			name: "on_init fails", old: "command:", new: "on_init: {command: \"false\", exit_on_error: true}\n  command:",
			want: []string{"app.yaml: line 4: server.on_init.command", `"false"`, "exit status 1"},
			rr:   "handle_serve_command:\n\tserver_plugin_init: cannot run \"false\"",
		}, {
			name: "on_init hangs", old: "command:", new: "on_init: {command: \"sleep 1000\", exit_on_error: true, exec_timeout: 100ms}\n  command:",
			want: []string{"app.yaml: line 4: server.on_init.exec_timeout", `"sleep 1000"`, "100ms"},
			rr:   "handle_serve_command:\n\tserver_plugin_init: startup process has been killed by timeout",
		}, {
			name: "nothing to serve", old: plain, new: "version: \"3\"\n",
			want: []string{"nothing to serve", "http"},
			rr:   "handle_serve_command: nothing to serve",
		}, {
			name: "log file", old: "rpc:", new: "logs: {output: nowhere/app.log}\nrpc:",
			want: []string{"logs.output", "nowhere/app.log", "no such file or directory"},
			rr:   "handle_serve_command:\n\tlogs_plugin_init: ",
		}, {
			name: "no version", old: `version: "3"`, new: "",
			want: []string{"app.yaml", "version: 3"},
			rr:   "handle_serve_command: rr configuration file should contain a version e.g: version: 3",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newSite(t, plain)
			if c.new != c.old {
				a.change("app.yaml", c.old, c.new)
			}
			if c.worker != "" {
				a.write("worker.php", c.worker)
			}
			a.start()
			if code := a.wait(); code != 1 {
				t.Errorf("exit status %d, want 1", code)
			}
			a.nothingLeft()
			var own []string
			for line := range strings.Lines(a.output.String()) {
				if strings.HasPrefix(line, "rrd: ") {
					own = append(own, line)
				}
			}
			if len(own) != 1 {
				t.Fatalf("%d lines of rrd, want 1:\n%s", len(own), strings.Join(own, ""))
			}
			for _, want := range c.want {
				if !strings.Contains(own[0], want) {
					t.Errorf("no %q in %s", want, own[0])
				}
			}
			if c.without != "" && strings.Contains(own[0], c.without) {
				t.Errorf("%q in %s", c.without, own[0])
			}
			if strings.Contains(a.output.String(), "panic") {
				t.Error("panic")
			}

			a.prog = []string{filepath.Join(bin, "rr"), "serve"}
			a.start()
			if code := a.wait(); code != 1 {
				t.Errorf("rr serve: exit status %d, want 1", code)
			}
			out := a.output.String()
			i := strings.LastIndex(out, "handle_serve_command:")
			if i < 0 || !strings.HasPrefix(out[i:], c.rr) || strings.Contains(out[i:], "rrd:") {
				t.Errorf("rr serve does not end with %q", c.rr)
			}
		})
	}
}

// What RoadRunner's text says is not said twice.
func TestMissingFileOfServe(t *testing.T) {
	a := newSite(t, plain)
	a.prog = []string{filepath.Join(bin, "rr"), "serve", "-o", "http.address=:1"}
	a.start("-c", "nope.yaml")
	if code := a.wait(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	if out := a.output.String(); strings.Count(out, "nope.yaml") != 1 || !strings.HasPrefix(out, "handle_serve_command:") {
		t.Errorf("%q", out)
	}
}

func TestHelp(t *testing.T) {
	a := newSite(t, plain)
	a.start("--help")
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if !a.output.has("      --roadrunner            print the start") {
		t.Errorf("%s", a.output)
	}
}

// All mistakes of a file come at once, a line each.
func TestSeveralMistakes(t *testing.T) {
	a := newSite(t, strings.NewReplacer("num_workers", "num_worker", "unix://rpc.sock", "rpc.sock", "command", "comand").Replace(plain))
	a.start()
	if code := a.wait(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	lines := strings.Split(strings.TrimSpace(a.output.String()), "\n")
	if len(lines) != 3 {
		t.Errorf("%d lines, want 3", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "rrd: cannot read ") || !strings.Contains(line, ": line ") {
			t.Errorf("odd line %q", line)
		}
	}
}

func TestCheck(t *testing.T) {
	a := newSite(t, plain+"logs: {mode: shiny}\nendure: {log_level: debug}\ntemporal: {address: 127.0.0.1:7233}\n")
	a.start("--check")
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{`logs.mode: "shiny" is no mode`, "endure.log_level: has no effect", "temporal: section is not served"} {
		if !a.output.has("rrd: warning: ") || !a.output.has(want) {
			t.Errorf("no warning %q", want)
		}
	}
	a.change("app.yaml", "php worker.php", "php99 worker.php")
	a.start("--check")
	if code := a.wait(); code != 1 || !a.output.has("server.command") {
		t.Errorf("exit status %d", code)
	}
}
