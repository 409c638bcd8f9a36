package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/daemon/config"
)

// phpFacts is what PHP says of itself.
type phpFacts struct {
	Version    string            `json:"version"`
	ID         int               `json:"id"` // PHP_VERSION_ID: 80236
	Debug      bool              `json:"debug"`
	SAPI       string            `json:"sapi"`
	Extensions []string          `json:"extensions"`
	INI        map[string]string `json:"ini"` // "" also for what is off or unknown
	File       string            `json:"file"`
}

const phpProgram = `$ini = [];
foreach (['opcache.enable_cli', 'opcache.jit', 'ffi.enable', 'memory_limit', 'max_execution_time', 'display_errors', 'disable_functions', 'xdebug.mode'] as $k) {
    $ini[$k] = (string) ini_get($k);
}
echo json_encode(['version' => PHP_VERSION, 'id' => PHP_VERSION_ID, 'debug' => (bool) PHP_DEBUG, 'sapi' => PHP_SAPI,
    'extensions' => get_loaded_extensions(), 'ini' => $ini, 'file' => (string) php_ini_loaded_file()]);`

// phpWanted is the oldest version that the PHP packages of RoadRunner v2025
// take.
const phpWanted = 80100

// php asks the interpreter that the workers of the configuration use.
func (d *doctor) php(ctx context.Context, tree *config.Tree) {
	d.area = "php"
	program := "php"
	if tree != nil {
		var s config.Server
		if tree.Decode("server", &s) == nil {
			if argv := strings.Fields(strings.Join(s.Command, " ")); len(argv) > 0 && strings.HasPrefix(filepath.Base(argv[0]), "php") {
				program = argv[0]
			}
		}
	}
	cmd := exec.CommandContext(ctx, program, "-r", phpProgram)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(problem.String())
		if text == "" {
			text = err.Error()
		}
		d.add("php", failure, text, "install it (apt-get install php-cli), or name it with its whole path in server.command")
		return
	}
	var facts phpFacts
	// What an ini file or an extension prints at the start comes first, and
	// would break the workers' channel too.
	before, answer, _ := strings.Cut(out.String(), "{")
	if err := json.Unmarshal([]byte("{"+answer), &facts); err != nil {
		d.add("php", failure, "it answers "+out.String(), "see whether "+program+" is PHP's command line program")
		return
	}
	d.check("output", strings.TrimSpace(before) == "", failure, strings.TrimSpace("nothing is printed at the start "+before),
		"what PHP prints before a worker runs breaks its channel: see the errors of extensions in "+facts.File)
	d.judge(&facts)
}

func (d *doctor) judge(p *phpFacts) {
	d.check("php", p.ID >= phpWanted, failure, p.Version+" ("+p.SAPI+")", "upgrade: RoadRunner's PHP packages take 8.1 and later")
	d.check("interface", p.SAPI == "cli", failure, "the program is for "+p.SAPI, "use the command line program: apt-get install php-cli")
	if p.Debug {
		d.add("debug build", warning, "PHP is built with --enable-debug", "use an ordinary build: this one is several times slower")
	}
	has := func(name string) bool {
		return slices.ContainsFunc(p.Extensions, func(e string) bool { return strings.EqualFold(e, name) })
	}
	d.check("json", has("json"), failure, loaded(has("json")), "install the extension json: the protocol needs it")
	d.check("sockets", has("sockets"), warning, loaded(has("sockets")), "install the extension sockets: RoadRunner's goridge package needs it for RPC and socket relays")
	d.check("mbstring", has("mbstring"), note, loaded(has("mbstring")), "apt-get install php-mbstring: frameworks want it")
	d.check("protobuf", has("protobuf"), note, loaded(has("protobuf")),
		"pecl install protobuf: kv, lock, jobs and service calls encode faster than with the package google/protobuf")
	ffi := has("FFI") && p.INI["ffi.enable"] != "" && p.INI["ffi.enable"] != "0" && p.INI["ffi.enable"] != "false"
	d.check("ffi", ffi, note, onOff(has("FFI"), ffi, "ffi.enable = "+p.INI["ffi.enable"]),
		"ffi.enable = preload in php.ini, which is the default: PHP reads large bodies from shared memory by it")
	opcache := has("Zend OPcache") && iniOn(p.INI["opcache.enable_cli"])
	d.check("opcache", opcache, note, onOff(has("Zend OPcache"), opcache, "opcache.enable_cli = "+p.INI["opcache.enable_cli"]),
		"opcache.enable_cli = 1 in "+ini(p)+": its optimiser speeds up long-lived workers, at some memory for each")
	if has("xdebug") {
		mode := p.INI["xdebug.mode"]
		d.check("xdebug", mode == "off", warning, "loaded, xdebug.mode = "+mode, "xdebug.mode = off, or do not load it: it slows down every request")
	}
	d.check("memory_limit", p.INI["memory_limit"] != "-1", note, "memory_limit = "+p.INI["memory_limit"],
		"a leak grows until the machine is full: set it in "+ini(p)+", or http.pool.limits.memory and http.pool.supervisor.max_worker_memory")
	d.check("display_errors", !iniOn(p.INI["display_errors"]) || p.INI["display_errors"] == "stderr", note, "display_errors = "+cmp.Or(p.INI["display_errors"], "off"),
		"display_errors = stderr in "+ini(p)+": an error that is printed before the worker is ready breaks its channel")
	if p.INI["max_execution_time"] != "0" && p.INI["max_execution_time"] != "" {
		d.add("max_execution_time", warning, p.INI["max_execution_time"]+" s", "set it to 0 for the command line: it would end workers; http.pool.supervisor.exec_ttl bounds requests")
	}
}

func ini(p *phpFacts) string {
	if p.File == "" {
		return "php.ini"
	}
	return p.File
}

// iniOn tells whether PHP takes a switch for on.
func iniOn(value string) bool {
	switch strings.ToLower(value) {
	case "", "0", "off", "no", "false":
		return false
	}
	return true
}

func loaded(yes bool) string {
	if yes {
		return "loaded"
	}
	return "not loaded"
}

func onOff(has, on bool, setting string) string {
	switch {
	case !has:
		return "not loaded"
	case on:
		return "on"
	}
	return fmt.Sprintf("loaded, but off (%s)", setting)
}
