package main

import (
	"fmt"
	"io"
	"strings"
)

// bar is one line of a chart: its parts lie behind each other.
type bar struct {
	label string
	parts []float64
	text  string
}

func (b bar) length() (sum float64) {
	for _, p := range b.parts {
		sum += p
	}
	return sum
}

// panel is one chart.
type panel struct {
	title string
	parts []string // names of the parts, none if there is only one
	bars  []bar
}

func (p *panel) longest() (most float64) {
	for _, b := range p.bars {
		most = max(most, b.length())
	}
	return most
}

// panels are the charts of a report.
func (r *report) panels() (list []panel) {
	for _, name := range []string{"hello-32", "browser-32", "symfony-json", "symfony-page"} {
		if c := r.caseOf(name); c != nil {
			p := panel{title: name + ": CPU µs per request", parts: []string{"server", "PHP"}}
			for i := range c.results {
				x := &c.results[i]
				all, php := x.median(cpu), x.median(phpCPU)
				p.bars = append(p.bars, bar{labels[x.variant], []float64{all - php, php}, digits(all)})
			}
			list = append(list, p)
		}
	}
	for _, name := range []string{"echo-64K", "echo-1M", "echo-10M"} {
		if c := r.caseOf(name); c != nil {
			p := panel{title: name + ": requests per second"}
			for i := range c.results {
				x := &c.results[i]
				v := x.median(perSecond)
				p.bars = append(p.bars, bar{labels[x.variant], []float64{v}, digits(v)})
			}
			list = append(list, p)
		}
	}
	return list
}

func (r *report) caseOf(name string) *caseResult {
	for i := range r.results {
		if r.results[i].name == name {
			return &r.results[i]
		}
	}
	return nil
}

// chartWidth is the length of the longest bar in characters.
const chartWidth = 50

// marks draw the parts of a bar.
var marks = []string{"#", "-"}

func (r *report) charts(w io.Writer) {
	list := r.panels()
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Charts\n\n```\n")
	for i := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		list[i].draw(w)
	}
	fmt.Fprint(w, "```\n")
}

// draw writes the panel in characters.
func (p *panel) draw(w io.Writer) {
	fmt.Fprint(w, p.title)
	for i, name := range p.parts {
		fmt.Fprintf(w, "  %s %s", marks[i], name)
	}
	fmt.Fprintln(w)
	width := 0
	for _, b := range p.bars {
		width = max(width, len([]rune(b.label)))
	}
	for _, b := range p.bars {
		var line strings.Builder
		drawn, sum := 0, 0.0
		for i, part := range b.parts {
			// The ends are rounded, not the lengths: so the sum is right.
			sum += part
			end := scale(sum, p.longest(), chartWidth)
			line.WriteString(strings.Repeat(marks[i], end-drawn))
			drawn = end
		}
		fmt.Fprintf(w, "  %-*s %s %s\n", width, b.label, line.String(), b.text)
	}
}

// scale maps value to 0..width.
func scale(value, most float64, width int) int {
	if most <= 0 || value <= 0 {
		return 0
	}
	return min(width, int(value/most*float64(width)+0.5))
}
