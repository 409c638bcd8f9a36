package main

import (
	"fmt"
	"strings"
)

// Sizes of the picture in pixels.
const (
	svgWidth  = 860
	svgLabels = 330 // left of the bars
	svgBars   = 440 // length of the longest bar
	svgLine   = 22  // height of a bar with its gap
	svgBar    = 15
	svgMargin = 16
)

var svgColours = []string{"#2f6f9f", "#d98c3f"}

// picture draws all panels as an SVG document of its own: no script, no outside font,
// readable on light and dark pages.
func (r *report) picture() string {
	var b strings.Builder
	y := svgMargin
	list := r.panels()
	for i := range list {
		y = list[i].svg(&b, y) + svgMargin
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13" role="img">
<title>rrd beside its peers</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
%[3]s</svg>
`, svgWidth, y, b.String())
}

// svg draws one panel from y on and returns where it ends.
func (p *panel) svg(b *strings.Builder, y int) int {
	y += svgBar
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold" fill="#222222">%s</text>`+"\n", svgMargin, y, escape(p.title))
	x := svgWidth - svgMargin
	for i := len(p.parts) - 1; i >= 0; i-- {
		x -= 9*len(p.parts[i]) + 24
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="11" height="11" fill="%s"/><text x="%d" y="%d" fill="#222222">%s</text>`+"\n",
			x, y-10, svgColours[i], x+16, y, escape(p.parts[i]))
	}
	y += 10
	for _, bar := range p.bars {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#222222">%s</text>`+"\n", svgLabels-8, y+12, escape(bar.label))
		drawn, sum := 0, 0.0
		for i, part := range bar.parts {
			sum += part
			end := scale(sum, p.longest(), svgBars)
			if end > drawn {
				fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", svgLabels+drawn, y, end-drawn, svgBar, svgColours[i])
			}
			drawn = end
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="#222222">%s</text>`+"\n", svgLabels+drawn+6, y+12, escape(bar.text))
		y += svgLine
	}
	return y
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func escape(s string) string { return escaper.Replace(s) }
