package cgroup

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// lookup finds a value in a flat keyed file: lines of "key value".
func lookup(file []byte, key string) (uint64, bool) {
	for len(file) > 0 {
		var line []byte
		line, file, _ = bytes.Cut(file, newline)
		if len(line) > len(key) && line[len(key)] == ' ' && string(line[:len(key)]) == key {
			return number(line[len(key)+1:])
		}
	}
	return 0, false
}

var newline = []byte("\n")

// number parses a decimal without allocating; a newline may follow.
func number(b []byte) (uint64, bool) {
	b = bytes.TrimSuffix(b, newline)
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// limit parses memory.max and the like: a number, or "max" for none (false).
func limit(b []byte) (uint64, bool) {
	return number(bytes.TrimSpace(b))
}

// cores parses cpu.max, "quota period" in microseconds; false for no limit.
func cores(b []byte) (float64, bool) {
	f := bytes.Fields(b)
	if len(f) != 2 {
		return 0, false
	}
	quota, ok1 := number(f[0])
	period, ok2 := number(f[1])
	if !ok1 || !ok2 || quota == 0 || period == 0 {
		return 0, false
	}
	return float64(quota) / float64(period), true
}

// Pressure is how much time was lost by waiting for a resource (PSI).
type Pressure struct {
	Some Stall // at least one process waited
	Full Stall // all of them waited
}

// Stall is one line of a pressure file.
type Stall struct {
	Avg10, Avg60, Avg300 float64 // per cent of the last 10, 60, 300 seconds
	Total                time.Duration
}

// parsePressure reads "some avg10=0.12 avg60=0.00 avg300=0.00 total=42" and the
// same for "full". Unknown words are left out, as the kernel may add some.
func parsePressure(b []byte) (*Pressure, bool) {
	var p Pressure
	found := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var s *Stall
		switch f[0] {
		case "some":
			s = &p.Some
		case "full":
			s = &p.Full
		default:
			continue
		}
		found = true
		for _, word := range f[1:] {
			key, value, _ := strings.Cut(word, "=")
			if key == "total" {
				us, err := strconv.ParseUint(value, 10, 53)
				if err != nil {
					return nil, false
				}
				s.Total = time.Duration(us) * time.Microsecond
				continue
			}
			avg, err := strconv.ParseFloat(value, 64)
			if err != nil || !(avg >= 0 && avg <= 100) {
				return nil, false
			}
			switch key {
			case "avg10":
				s.Avg10 = avg
			case "avg60":
				s.Avg60 = avg
			case "avg300":
				s.Avg300 = avg
			}
		}
	}
	return &p, found
}
