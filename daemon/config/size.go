package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes: 1024, 512K, 64M, 2G, 1T, also with B or
// iB behind the letter; the units are powers of 1024, as in systemd's
// MemoryMax=.
func ParseSize(s string) (int64, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	unit := int64(1)
	if i := strings.IndexAny(text, "KMGTB"); i >= 0 {
		suffix := text[i:]
		text = strings.TrimSpace(text[:i])
		switch strings.TrimSuffix(strings.TrimSuffix(suffix, "B"), "I") {
		case "":
		case "K":
			unit = 1 << 10
		case "M":
			unit = 1 << 20
		case "G":
			unit = 1 << 30
		case "T":
			unit = 1 << 40
		default:
			return 0, fmt.Errorf("%q is not a size", s)
		}
		if suffix == "IB" {
			return 0, fmt.Errorf("%q is not a size", s)
		}
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && i >= 0 && i <= math.MaxInt64/unit {
		return i * unit, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return int64(f * float64(unit)), nil
}
