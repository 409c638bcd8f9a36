package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// variant makes a contender.
type variant struct {
	name string
	app  string
	make func(*site, *variant) (*server, error)
}

// site is what contenders have in common.
type site struct {
	o         *options
	dir       string // each contender has a folder below it
	repo      string
	extension string // rr.so, "" without
	why       string // there is no extension
}

var variants = []variant{
	{"official", plain, func(s *site, v *variant) (*server, error) {
		return s.rrd(v, "ipc: {shm: \"off\"}", s.php()+s.script("official.php"))
	}},
	{"pipe", plain, func(s *site, v *variant) (*server, error) {
		return s.rrd(v, "ipc: {shm: \"off\"}", s.php()+s.script("worker.php"))
	}},
	{"shm", plain, func(s *site, v *variant) (*server, error) { return s.rrd(v, "", s.php()+s.script("worker.php")) }},
	{"ext", plain, func(s *site, v *variant) (*server, error) {
		if s.extension == "" {
			return nil, missingError(s.why)
		}
		return s.rrd(v, "", s.php()+"-d extension="+s.extension+" "+s.script("worker.php"))
	}},
	{"fpm", plain, func(s *site, v *variant) (*server, error) { return s.fpm(v, s.script("fpm.php"), "") }},
	{"floor", plain, func(s *site, v *variant) (*server, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c, err := s.contender(v)
		if err == nil {
			c.commands = [][]string{{self, "-floor", c.address}}
		}
		return c, err
	}},
	{"symfony-bridge", symfony, func(s *site, v *variant) (*server, error) {
		return s.rrd(v, "", s.php()+s.symfony("public/index.php"), "APP_RUNTIME: 'RR\\Symfony\\Runtime'")
	}},
	{"symfony-bridge-ext", symfony, func(s *site, v *variant) (*server, error) {
		if s.extension == "" {
			return nil, missingError(s.why)
		}
		return s.rrd(v, "", s.php()+"-d extension="+s.extension+" "+s.symfony("public/index.php"), "APP_RUNTIME: 'RR\\Symfony\\Runtime'")
	}},
	{"symfony-psr7", symfony, func(s *site, v *variant) (*server, error) { return s.rrd(v, "", s.php()+s.symfony("psr7.php")) }},
	{"symfony-fpm", symfony, func(s *site, v *variant) (*server, error) {
		return s.fpm(v, s.symfony("public/index.php"), "fastcgi_param SCRIPT_NAME /index.php;")
	}},
}

// labels say in words what a variant is.
var labels = map[string]string{
	"official":           "rrd, a worker like the official packages, pipes",
	"pipe":               "rrd, php-rrd, pipes (ipc.shm: off)",
	"shm":                "rrd, php-rrd, shared memory",
	"ext":                "rrd, php-rrd with its extension",
	"fpm":                "nginx + php-fpm, opcache",
	"floor":              "Go's net/http without PHP",
	"symfony-bridge":     "rrd, php-rrd's bridge",
	"symfony-bridge-ext": "rrd, php-rrd's bridge with its extension",
	"symfony-psr7":       "rrd, php-rrd, PSR-7 in between",
	"symfony-fpm":        "nginx + php-fpm, opcache",
}

func variantNames() (names []string) {
	for _, v := range variants {
		names = append(names, v.name)
	}
	return names
}

// missingError says why a contender cannot take part.
type missingError string

func (e missingError) Error() string { return string(e) }

// contenders makes those that were chosen and that serve one of the cases.
func contenders(ctx context.Context, o *options, dir string, cases []*testCase) (list []*server, missing []string, err error) {
	s := &site{o: o, dir: dir}
	if s.repo, err = os.Getwd(); err != nil {
		return nil, nil, err
	}
	for _, need := range []string{"bench/php/worker.php", o.rrd} {
		if _, err := os.Stat(need); err != nil {
			return nil, nil, fmt.Errorf("%w: run `make bench` in the repository's folder", err)
		}
	}
	served := map[string]bool{}
	for _, c := range cases {
		served[c.app] = true
	}
	for i := range variants {
		v := &variants[i]
		if !served[v.app] || !begins(v.name, o.variants) {
			continue
		}
		if strings.HasSuffix(v.name, "ext") && s.extension == "" && s.why == "" {
			s.extension, s.why = buildExtension(ctx, dir)
		}
		if v.app == symfony && len(list) > 0 && list[len(list)-1].app != symfony {
			if why := warmSymfony(ctx); why != "" {
				missing = append(missing, why)
				break
			}
		}
		c, err := v.make(s, v)
		if why, ok := err.(missingError); ok {
			missing = append(missing, labels[v.name]+": "+string(why))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("nothing to measure: -variants %s -cases %s", o.variants, o.cases)
	}
	return list, missing, nil
}

// contender is a server without files and commands.
func (s *site) contender(v *variant) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &server{name: v.name, app: v.app, dir: filepath.Join(s.dir, v.name), address: address, first: "/hello", files: map[string]string{}}
	if v.app == symfony {
		c.first = "/json"
	}
	return c, os.Mkdir(c.dir, 0o755)
}

// php is how rrd's workers are started: with opcache, as php-fpm has it.
func (s *site) php() string { return "php -d opcache.enable_cli=1 -d opcache.validate_timestamps=0 " }

func (s *site) script(name string) string { return filepath.Join(s.repo, "bench/php", name) }

func (s *site) symfony(name string) string { return filepath.Join(s.repo, "bench/symfony", name) }

// rrd is our daemon with a worker; more are lines of its configuration.
func (s *site) rrd(v *variant, more, command string, env ...string) (*server, error) {
	c, err := s.contender(v)
	if err != nil {
		return nil, err
	}
	c.files["rr.yaml"] = fmt.Sprintf(`version: "3"
server: {command: "%s", env: {%s}}
logs: {mode: production, level: error}
http: {address: "%s", max_request_size: 64, pool: {num_workers: %d}}
%s
`, command, strings.Join(env, ", "), c.address, s.o.workers, more)
	c.commands = [][]string{{s.o.rrd, "--config", filepath.Join(c.dir, "rr.yaml")}}
	return c, nil
}

// buildExtension compiles php-rrd's extension, or tells why it cannot.
func buildExtension(ctx context.Context, dir string) (file, why string) {
	if _, err := os.Stat("php/ext/compile"); err != nil {
		return "", "this tree has no php/ext"
	}
	if _, err := exec.LookPath("phpize"); err != nil {
		return "", "php-dev is not installed"
	}
	file = filepath.Join(dir, "rr.so")
	if out, err := exec.CommandContext(ctx, "php/ext/compile", file).CombinedOutput(); err != nil {
		return "", fmt.Sprintf("php/ext/compile: %v\n%s", err, out)
	}
	return file, ""
}

// warmSymfony compiles the application, or tells why it cannot.
func warmSymfony(ctx context.Context) string {
	if _, err := os.Stat("/usr/share/php/Symfony/Bundle/FrameworkBundle"); err != nil {
		return "Symfony: php-symfony-framework-bundle is not installed"
	}
	if out, err := exec.CommandContext(ctx, "bench/symfony/warm").CombinedOutput(); err != nil {
		return fmt.Sprintf("Symfony: bench/symfony/warm: %v\n%s", err, out)
	}
	return ""
}
