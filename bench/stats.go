package main

import (
	"fmt"
	"slices"
	"time"
)

// result is what one contender did in all rounds of a case.
type result struct {
	variant string
	rounds  []measurement
}

func (r *result) values(of func(measurement) float64) []float64 {
	v := make([]float64, len(r.rounds))
	for i, m := range r.rounds {
		v[i] = of(m)
	}
	return v
}

func (r *result) median(of func(measurement) float64) float64 { return median(r.values(of)) }

// What is looked at.
func perSecond(m measurement) float64 { return m.requests }
func cpu(m measurement) float64       { return m.cpu }
func phpCPU(m measurement) float64    { return m.php }
func half(m measurement) float64      { return float64(m.p50) }
func tail(m measurement) float64      { return float64(m.p99) }
func allMemory(m measurement) float64 { return m.memory }
func perWorker(m measurement) float64 { return m.worker }

// median is the value in the middle, of an even number the mean of the two there; 0
// of none.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

// spread writes the median with the smallest and the largest.
func spread(values []float64, format func(float64) string) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s-%s)", format(median(values)), format(slices.Min(values)), format(slices.Max(values)))
}

// ratio of medians, pairwise by round when both have the same rounds: what disturbed
// one round disturbed both. low and high are the extremes of the rounds.
func ratio(a, b []float64) (mid, low, high float64) {
	n := min(len(a), len(b))
	var pairs []float64
	for i := range n {
		if b[i] > 0 {
			pairs = append(pairs, a[i]/b[i])
		}
	}
	if len(pairs) == 0 {
		return 0, 0, 0
	}
	return median(pairs), slices.Min(pairs), slices.Max(pairs)
}

// Formats: three digits that count.
func digits(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func duration(v float64) string {
	d := time.Duration(v)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
