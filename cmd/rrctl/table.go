package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

// column is the head of a column.
type column struct {
	title string
	right bool // numbers, in plain tables
}

// table is drawn as aligned columns (rrctl) or as a box (rr).
type table struct {
	columns []column
	rows    [][]cell
}

func (t *table) add(cells ...cell) {
	for i := range cells {
		cells[i].text = printable(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// widths returns the width of each column. When all of them with between
// columns of separators exceed limit, the widest are narrowed; 0 is no limit.
func (t *table) widths(between, limit int) []int {
	w := make([]int, len(t.columns))
	total := between
	for i, c := range t.columns {
		w[i] = utf8.RuneCountInString(c.title)
		for _, row := range t.rows {
			w[i] = max(w[i], utf8.RuneCountInString(row[i].text))
		}
		total += w[i]
	}
	for ; limit > 0 && total > limit; total-- {
		widest := 0
		for i := range w {
			if w[i] > w[widest] {
				widest = i
			}
		}
		if w[widest] <= 1 {
			break
		}
		w[widest]--
	}
	return w
}

// narrow leaves columns out, in the given order of titles, until the table fits
// into limit with lastColumn columns for the last one.
func (t *table) narrow(limit int, titles ...string) {
	const lastColumn = 16
	for _, title := range titles {
		w := t.widths(0, 0)
		total := 2 * (len(w) - 1)
		for i, n := range w {
			if i == len(w)-1 {
				n = min(n, lastColumn)
			}
			total += n
		}
		if limit <= 0 || total <= limit {
			return
		}
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.title == title })
		t.columns = slices.Delete(t.columns, i, i+1)
		for r := range t.rows {
			t.rows[r] = slices.Delete(t.rows[r], i, i+1)
		}
	}
}

// plain draws columns with two spaces between them.
func (t *table) plain(colours bool, limit int) string {
	w := t.widths(2*(len(t.columns)-1), limit)
	var b strings.Builder
	line := func(row []cell) {
		for len(row) > 1 && row[len(row)-1].text == "" {
			row = row[:len(row)-1] // no trailing spaces
		}
		for i, c := range row {
			text, pad := fit(c.text, w[i])
			last := i == len(row)-1
			if t.columns[i].right {
				b.WriteString(strings.Repeat(" ", pad))
			}
			b.WriteString(c.style.paint(text, colours))
			if !last {
				if !t.columns[i].right {
					b.WriteString(strings.Repeat(" ", pad))
				}
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	head := make([]cell, len(t.columns))
	for i, c := range t.columns {
		head[i] = cell{c.title, bold}
	}
	line(head)
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// boxWidth is the usual limit of RoadRunner's tables.
const boxWidth = 150

// box draws RoadRunner's table: centred titles, cells on the left.
func (t *table) box(colours bool, limit int) string {
	w := t.widths(3*len(t.columns)+1, limit)
	var b strings.Builder
	rule := func(left, middle, right string) {
		for i, n := range w {
			if i == 0 {
				b.WriteString(left)
			} else {
				b.WriteString(middle)
			}
			b.WriteString(strings.Repeat("─", n+2))
		}
		b.WriteString(right + "\n")
	}
	rule("┌", "┬", "┐")
	for i, c := range t.columns {
		text, pad := fit(c.title, w[i])
		b.WriteString("│ " + strings.Repeat(" ", pad/2) + text + strings.Repeat(" ", pad-pad/2) + " ")
	}
	b.WriteString("│\n")
	rule("├", "┼", "┤")
	for _, row := range t.rows {
		for i, c := range row {
			text, pad := fit(c.text, w[i])
			b.WriteString("│ " + c.style.paint(text, colours) + strings.Repeat(" ", pad) + " ")
		}
		b.WriteString("│\n")
	}
	rule("└", "┴", "┘")
	return b.String()
}

// fit shortens text to width and returns how many spaces then fill it up.
func fit(text string, width int) (string, int) {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text, width - n
	}
	cut := 0
	for i := range text {
		if cut++; cut == width {
			return text[:i] + "…", 0
		}
	}
	return "", width
}
