package control

import (
	"fmt"
	"slices"
	"strings"
)

// exist refuses a name that no pool has.
func exist(pools []Pool, names []string) error {
	known := make([]string, len(pools))
	for i, p := range pools {
		known[i] = p.Name
	}
	for _, name := range names {
		switch {
		case slices.Contains(known, name):
		case len(known) == 0:
			return fmt.Errorf("there is no pool %q, nor any other", name)
		default:
			return fmt.Errorf("there is no pool %q; there is: %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// of returns the workers of the named pools, of all when none is named. The
// result is never nil, so that it is a list in JSON.
func of(workers []Worker, pools []string) []Worker {
	list := make([]Worker, 0, len(workers))
	for _, w := range workers {
		if len(pools) == 0 || slices.Contains(pools, w.Pool) {
			list = append(list, w)
		}
	}
	return list
}
