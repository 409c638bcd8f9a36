package daemon

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/pool/worker"
)

// settings are the sections of the configuration, decoded and checked.
type settings struct {
	tree *config.Tree

	server config.Server
	logs   logging.Config
	endure config.Endure
	rpc    *config.RPC
	http   *httpSettings
}

// served are the sections that this version reads.
var served = []string{"version", "server", "rpc", "http", "logs", "endure", "include", "envfile"}

// notServed are the sections of the file that RoadRunner knows and this version
// does not read. They are no error, so that one file serves both during a move.
func (s *settings) notServed() []string {
	var out []string
	for _, name := range config.Sections {
		if s.tree.Has(name) && !slices.Contains(served, name) {
			out = append(out, name)
		}
	}
	return out
}

// decode reads all sections and reports every mistake in them at once.
func decode(tree *config.Tree) (*settings, error) {
	s := &settings{tree: tree}
	var errs []error
	if err := tree.Unknown(config.Sections...); err != nil {
		errs = append(errs, &StartError{Phase: PhaseInit, Section: "config", Err: err})
	}
	section := func(name string, into section) {
		err := tree.Decode(name, into)
		if err == nil {
			into.Defaults()
			err = tree.Locate(into.Validate())
		}
		if err != nil {
			errs = append(errs, &StartError{Phase: PhaseInit, Section: name, Err: err})
		}
	}
	section("logs", &s.logs)
	section("endure", &s.endure)
	if tree.Has("rpc") {
		s.rpc = new(config.RPC)
		section("rpc", s.rpc)
	}
	if tree.Has("server") || tree.Has("http") {
		section("server", &s.server)
	}
	if tree.Has("http") {
		s.http = &httpSettings{tree: tree}
		section("http", s.http)
	}
	return s, errors.Join(errs...)
}

// section is what every Config struct can do.
type section interface {
	Defaults()
	Validate() error
}

// located gives an error of a package that knows no files, which begins with the
// key below section, its full key, file and line.
func located(tree *config.Tree, section string, err error) error {
	if err == nil {
		return nil
	}
	key, problem, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return tree.At(section, err)
	}
	if !strings.HasPrefix(key, section+".") {
		key = section + "." + key
	}
	return &config.Error{Position: tree.Position(key), Key: key, Problem: problem, Err: err}
}

// CheckConfig finds what can be found without starting anything: mistakes in
// the file, a program or a folder that is not there, a user that is unknown.
// It is `rrctl config check` and `rrd --check`.
func CheckConfig(tree *config.Tree) error {
	s, err := decode(tree)
	if err != nil {
		return err
	}
	var errs []error
	if s.http != nil {
		_, err := s.spec(specOptions{plugin: "http", command: s.http.Pool.Command})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// specOptions is what differs between the pools of one daemon.
type specOptions struct {
	plugin  string   // RR_MODE
	command []string // the pool's own command, nil for server.command
	rpc     string   // RR_RPC
	relay   *worker.Relay
}

// spec makes the recipe for a worker of one generation. server.dir is resolved
// here, so each generation sees where its links point now.
func (s *settings) spec(o specOptions) (worker.Spec, error) {
	command, key := s.server.Command, "server.command"
	if len(o.command) > 0 {
		command, key = o.command, o.plugin+".pool.command"
	}
	argv := worker.Argv(command)
	dir, err := resolveDir(s.server.Dir)
	if err != nil {
		return worker.Spec{}, s.tree.At("server.dir", err)
	}
	if err := lookProgram(argv[0], dir); err != nil {
		return worker.Spec{}, s.tree.At(key, fmt.Errorf("%s: %w", key, err))
	}
	cred, err := credential(s.server.User, s.server.Group)
	if err != nil {
		return worker.Spec{}, s.tree.At("server", err)
	}
	return worker.Spec{
		Argv:       argv,
		Env:        config.WorkerEnv(s.tree.Environ(), s.server.Relay, o.rpc, s.server.Env, RoadRunnerVersion, o.plugin),
		Dir:        dir,
		Credential: cred,
		Relay:      o.relay,
	}, nil
}

// lookProgram says in words what fork/exec would say in errno.
func lookProgram(name, dir string) error {
	if strings.Contains(name, "/") && !filepath.IsAbs(name) && dir != "" {
		name = filepath.Join(dir, name)
	}
	_, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) && name == "php" {
		return errors.New(`cannot find the program "php"; install it (apt-get install php-cli) or write the whole path`)
	}
	if err != nil {
		return fmt.Errorf("cannot run %q: %w; write the whole path of a program that is executable", name, errors.Unwrap(err))
	}
	return nil
}
