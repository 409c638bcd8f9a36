package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/services/kv/boltdb"
	"github.com/rr-systemd/rrd/services/kv/memcached"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/kv/redis"
)

// kvSettings is the section kv: storages by name, and the root sections that bear
// the name of a storage and have its options, if the storage has no config.
type kvSettings struct {
	storages []kvStorage
}

// kvStorage is one entry of the section.
type kvStorage struct {
	name   string
	driver string
	config any // *memory.Config, ...
}

// kvEntry is what a storage is decoded into.
type kvEntry struct {
	Driver string `cfg:"driver"`
	Config any    `cfg:"config"`
}

// kvConfigs make an empty configuration of each driver.
var kvConfigs = map[string]func() any{
	"memory":    func() any { return new(memory.Config) },
	"boltdb":    func() any { return new(boltdb.Config) },
	"redis":     func() any { return new(redis.Config) },
	"memcached": func() any { return new(memcached.Config) },
}

// kvNeedsConfig are the drivers that do not start without options, and what
// RoadRunner says then.
var kvNeedsConfig = map[string]string{
	"redis":     "\n\tredis_plugin_provide:\n\tnew_redis_driver: config not found by provided key: ",
	"memcached": "\n\tmemcachedkv_plugin_provide:\n\tnew_memcached_driver: config not found by provided key: ",
}

// kvSections are the root sections that storages take their options from.
func kvSections(tree *config.Tree) []string {
	var names []string
	for _, name := range tree.Keys("kv") {
		if tree.Has("kv."+name+".driver") && !tree.Has("kv."+name+".config") && tree.Has(name) {
			names = append(names, name)
		}
	}
	return names
}

// Decode reads the storages. What RoadRunner skips is skipped with a warning.
func (k *kvSettings) Decode(tree *config.Tree) error {
	var errs []error
	fromRoot := kvSections(tree)
	section, _ := tree.Map()["kv"].(map[string]any)
	for _, name := range tree.Keys("kv") {
		path := "kv." + name
		if _, ok := section[name].(map[string]any); !ok {
			tree.Warn(path, "the storage is left out: it has no keys of its own", "check the indentation; a storage has the keys driver and config")
			continue
		}
		var entry kvEntry
		if err := tree.Decode(path, &entry); err != nil {
			errs = append(errs, err)
			continue
		}
		if entry.Driver == "" {
			errs = append(errs, kvMistake(tree, path, "could not find mandatory driver field in the "+name+" storage",
				"write driver: memory, boltdb, redis or memcached", " could not find mandatory driver field in the "+name+" storage"))
			continue
		}
		make := kvConfigs[entry.Driver]
		if make == nil {
			tree.Warn(path+".driver", fmt.Sprintf("the storage is left out: there is no driver %q", entry.Driver), "write memory, boltdb, redis or memcached")
			continue
		}
		options := path + ".config"
		if slices.Contains(fromRoot, name) {
			options = name
		}
		if said, needs := kvNeedsConfig[entry.Driver]; needs && !tree.Has(options) {
			errs = append(errs, kvMistake(tree, path, "the storage has no options",
				fmt.Sprintf("add config: {} for the defaults, or a section %s: at the top level", name), said))
			continue
		}
		into := make()
		if err := errors.Join(tree.Decode(options, into), checked(tree, options, into)); err != nil {
			errs = append(errs, err)
			continue
		}
		k.storages = append(k.storages, kvStorage{name, entry.Driver, into})
	}
	return errors.Join(errs...)
}

func kvMistake(tree *config.Tree, key, problem, fix, said string) error {
	return tree.Locate(&config.Error{
		Key: key, Problem: problem, Fix: fix,
		Err: saidByRoadRunner("handle_serve_command: Function call error:\n\tserve error from the plugin *kv.Plugin stopping execution, error: kv_plugin_serve:" + said),
	})
}

// checked fills in defaults and validates; the errors get key, file and line.
func checked(tree *config.Tree, path string, c any) error {
	if d, ok := c.(interface{ Defaults() }); ok {
		d.Defaults()
	}
	v, ok := c.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := v.Validate()
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, one := range many.Unwrap() {
			errs = append(errs, located(tree, path, one))
		}
		return errors.Join(errs...)
	}
	return located(tree, path, err)
}

// Defaults does nothing: Decode has them.
func (k *kvSettings) Defaults() {}

// Validate does nothing: Decode has checked everything, with its place.
func (k *kvSettings) Validate() error { return nil }
