package kv

import (
	"errors"
	"fmt"
	"slices"
)

// Errors of the service. PHP clients look for "no such storage" in the text.
var (
	// ErrNoStorage: the call names no storage.
	ErrNoStorage = errors.New("no storage provided")
	// ErrUnknownStorage: no storage of that name is configured.
	ErrUnknownStorage = errors.New("no such storage")
	// ErrEmptyKey: a key is empty or blank.
	ErrEmptyKey = errors.New("key can't be empty string")
	// ErrNoTimeout: an item of MExpire has no timeout or no key.
	ErrNoTimeout = errors.New("should set timeout and at least one key")
)

// dialect is how RoadRunner's driver of a name words and orders its errors
// (recorded from v2025.1.15). The texts are names of operations, joined by
// ":\n\t"; PHP clients search them, and so do people's log filters.
type dialect struct {
	// ops is the beginning of the names of the driver's operations.
	ops string
	// named are the methods in which an error of the driver carries the name of
	// the driver's operation.
	named []string
	// noTimeout is the text of ErrNoTimeout, if it is another one.
	noTimeout string
	// hasTwice: the operation is named twice when Has refuses a key.
	hasTwice bool
	// anyTTL: TTL is refused whatever the keys are.
	anyTTL bool
	// partial: Set writes the items before one with a bad time. The drivers
	// that can write all or nothing do so instead.
	partial bool
}

var dialects = map[string]dialect{
	"memory": {
		ops: "in_memory_plugin", named: []string{"mexpire"},
		noTimeout: "timeout for MExpire is empty or key is empty",
	},
	"boltdb": {
		ops: "boltdb_driver", named: []string{"has", "set", "mget", "mexpire", "ttl", "delete", "clear"},
		hasTwice: true,
	},
	"redis":     {ops: "redis_driver", named: []string{"mget"}, partial: true},
	"memcached": {ops: "memcached_plugin", named: []string{"has", "mget", "mexpire", "ttl", "delete", "clear"}, anyTTL: true, partial: true},
}

// operation is RoadRunner's name of the RPC method. The spelling of the last two
// is RoadRunner's, too.
func operation(method string) string {
	if method == "delete" || method == "clear" {
		return "rcp_delete"
	}
	return "rpc_" + method
}

// emptyKey is the error of a blank key.
func (d dialect) emptyKey(method string) error {
	text := d.ops + "_" + method
	if d.hasTwice && method == "has" {
		text += ":\n\t" + text
	}
	return fmt.Errorf("%s: %w:\n\t%s", operation(method), ErrEmptyKey, text)
}

// incomplete is the error of MExpire without a timeout or key.
func (d dialect) incomplete() error {
	err := ErrNoTimeout
	if d.noTimeout != "" {
		err = errors.New(d.noTimeout)
	}
	return fmt.Errorf("%s:\n\t%s_mexpire: %w", operation("mexpire"), d.ops, err)
}

// failed is an error of the driver, or of a time in the argument.
func (d dialect) failed(method string, err error) error {
	switch {
	case err == nil:
		return nil
	case slices.Contains(d.named, method):
		return fmt.Errorf("%s:\n\t%s_%s: %w", operation(method), d.ops, method, err)
	}
	return fmt.Errorf("%s: %w", operation(method), err)
}
