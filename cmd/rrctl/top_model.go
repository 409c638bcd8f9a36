package main

import (
	"context"
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
)

// history is how many samples the lines of bars remember.
const history = 120

// Bounds of the time between two pictures.
const (
	fastest = 100 * time.Millisecond
	slowest = time.Minute
)

// topModel is the state of rrctl top between two messages of bubbletea.
type topModel struct {
	frame
	ctx     context.Context
	sampler *sampler
	pools   []topPool
	all     []topWorker
	failed  error // the first sample was an error: there is nothing to show
	turn    int   // of the ticks: one that is not the latest is stale
	reading bool  // a sample is on its way
}

type (
	sampled struct {
		s   *sample
		err error
	}
	tick int
)

func newTop(ctx context.Context, s *sampler, f frame) *topModel {
	f.keys = true
	return &topModel{frame: f, ctx: ctx, sampler: s}
}

// Init starts with a sample; each sample orders the next.
func (m *topModel) Init() tea.Cmd {
	m.reading = true
	return m.read
}

// read runs in a goroutine of bubbletea, never twice at a time.
func (m *topModel) read() tea.Msg {
	s, err := m.sampler.read(m.ctx)
	return sampled{s, err}
}

func (m *topModel) wait() tea.Cmd {
	m.turn++
	turn := m.turn
	return tea.Tick(m.every, func(time.Time) tea.Msg { return tick(turn) })
}

// Update takes what has happened.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case sampled:
		m.reading = false
		if msg.err != nil && m.last == nil {
			m.failed = msg.err
			return m, tea.Quit
		}
		m.take(msg.s, msg.err)
		return m, m.wait()
	case tick:
		switch {
		case int(msg) != m.turn, m.reading:
			return m, nil
		case m.paused:
			return m, m.wait()
		}
		return m, m.Init()
	case tea.KeyMsg:
		return m.key(msg)
	}
	return m, nil
}

// record adds to the lines of bars.
func (f *frame) record(s *sample, rate float64) {
	f.queue = append(f.queue, s.status.Queue)
	f.rate = append(f.rate, rate)
	if n := len(f.queue) - history; n > 0 {
		f.queue, f.rate = f.queue[n:], f.rate[n:]
	}
}

// take adds a sample, or the reason why there is none.
func (m *topModel) take(s *sample, err error) {
	if err != nil {
		m.problem = err.Error()
		return
	}
	m.problem = ""
	m.pools, m.all = rates(m.last, s)
	total := 0.0
	for _, p := range m.pools {
		total += p.ExecsRate
	}
	m.record(s, total)
	m.last = s
}

// View draws for bubbletea.
func (m *topModel) View() string { return m.picture() }

func (m *topModel) picture() string {
	f := m.frame
	f.pools, f.total = m.pools, len(m.all)
	f.workers = filterWorkers(m.all, m.filter)
	sortWorkers(f.workers, f.sort, f.reverse)
	return f.render()
}

func (m *topModel) key(k tea.KeyMsg) (tea.Model, tea.Cmd) {
	name := k.String()
	if name == "ctrl+c" {
		return m, tea.Quit
	}
	if m.typing {
		m.typed(k)
		return m, nil
	}
	page := max(1, m.height/2)
	rows := len(filterWorkers(m.all, m.filter))
	switch name {
	case "q", "Q", "ctrl+d":
		return m, tea.Quit
	case "?", "h":
		m.help = !m.help
	case "esc":
		m.help, m.filter, m.scroll = false, "", 0
	case "/":
		m.typing, m.help = true, false
	case "r":
		m.reverse = !m.reverse
	case " ":
		m.paused = !m.paused
	case "up", "k":
		m.scroll--
	case "down", "j":
		m.scroll++
	case "pgup":
		m.scroll -= page
	case "pgdown":
		m.scroll += page
	case "home", "g":
		m.scroll = 0
	case "end", "G":
		m.scroll = rows
	case "+":
		m.every = max(fastest, m.every/2)
		return m, m.wait()
	case "-":
		m.every = min(slowest, m.every*2)
		return m, m.wait()
	default:
		for i := range sortKeys {
			if sortKeys[i].key == name {
				m.sort = i
			}
		}
	}
	m.scroll = max(0, min(m.scroll, rows-1))
	return m, nil
}

// typed edits the filter; the picture follows each letter.
func (m *topModel) typed(k tea.KeyMsg) {
	m.scroll = 0
	switch k.Type {
	case tea.KeyEnter:
		m.typing = false
	case tea.KeyEsc:
		m.typing, m.filter = false, ""
	case tea.KeyBackspace:
		_, n := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-n]
	case tea.KeyCtrlU:
		m.filter = ""
	case tea.KeyRunes, tea.KeySpace:
		m.filter += string(k.Runes)
	}
}
