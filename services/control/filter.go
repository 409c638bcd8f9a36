package control

import "slices"

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
