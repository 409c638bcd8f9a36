package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearest is the known name that a misspelt one most likely stands for, or "".
func nearest(name string, known []string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, candidate := range known {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" && len(name) >= 3 {
		for _, candidate := range known {
			if strings.HasPrefix(candidate, name) {
				return candidate
			}
		}
	}
	return best
}

// didYouMean is the advice for an unknown name.
func didYouMean(name string, known []string) string {
	if guess := nearest(name, known); guess != "" {
		return fmt.Sprintf("did you mean %q?", guess)
	}
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	if len(known) == 0 {
		return "remove it"
	}
	return "known keys: " + strings.Join(known, ", ")
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment). A difference in `_` and `-` alone
// costs nothing.
func editDistance(a, b string) int {
	a, b = strings.ReplaceAll(a, "-", "_"), strings.ReplaceAll(b, "-", "_")
	if len(a) > 64 || len(b) > 64 {
		return 64 // no key is that long; bounds the work
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
