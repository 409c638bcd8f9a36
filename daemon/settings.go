package daemon

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool/worker"
)

// settings are the sections of the configuration, decoded and checked.
type settings struct {
	tree *config.Tree

	server config.Server
	logs   logging.Config
	endure config.Endure
	ipc    ipcSettings
	rpc    *config.RPC
	http   *httpSettings

	modules map[string]section // by the name of the module; only those that are on
}

// served are the sections that this version reads.
var served = []string{"version", "server", "rpc", "http", "logs", "endure", "ipc", "include", "envfile"}

// load reads the file and decodes every section.
func load(o config.Options) (*settings, error) {
	tree, err := config.Load(o)
	if err != nil {
		section := "config"
		if errors.Is(err, config.ErrNoVersion) {
			section = ""
		}
		return nil, &StartError{Phase: PhaseConfig, Section: section, Err: err}
	}
	return decode(tree)
}

// decode reads all sections and reports every mistake in them at once. What
// works, but hardly as it was meant, is in Tree.Warnings.
func decode(tree *config.Tree) (*settings, error) {
	s := &settings{tree: tree, modules: make(map[string]section)}
	var errs []error
	served := slices.Concat(served, restartable(tree))
	if err := tree.Unknown(slices.Concat(config.Sections, served)...); err != nil {
		errs = append(errs, &StartError{Phase: PhaseInit, Section: "config", Err: err})
	}
	section := func(name string, into section) {
		err := decodeSection(tree, name, into)
		if err == nil {
			into.Defaults()
			err = placed(tree, name, into.Validate())
		}
		if err != nil {
			errs = append(errs, &StartError{Phase: PhaseInit, Section: name, Err: err})
		}
	}
	section("logs", &s.logs)
	section("endure", &s.endure)
	s.ipc.tree = tree
	section("ipc", &s.ipc)
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
	for _, m := range modules {
		if into := m.settings(tree); into != nil {
			section(m.name, into)
			s.modules[m.name] = into
		}
	}
	for _, text := range slices.Concat(s.logs.Warnings(), s.rpc.Warnings()) {
		key, problem, _ := strings.Cut(text, ": ")
		tree.Warn(key, problem, "")
	}
	for _, name := range config.Sections {
		// No error, so that one file serves both during a move.
		if tree.Has(name) && !slices.Contains(served, name) {
			tree.Warn(name, "section is not served by this version and is left out", "")
		}
	}
	return s, errors.Join(errs...)
}

// section is what every Config struct can do.
type section interface {
	Defaults()
	Validate() error
}

// decodeSection fills into from its part of the file. A module whose
// configuration is more than one section decodes itself.
func decodeSection(tree *config.Tree, name string, into section) error {
	if own, ok := into.(interface{ Decode(*config.Tree) error }); ok {
		return own.Decode(tree)
	}
	return tree.Decode(name, into)
}

// placed adds file and line to an error of Validate, whichever way that names the key.
func placed(tree *config.Tree, section string, err error) error {
	err = tree.Locate(err)
	var known *config.Error
	if errors.As(err, &known) {
		return err
	}
	return located(tree, section, err)
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
// It is `rrctl config check` and `rrd --check`. What is only odd is in the
// tree's Warnings afterwards.
func CheckConfig(tree *config.Tree) error {
	s, err := decode(tree)
	if err != nil {
		return err
	}
	var errs []error
	if s.http != nil {
		_, err := s.specHTTP("http.pool", s.http.Pool, wiring{})
		errs = append(errs, err)
		for name, p := range s.http.Pools {
			_, err := s.specHTTP("http.pools."+name, *p, wiring{})
			errs = append(errs, err)
		}
		errs = append(errs, located(tree, "http", s.http.CheckCertificates()))
		_, err = http.NewMiddleware(s.http.Config, http.Environment{
			Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Dir: s.server.Dir, Dry: true,
		})
		errs = append(errs, located(tree, "http", err))
	}
	if c, ok := s.modules["service"].(*serviceSettings); ok {
		errs = append(errs, c.check())
	}
	if i := s.server.OnInit; i != nil {
		_, err := credential("server.on_init", i.User, "")
		errs = append(errs, tree.Locate(err))
	}
	return errors.Join(errs...)
}

// commandKey is the key of the command that starts the workers of the pool whose
// section is pool.
func (s *settings) commandKey(pool string) string {
	if key := pool + ".command"; s.tree.Has(key) {
		return key
	}
	return "server.command"
}

// spec makes the recipe for a worker of one generation of a plugin's pool, whose
// section is pool; command is that of the pool, if it has one of its own. server.dir is resolved here, so
// each generation sees where its links point now.
func (s *settings) spec(plugin, pool string, command []string, w wiring) (worker.Spec, error) {
	if len(command) == 0 {
		command = s.server.Command
	}
	dir, err := resolveDir(s.server.Dir)
	if err != nil {
		return worker.Spec{}, s.tree.Locate(err)
	}
	argv, err := findProgram(s.commandKey(pool), worker.Argv(command), dir)
	if err != nil {
		return worker.Spec{}, s.tree.Locate(err)
	}
	cred, err := credential("server", s.server.User, s.server.Group)
	if err != nil {
		return worker.Spec{}, s.tree.Locate(err)
	}
	return worker.Spec{
		Argv:       argv,
		Env:        config.WorkerEnv(s.tree.Environ(), w.relay, w.rpc, s.server.Env, RoadRunnerVersion, plugin),
		Dir:        dir,
		Credential: cred,
		Relay:      w.listener,
		Half:       s.ipc.Shared(),
	}, nil
}
