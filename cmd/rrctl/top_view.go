package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/dustin/go-humanize"
)

// frame is everything that one picture of rrctl top shows.
type frame struct {
	last    *sample // nil: nothing was read yet
	pools   []topPool
	workers []topWorker // sorted and filtered
	total   int         // workers before the filter
	queue   []int       // how many requests waited, oldest first
	rate    []float64   // requests per second, the same
	problem string      // why last is old
	every   time.Duration
	sort    int
	reverse bool
	filter  string
	typing  bool // of the filter
	paused  bool
	help    bool
	scroll  int // workers that are above the window

	width, height int // of the terminal; 0 is unlimited
	keys          bool
	colours       bool
}

// render draws a frame: head, pools, workers, and a line of keys at the bottom.
func (f *frame) render() string {
	if f.help {
		return f.fit(f.helpLines())
	}
	if f.last == nil {
		text := "connecting ..."
		if f.problem != "" {
			text = red.paint(printable(f.problem), f.colours)
		}
		return f.fit([]string{text})
	}
	gap := []string{""}
	if f.height > 0 && f.height < 16 {
		gap = nil // rows of workers are worth more
	}
	lines := append(f.head(), gap...)
	lines = append(lines, f.lines(f.poolTable())...)
	lines = append(lines, gap...)
	table := f.lines(f.workerTable())
	lines = append(lines, table[0])
	rows := table[1:]
	room := len(rows)
	if f.height > 0 {
		room = max(0, f.height-len(lines)-1)
	}
	top := f.top(len(rows), room)
	end := min(len(rows), top+room)
	lines = append(lines, rows[top:end]...)
	if f.keys {
		for f.height > 0 && len(lines) < f.height-1 {
			lines = append(lines, "")
		}
		lines = append(lines, f.foot(top, end, len(rows)))
	}
	return f.fit(lines)
}

// top is the first row that is shown of n, where room of them fit.
func (f *frame) top(n, room int) int { return max(0, min(f.scroll, n-room)) }

func (f *frame) lines(t *table) []string {
	return strings.Split(strings.TrimSuffix(t.plain(f.colours, f.width), "\n"), "\n")
}

// fit cuts what is too long or too much for the terminal.
func (f *frame) fit(lines []string) string {
	if f.height > 0 && len(lines) > f.height {
		lines = lines[:f.height]
	}
	if f.width > 0 {
		for i, l := range lines {
			lines[i] = ansi.Truncate(l, f.width, "…")
		}
	}
	return strings.Join(lines, "\n")
}

func (f *frame) head() []string {
	s := &f.last.status
	colour := stateColour(s.State)
	first := fmt.Sprintf("%s %s  %s %s", colour.paint("●", f.colours), bold.paint(title(s), f.colours),
		colour.paint(printable(s.State), f.colours), short(f.last.at.Sub(s.Since)))
	if !s.Started.IsZero() {
		first += "  up " + short(f.last.at.Sub(s.Started))
	}
	first += fmt.Sprintf("  rrd %s  pid %d", printable(s.Version), s.PID)
	clock := "  " + f.last.at.Format(time.TimeOnly)
	if f.paused {
		clock += yellow.paint("  paused", f.colours)
	}
	lines := []string{first + clock}
	if s.Reason != "" {
		lines = append(lines, "  "+colour.paint(printable(s.Reason), f.colours))
	}
	if f.problem != "" {
		lines = append(lines, "  "+red.paint(printable(f.problem), f.colours))
	}
	width := 40
	if f.width > 0 {
		width = max(8, min(60, f.width-34))
	}
	queue := make([]float64, len(f.queue))
	for i, n := range f.queue {
		queue[i] = float64(n)
	}
	style := plain
	if s.Queue > 0 {
		style = yellow
	}
	lines = append(lines,
		fmt.Sprintf("  queue %8s  %s  max %s", humanize.Comma(int64(s.Queue)), style.paint(spark(queue, width), f.colours), humanize.Comma(int64(most(queue)))),
		fmt.Sprintf("  req/s %8s  %s  max %s", rateText(latest(f.rate)), cyan.paint(spark(f.rate, width), f.colours), rateText(most(f.rate))))
	return lines
}

func (f *frame) poolTable() *table {
	t := &table{columns: []column{{"POOL", false}, {"GEN", true}, {"WORKERS", true}, {"READY", true}, {"WORKING", true}, {"DRAINING", true},
		{"QUEUE", true}, {"EXECS", true}, {"EXECS/S", true}, {"MEMORY", true}, {"CPU %", true}}}
	row := func(p *topPool, style style, generation string) {
		queue := style
		if p.Queue > 0 {
			queue = yellow
		}
		t.add(cell{p.Name, style}, cell{generation, style}, cell{fmt.Sprint(p.Workers), style}, cell{fmt.Sprint(p.Ready), style},
			cell{fmt.Sprint(p.Working), style}, cell{fmt.Sprint(p.Draining), style}, cell{humanize.Comma(int64(p.Queue)), queue},
			cell{humanize.Comma(int64(p.Execs)), style}, cell{rateText(p.ExecsRate), style},
			cell{humanize.Bytes(p.Memory), style}, cell{fmt.Sprintf("%.1f", p.CPU), style})
	}
	sum := topPool{}
	sum.Name = "all"
	for i := range f.pools {
		p := &f.pools[i]
		row(p, plain, fmt.Sprint(p.Generation))
		sum.Workers += p.Workers
		sum.Ready += p.Ready
		sum.Working += p.Working
		sum.Draining += p.Draining
		sum.Queue += p.Queue
		sum.Execs += p.Execs
		sum.ExecsRate += p.ExecsRate
		sum.Memory += p.Memory
		sum.CPU += p.CPU
	}
	if len(f.pools) > 1 {
		row(&sum, bold, "")
	}
	t.narrow(f.width, "DRAINING", "GEN", "EXECS", "READY", "EXECS/S")
	return t
}

func (f *frame) workerTable() *table {
	t := &table{columns: []column{{"POOL", false}, {"PID", true}, {"STATE", false}, {"GEN", true}, {"AGE", true}, {"EXECS", true}, {"EXECS/S", true},
		{"MEMORY", true}, {"PEAK", true}, {"CPU %", true}, {"FOR", true}, {"REQUEST", false}}}
	for i := range f.workers {
		w := &f.workers[i]
		request, age, ageStyle := "", "", plain
		if r := w.Request; r != nil {
			request, age = strings.TrimSpace(r.Label+" "+r.Detail), short(seconds(r.Age))
			switch {
			case r.Age >= 10:
				ageStyle = red
			case r.Age >= 1:
				ageStyle = yellow
			}
		}
		peak := ""
		if w.MemoryPeak > 0 {
			peak = humanize.Bytes(w.MemoryPeak)
		}
		t.add(cell{w.Pool, plain}, cell{fmt.Sprint(w.PID), plain}, cell{w.State, stateStyle(w.State)}, cell{fmt.Sprint(w.Generation), plain},
			cell{short(f.last.at.Sub(w.Created)), plain}, cell{humanize.Comma(int64(w.Execs)), plain}, cell{rateText(w.ExecsRate), plain},
			cell{humanize.Bytes(w.Memory), plain}, cell{peak, faint}, cell{fmt.Sprintf("%.1f", w.CPU), plain},
			cell{age, ageStyle}, cell{request, plain})
	}
	t.narrow(f.width, "PEAK", "GEN", "EXECS", "AGE", "EXECS/S", "STATE", "POOL")
	return t
}

// foot is the line at the bottom: the filter while it is typed, else the keys.
func (f *frame) foot(top, end, n int) string {
	if f.typing {
		return bold.paint("filter: ", f.colours) + printable(f.filter) + "▏" + faint.paint("  Enter keeps, Esc drops", f.colours)
	}
	var parts []string
	shown := fmt.Sprintf("%d workers", f.total)
	if n < f.total {
		shown = fmt.Sprintf("%d of %d workers", n, f.total)
	}
	if end-top < n {
		shown += fmt.Sprintf(" (%d-%d)", min(top+1, end), end)
	}
	order := "by " + sortKeys[f.sort].name
	if f.reverse {
		order += " reversed"
	}
	parts = append(parts, shown, order)
	if f.filter != "" {
		parts = append(parts, "filter "+printable(f.filter))
	}
	parts = append(parts, fmt.Sprintf("every %v", f.every), "? help", "q quit")
	return faint.paint(strings.Join(parts, "  "), f.colours)
}

func (f *frame) helpLines() []string {
	lines := []string{bold.paint("rrctl top", f.colours), ""}
	for _, k := range sortKeys {
		lines = append(lines, fmt.Sprintf("  %-14s sort by %s", k.key, k.name))
	}
	for _, k := range [][2]string{
		{"r", "reverse the order"},
		{"/", "filter by pool, pid, state, request id, method or path"},
		{"Esc", "drop the filter"},
		{"up, down, j, k", "scroll by one; PgUp, PgDn, Home, End too"},
		{"space", "pause"},
		{"+, -", "sample more or less often"},
		{"?", "this help, on and off"},
		{"q, Ctrl-C", "quit"},
	} {
		lines = append(lines, fmt.Sprintf("  %-14s %s", k[0], k[1]))
	}
	return append(lines, "", "  CPU % is of one processor since the last picture, FOR how long a request runs.")
}

// spark draws the last width values as bars; zero is blank, so that an idle line
// looks idle.
func spark(values []float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := most(values)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	for _, v := range values {
		if v <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(bars[min(len(bars)-1, int(v/highest*float64(len(bars))))])
	}
	return b.String()
}

func most(values []float64) float64 {
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	return highest
}

func latest(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[len(values)-1]
}

func rateText(r float64) string {
	if r > 0 && r < 10 {
		return fmt.Sprintf("%.1f", r)
	}
	return humanize.Comma(int64(r + 0.5))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// short writes a duration with at most two units: 0.4s, 12s, 3m05s, 2h07m, 5d03h.
func short(d time.Duration) string {
	d = max(d, 0)
	s := int64(d / time.Second)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}
