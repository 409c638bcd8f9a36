// Package compress encodes HTTP answers with gzip, brotli or zstd.
package compress

import (
	"strconv"
	"strings"
)

// Names of encodings, as in Accept-Encoding.
const (
	Gzip   = "gzip"
	Brotli = "br"
	Zstd   = "zstd"
)

// Choose returns the encoding of offered, in order of preference, that the
// values of Accept-Encoding rate highest, "" for none. A rating of 0, or one
// that cannot be read, refuses; "*" says nothing, as in RoadRunner.
func Choose(accept, offered []string) string {
	best, bestQ := "", 0.0
	for _, line := range accept {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			name, params, _ := strings.Cut(item, ";")
			name = strings.TrimSpace(name)
			for i, offer := range offered {
				if !strings.EqualFold(name, offer) {
					continue
				}
				q := quality(params)
				if q > bestQ || q == bestQ && q > 0 && before(offered[:i], best) < 0 {
					best, bestQ = offer, q
				}
			}
		}
	}
	return best
}

// before is the index of name in list, -1 if it is not there.
func before(list []string, name string) int {
	for i, s := range list {
		if s == name {
			return i
		}
	}
	return -1
}

// quality reads the weight of an item, 1 without one (RFC 9110, 12.4.2).
func quality(params string) float64 {
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		key, value, ok := strings.Cut(param, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) == 0 || len(value) > 5 || value[0] != '0' && value[0] != '1' {
			return 0
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || q < 0 || q > 1 {
			return 0
		}
		return q
	}
	return 1
}
