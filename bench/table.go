package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table prints medians with their range, and ratios to the last server.
func table(w io.Writer, servers []*server) {
	peer := servers[len(servers)-1]
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "|server\t| requests/s\t| ratio\t| CPU µs/request\t| ratio\t| of which PHP\t| p99\t| memory MiB (PSS)\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, s := range servers {
		rps := func(m measurement) float64 { return m.requests }
		cpu := func(m measurement) float64 { return m.cpu }
		fmt.Fprintf(t, "|%s\t| %s\t| %.2f\t| %s\t| %.2f\t| %s\t| %s\t| %s\t|\n", s.name,
			show("%.0f", s.results, rps), mid(s.results, rps)/mid(peer.results, rps),
			show("%.0f", s.results, cpu), mid(s.results, cpu)/mid(peer.results, cpu),
			show("%.0f", s.results, func(m measurement) float64 { return m.php }),
			time.Duration(mid(s.results, func(m measurement) float64 { return float64(m.p99) })).Round(10*time.Microsecond),
			show("%.0f", s.results, func(m measurement) float64 { return m.memoryPSS }))
	}
	t.Flush()
}

func mid(ms []measurement, value func(measurement) float64) float64 {
	v := values(ms, value)
	return v[len(v)/2]
}

func show(format string, ms []measurement, value func(measurement) float64) string {
	v := values(ms, value)
	return fmt.Sprintf(format+" ("+format+"-"+format+")", v[len(v)/2], v[0], v[len(v)-1])
}

func values(ms []measurement, value func(measurement) float64) []float64 {
	v := make([]float64, len(ms))
	for i, m := range ms {
		v[i] = value(m)
	}
	slices.Sort(v)
	return v
}
