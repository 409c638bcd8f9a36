package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// report is all that was measured.
type report struct {
	o       *options
	facts   facts
	missing []string
	starts  []startResult
	results []caseResult
}

type caseResult struct {
	*testCase
	results []result
}

// peer is the contender that ratios of an application refer to.
func peer(app string) string {
	if app == symfony {
		return "symfony-fpm"
	}
	return "fpm"
}

// find returns what a variant did in a case, nil if it was not measured.
func (c *caseResult) find(variant string) *result {
	for i := range c.results {
		if c.results[i].variant == variant {
			return &c.results[i]
		}
	}
	return nil
}

func (r *report) find(name, variant string) *result {
	for i := range r.results {
		if r.results[i].name == name {
			return r.results[i].find(variant)
		}
	}
	return nil
}

// write prints the report and writes the files that were asked for.
func (r *report) write() error {
	var b strings.Builder
	r.markdown(&b)
	if _, err := io.WriteString(os.Stdout, b.String()); err != nil {
		return err
	}
	if r.o.report != "" {
		if err := os.WriteFile(r.o.report, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if r.o.svg != "" {
		return os.WriteFile(r.o.svg, []byte(r.picture()), 0o644)
	}
	return nil
}

func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "%d PHP processes each; %d interleaved rounds of %s; median (smallest-largest). Ratios are the medians of\n"+
		"the ratios of each round. CPU is that of all processes of a server. Memory is PSS, the most that was seen.\n\n",
		r.o.workers, r.o.rounds, r.o.duration)
	for _, line := range r.facts.lines {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintf(w, "- load average %s before, %s after\n", r.facts.loadBefore, r.facts.loadAfter)
	for _, why := range r.missing {
		fmt.Fprintf(w, "- not measured: %s\n", strings.TrimSpace(why))
	}
	r.targets(w)
	for i := range r.results {
		r.results[i].markdown(w)
	}
	if len(r.starts) > 0 {
		r.startTable(w)
	}
	r.charts(w)
}

func (c *caseResult) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n%s; %d connections.\n\n", c.name, c.about, c.conns)
	row(w, "", "requests/s", "ratio", "CPU µs/request", "ratio", "of which PHP", "p50", "p99", "memory MiB", "per worker")
	row(w, "---", "---", "---", "---", "---", "---", "---", "---", "---", "---")
	base := c.find(peer(c.app))
	for i := range c.results {
		x := &c.results[i]
		rate, cost := "", ""
		if base != nil {
			rate, cost = against(x, base, perSecond), against(x, base, cpu)
		}
		row(w, labels[x.variant],
			spread(x.values(perSecond), digits), rate,
			spread(x.values(cpu), digits), cost,
			digits(x.median(phpCPU)),
			duration(x.median(half)), duration(x.median(tail)),
			digits(x.median(allMemory)), digits(x.median(perWorker)))
	}
}

func against(x, base *result, of func(measurement) float64) string {
	mid, _, _ := ratio(x.values(of), base.values(of))
	return fmt.Sprintf("%.2f", mid)
}

func row(w io.Writer, cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func (r *report) startTable(w io.Writer) {
	fmt.Fprintf(w, "\n### Start\n\nMilliseconds until the first answer, %d starts; with %d PHP processes until all of them are there as well.\n"+
		"Idle memory is that of all processes but PHP's, after the first answer.\n\n", r.o.starts, manyWorkers)
	row(w, "", fmt.Sprintf("%d processes", r.o.workers), fmt.Sprintf("%d processes", manyWorkers), "idle memory MiB")
	row(w, "---", "---", "---", "---")
	for _, s := range r.starts {
		row(w, labels[s.variant]+inSymfony(s.variant), spread(s.first, digits), spread(s.many, digits), spread(s.idle, digits))
	}
}

func inSymfony(variant string) string {
	if strings.HasPrefix(variant, symfony) {
		return " (Symfony)"
	}
	return ""
}
