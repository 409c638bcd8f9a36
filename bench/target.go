package main

import (
	"fmt"
	"io"
)

// target is what the project wants to reach.
type target struct {
	text    string
	test    string // name of the case
	variant string
	of      func(measurement) float64
	least   bool // the ratio to the peer shall be at least limit, else at most
	limit   float64
}

var targets = []target{
	{"hello world, a worker like the official packages: CPU", "hello-32", "official", cpu, false, 0.75},
	{"hello world, php-rrd over shared memory: CPU", "hello-32", "shm", cpu, false, 0.55},
	{"hello world, php-rrd with its extension: CPU", "hello-32", "ext", cpu, false, 0.28},
	{"echo 64 KiB, php-rrd: requests/s", "echo-64K", "shm", perSecond, true, 5},
	{"echo 1 MiB, php-rrd: requests/s", "echo-1M", "shm", perSecond, true, 6},
	{"echo 10 MiB, php-rrd: requests/s", "echo-10M", "shm", perSecond, true, 5},
	{"Symfony, JSON route, php-rrd's bridge: CPU", "symfony-json", "symfony-bridge", cpu, false, 0.35},
}

// absolute targets: milliseconds and MiB on a machine of this class.
const (
	firstAnswerLimit = 80.0
	manyStartLimit   = 500.0
	idleLimit        = 15.0
	bodiesLimit      = 80.0 // 4 connections with 10 MiB each
)

// targets writes what was reached of what was measured.
func (r *report) targets(w io.Writer) {
	var rows [][]string
	for _, t := range targets {
		x, base := r.find(t.test, t.variant), r.find(t.test, peer(appOf(t.test)))
		if x == nil || base == nil {
			continue
		}
		mid, low, high := ratio(x.values(t.of), base.values(t.of))
		sign := "<="
		if t.least {
			sign = ">="
		}
		rows = append(rows, []string{t.text + ", ratio to nginx + php-fpm", fmt.Sprintf("%s %.2f", sign, t.limit),
			fmt.Sprintf("%.2f (%.2f-%.2f)", mid, low, high), reached(mid, t.limit, t.least)})
	}
	if x := r.find("echo-10M", "shm"); x != nil {
		rows = append(rows, absolute("memory with 10 MiB bodies on 4 connections, all processes, MiB", x.values(allMemory), bodiesLimit))
	}
	for _, s := range r.starts {
		if s.variant != "shm" {
			continue
		}
		rows = append(rows,
			absolute("start to the first answer, ms", s.first, firstAnswerLimit),
			absolute(fmt.Sprintf("start of %d workers, ms", manyWorkers), s.many, manyStartLimit),
			absolute("idle memory of the daemon, MiB", s.idle, idleLimit))
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Targets\n\n")
	row(w, "", "target", "measured", "")
	row(w, "---", "---", "---", "---")
	for _, cells := range rows {
		row(w, cells...)
	}
}

func absolute(text string, values []float64, limit float64) []string {
	return []string{text, "<= " + digits(limit), spread(values, digits), reached(median(values), limit, false)}
}

func reached(value, limit float64, least bool) string {
	if value >= limit && least || value <= limit && !least {
		return "reached"
	}
	return "**missed**"
}

func appOf(name string) string {
	for _, c := range testCases {
		if c.name == name {
			return c.app
		}
	}
	return plain
}
