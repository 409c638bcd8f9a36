package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/rr-systemd/rrd/services/control"
)

// sampleAt is the instance of the golden files i seconds after moment.
func sampleAt(i int) *sample {
	s := sampleStatus()
	s.Queue = i % 5
	s.Pools[0].Queue = s.Queue
	s.Pools[0].Execs += uint64(150 * i)
	w := sampleWorkers()
	now := moment.Add(time.Duration(i) * time.Second)
	for n := range w {
		// Half of a processor since moment, and none before.
		w[n].CPUPercent = 100 * (0.5 * float64(n+1) * float64(i)) / now.Sub(w[n].Created).Seconds()
		w[n].Execs += uint64(75 * i)
	}
	w[1].MemoryPeak = 12e6
	w = append(w, control.Worker{Pool: "jobs", PID: 99, State: "ready", Generation: 1, Created: moment.Add(-50 * time.Hour), Memory: 30e6})
	return &sample{at: now, status: s, workers: w}
}

// typed makes the keys of a text.
func typed(m *topModel, keys ...string) {
	special := map[string]tea.KeyMsg{
		"enter": {Type: tea.KeyEnter}, "esc": {Type: tea.KeyEsc}, "backspace": {Type: tea.KeyBackspace}, "ctrl+u": {Type: tea.KeyCtrlU},
		"down": {Type: tea.KeyDown}, "up": {Type: tea.KeyUp}, "end": {Type: tea.KeyEnd}, "pgup": {Type: tea.KeyPgUp},
		" ": {Type: tea.KeySpace, Runes: []rune{' '}},
	}
	for _, k := range keys {
		msg, ok := special[k]
		if !ok {
			msg = tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		}
		m.Update(msg)
	}
}

func topAt(t *testing.T, width, height, samples int) *topModel {
	t.Helper()
	m := newTop(t.Context(), nil, frame{every: time.Second})
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for i := range samples {
		m.Update(sampled{sampleAt(i), nil})
	}
	return m
}

func TestTopFrames(t *testing.T) {
	golden(t, "top_first", topAt(t, 110, 20, 1).View())
	m := topAt(t, 110, 20, 12)
	golden(t, "top", m.View())
	m.colours = true
	golden(t, "top_colours", m.View())
	m.colours = false
	m.Update(sampled{nil, errors.New("no daemon at unix://\x1b[2Jx: nobody listens")})
	typed(m, "m", "r", " ")
	golden(t, "top_problem", m.View())
	typed(m, "/", "U", "s", "x", "backspace", "e")
	golden(t, "top_filter", m.View())
	typed(m, "enter", "?")
	golden(t, "top_help", m.View())
	golden(t, "top_narrow", topAt(t, 60, 14, 12).View())
	golden(t, "top_tiny", topAt(t, 20, 5, 3).View())
}

// TestTopFits: no frame is larger than its terminal.
func TestTopFits(t *testing.T) {
	for width := 1; width < 140; width += 3 {
		for height := 1; height < 30; height += 2 {
			m := topAt(t, width, height, 3)
			m.colours = width%2 == 0
			for _, keys := range []string{"", "/", "?"} {
				typed(m, strings.Split(keys, "")...)
				lines := strings.Split(m.View(), "\n")
				if len(lines) > height {
					t.Fatalf("%dx%d %q: %d lines", width, height, keys, len(lines))
				}
				for _, l := range lines {
					if n := ansi.StringWidth(l); n > width {
						t.Fatalf("%dx%d %q: a line of %d columns: %q", width, height, keys, n, l)
					}
				}
				typed(m, "esc")
			}
		}
	}
}

func TestTopOrder(t *testing.T) {
	order := func(m *topModel) string {
		f := m.frame
		f.workers = filterWorkers(m.all, m.filter)
		sortWorkers(f.workers, m.sort, m.reverse)
		var pids []string
		for _, w := range f.workers {
			pids = append(pids, fmt.Sprint(w.PID))
		}
		return strings.Join(pids, " ")
	}
	m := topAt(t, 100, 20, 5)
	for _, c := range []struct{ keys, want string }{
		{"", "10200 101 99"}, {"m", "101 99 10200"}, {"t", "10200 101 99"}, {"e", "10200 101 99"}, {"a", "99 10200 101"},
		{"p", "101 10200 99"}, {"n", "99 101 10200"}, {"r", "10200 101 99"},
	} {
		typed(m, strings.Split(c.keys, "")...)
		if got := order(m); got != c.want {
			t.Errorf("%q: %s, want %s", c.keys, got, c.want)
		}
	}
	for filter, want := range map[string]string{"jobs": "99", "WORKING": "10200", "users/5": "10200", "r1": "10200", "nothing": ""} {
		m.filter = filter
		if got := order(m); got != want {
			t.Errorf("filter %q: %s, want %s", filter, got, want)
		}
	}
}

func TestTopScrollsWithinBounds(t *testing.T) {
	m := newTop(t.Context(), nil, frame{every: time.Second})
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 14})
	s := sampleAt(1)
	for i := range 40 {
		s.workers = append(s.workers, control.Worker{Pool: "http", PID: 1000 + i, State: "ready", Created: moment})
	}
	m.Update(sampled{s, nil})
	typed(m, "n", "up", "up")
	if text := m.View(); !strings.Contains(text, " 99  ") || !strings.Contains(text, "(1-") {
		t.Errorf("at the top:\n%s", text)
	}
	typed(m, "end", "down", "down")
	if text := m.View(); !strings.Contains(text, "10200") || !strings.Contains(text, "-43)") {
		t.Errorf("at the bottom:\n%s", text)
	}
	typed(m, "/", "g", "e", "t", "enter")
	if text := m.View(); !strings.Contains(text, "1 of 43 workers") {
		t.Errorf("filtered at the bottom:\n%s", text)
	}
}

func TestTopTicks(t *testing.T) {
	m := topAt(t, 80, 20, 1)
	turn := m.turn
	if _, cmd := m.Update(tick(turn)); cmd == nil || !m.reading {
		t.Error("a tick reads no sample")
	}
	if _, cmd := m.Update(tick(turn)); cmd != nil {
		t.Error("two samples are read at a time")
	}
	m.Update(sampled{sampleAt(1), nil})
	if _, cmd := m.Update(tick(turn)); cmd != nil {
		t.Error("a stale tick reads a sample")
	}
	typed(m, "+", "+", "+", "+", "+")
	if m.every != fastest {
		t.Errorf("every %v", m.every)
	}
	typed(m, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-")
	if m.every != slowest {
		t.Errorf("every %v", m.every)
	}
	for _, quit := range []string{"q", "ctrl+c"} {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(quit)}
		if quit == "ctrl+c" {
			msg = tea.KeyMsg{Type: tea.KeyCtrlC}
		}
		if _, cmd := m.Update(msg); cmd == nil {
			t.Errorf("%s does not quit", quit)
		}
	}
}

// TestRatesAfterARestart: nothing is compared with another process.
func TestRatesAfterARestart(t *testing.T) {
	before, after := sampleAt(1), sampleAt(2)
	after.status.PID++
	pools, workers := rates(before, after)
	if pools[0].ExecsRate != 0 || workers[0].ExecsRate != 0 || workers[0].CPU != workers[0].CPUPercent {
		t.Errorf("%+v %+v", pools[0], workers[0])
	}
	after = sampleAt(2)
	after.workers[1].Created = after.at // the pid is another's now
	if _, workers = rates(before, after); workers[1].ExecsRate != 0 {
		t.Errorf("%+v", workers[1])
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 185 * time.Second: "3m05s",
		2*time.Hour + 7*time.Minute: "2h07m", 123 * time.Hour: "5d03h",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestTopOnATerminal: the real program on a pseudo terminal, resized and ended
// in every way.
func TestTopOnATerminal(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	top := process{name: "rrctl", args: []string{"top", "-d", "100ms", "--socket", dsn}, env: []string{"TERM=xterm"}}
	for name, end := range map[string]func(m *terminal, pid int){
		"q":       func(m *terminal, _ int) { _, _ = m.master.WriteString("q") },
		"Ctrl-C":  func(m *terminal, _ int) { _, _ = m.master.WriteString("\x03") },
		"SIGTERM": terminated,
	} {
		t.Run(name, func(t *testing.T) {
			m := openTerminal(t)
			before := m.mode(t)
			cmd := m.start(t, top)
			m.expect(t, "10200")
			m.expect(t, "q quit")
			_, _ = m.master.WriteString("/")
			m.expect(t, "filter:")
			_, _ = m.master.WriteString("users\r")
			m.expect(t, "1 of 2 workers")
			end(m, cmd.Process.Pid)
			m.expect(t, "\x1b[?1049l")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if m.mode(t) != before {
				t.Error("the terminal is not restored")
			}
		})
	}
}

func TestTopWithoutATerminal(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	code, out, errOut := runRRCtl(t, "top", "-n", "2", "-d", "100ms", "--filter", "users", "--socket", dsn)
	if code != 0 || errOut != "" || strings.Count(out, "10200") != 2 || strings.Contains(out, " 101 ") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %q\n%s", code, errOut, out)
	}
	code, out, _ = runRRCtl(t, "top", "--json", "-n", "2", "-d", "100ms", "--sort", "memory", "--socket", dsn)
	records := json.NewDecoder(strings.NewReader(out))
	for range 2 {
		var r topRecord
		if err := records.Decode(&r); err != nil || code != 0 || len(r.Workers) != 2 || r.Workers[0].PID != 101 || r.Status.PID != 4711 {
			t.Errorf("exit %d, %v: %+v", code, err, r)
		}
	}
	for _, args := range [][]string{{"--sort", "size"}, {"-d", "1ms"}, {"-d", "x"}} {
		if code, _, errOut := runRRCtl(t, append(append([]string{"top"}, args...), "--socket", dsn)...); code != exitUsage {
			t.Errorf("%v: exit %d, %q", args, code, errOut)
		}
	}
	if code, _, errOut := runRRCtl(t, "top", "nope", "-n", "1", "--socket", dsn); code != exitFailed || !strings.Contains(errOut, `no pool "nope"`) {
		t.Errorf("exit %d, %q", code, errOut)
	}
	if code, _, _ := runRRCtl(t, "top", "--socket", "/none.sock"); code != exitNoDaemon {
		t.Errorf("exit %d", code)
	}
}

// TestTopOutlivesTheDaemon: an error after the first sample is shown, not the
// end.
func TestTopOutlivesTheDaemon(t *testing.T) {
	m := newTop(context.Background(), nil, frame{every: time.Second})
	if _, cmd := m.Update(sampled{nil, errors.New("refused")}); cmd == nil || m.failed == nil {
		t.Error("the first failure does not end it")
	}
	m = topAt(t, 80, 20, 1)
	m.Update(sampled{nil, errors.New("refused")})
	if m.failed != nil || !strings.Contains(m.View(), "refused") {
		t.Errorf("%v\n%s", m.failed, m.View())
	}
	m.Update(sampled{sampleAt(1), nil})
	if strings.Contains(m.View(), "refused") {
		t.Errorf("still\n%s", m.View())
	}
}
