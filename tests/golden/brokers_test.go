package golden_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/tests/brokers"
)

// Recordings with a store or message broker behind the server have a form of
// their own (data/README.md): the steps say "op", the servers are the test's own.

// brokerFiles are the recordings of that form.
var brokerFiles = []string{"kv-brokers.jsonl"}

// brokerCase is one line of them.
type brokerCase struct {
	ID          string         `json:"id"`
	UpstreamBug bool           `json:"upstream_bug"`
	Bug         string         `json:"bug"`
	Config      map[string]any `json:"config"`
	Steps       []*brokerStep  `json:"steps"`
}

// brokerStep is one thing to do, or to see.
type brokerStep struct {
	Op string `json:"op"`

	// rpc
	Method        string          `json:"method"`
	Flags         byte            `json:"flags"`
	Request       json.RawMessage `json:"request"`
	RequestHex    string          `json:"request_hex"`
	ResponseFlags byte            `json:"response_flags"`
	Response      json.RawMessage `json:"response"`
	Error         *string         `json:"error"`
	Connection    string          `json:"connection"`

	// broker_has, broker_put
	Store    string              `json:"store"`
	Key      string              `json:"key"`
	Type     string              `json:"type"`
	Value    *string             `json:"value"`
	TTL      string              `json:"ttl"`
	TTLAbout *float64            `json:"ttl_s_about"`
	Lines    []string            `json:"get_lines"`
	Meta     string              `json:"meta_ttl_flags_size"`
	File     string              `json:"file"`
	Mode     string              `json:"mode"`
	Buckets  map[string][]boltKV `json:"buckets"`

	// server_start_fails, server_dies, signal, wait
	Message string  `json:"message"`
	Signal  string  `json:"signal"`
	Seconds float64 `json:"s"`
}

// boltKV is a key in a file of bbolt.
type boltKV struct {
	Key      string `json:"key"`
	ValueHex string `json:"value_hex"`
}

func loadBrokerCases(dir, file string) ([]*brokerCase, error) {
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cases []*brokerCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		c := new(brokerCase)
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cases = append(cases, c)
	}
	return cases, lines.Err()
}

// has tells whether a step of this kind is in the case.
func (c *brokerCase) has(op string) bool {
	return slices.ContainsFunc(c.Steps, func(s *brokerStep) bool { return s.Op == op })
}

func (c *brokerCase) remove(op string) {
	c.Steps = slices.DeleteFunc(c.Steps, func(s *brokerStep) bool { return s.Op == op })
}

func TestBrokers(t *testing.T) {
	only, err := regexp.Compile(*filter)
	if err != nil {
		t.Fatalf("-golden.run: %v", err)
	}
	listed, err := loadNotYet()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, max(1, *parallel)*2) // most of the time is waiting
	for _, file := range brokerFiles {
		cases, err := loadBrokerCases(*dataDir, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if !only.MatchString(c.ID) || listed.has(c.ID) {
				continue
			}
			improve := betterWithBroker[c.ID]
			if c.UpstreamBug && improve == nil {
				t.Fatalf("%s records a mistake of RoadRunner (%s): say in better_broker_test.go what rrd does", c.ID, c.Bug)
			}
			if improve != nil {
				improve(c)
			}
			t.Run(c.ID, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				replayWithBroker(t, bin, c)
			})
		}
	}
}

// brokerReplay runs one case.
type brokerReplay struct {
	t      *testing.T
	s      *server
	now    time.Time         // {{NOW}}: when the steps began
	stores map[string]string // addresses: REDIS, MEMCACHED
	conn   *wire
	seq    uint32
}

var storePlaceholder = regexp.MustCompile(`\{\{([A-Z]+)\}\}`)

func replayWithBroker(t *testing.T, bin *binaries, c *brokerCase) {
	r := &brokerReplay{t: t, stores: map[string]string{}}
	text, err := json.Marshal(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	// Each case has stores of its own.
	for _, m := range storePlaceholder.FindAllStringSubmatch(string(text), -1) {
		if name := m[1]; r.stores[name] == "" {
			switch name {
			case "REDIS":
				r.stores[name] = brokers.Redis(t).Addr
			case "MEMCACHED":
				r.stores[name] = brokers.Memcached(t).Addr
			}
		}
	}
	config := storePlaceholder.ReplaceAllStringFunc(string(text), func(s string) string {
		name := strings.Trim(s, "{}")
		if addr := r.stores[name]; addr != "" {
			return addr
		}
		return map[string]string{"DIR": "{tmp}", "WORKER": "{worker}", "RPC": "{rpc}"}[name]
	})
	none := 0
	g := &goldenCase{ID: c.ID, Workers: &none}
	if err := json.Unmarshal([]byte(config), &g.Config); err != nil {
		t.Fatal(err)
	}
	if c.has("server_start_fails") {
		g.Start = "fail"
	}
	r.s, err = start(bin, g, nil, stepLimit)
	if r.s != nil {
		defer func() {
			if r.conn != nil {
				_ = r.conn.conn.Close()
			}
			if err := r.s.close(t.Failed()); err != nil && !t.Failed() {
				t.Errorf("at the end: %v", err)
			}
		}()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.now = time.Now()
	for i, st := range c.Steps {
		if err := r.step(st); err != nil {
			t.Fatalf("step %d %s %s: %v", i+1, st.Op, st.Method, err)
		}
	}
}

func (r *brokerReplay) step(st *brokerStep) error {
	switch st.Op {
	case "rpc":
		return r.rpc(st)
	case "wait":
		pause(time.Duration(st.Seconds * float64(time.Second)))
		return nil
	case "broker_has":
		return r.has(st)
	case "broker_put":
		return r.put(st)
	case "server_start_fails":
		if !r.s.await(stepLimit, func() bool { return r.s.exited }) {
			return errors.New("the server runs")
		}
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		if out := plain(r.s.output.String()); r.s.code == 0 || !strings.Contains(out, st.Message) {
			return fmt.Errorf("exit code %d, want %q, output %q", r.s.code, st.Message, out)
		}
		return nil
	case "server_kill":
		_ = r.s.cmd.Process.Kill()
		if !r.s.await(stepLimit, func() bool { return r.s.exited }) {
			return errors.New("the server still runs")
		}
		_ = r.conn.conn.Close()
		r.conn = nil
		return nil
	case "server_start":
		return r.s.launch(stepLimit)
	case "signal":
		sig, ok := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "USR2": syscall.SIGUSR2}[strings.TrimPrefix(st.Signal, "SIG")]
		if !ok {
			return fmt.Errorf("unknown signal %q", st.Signal)
		}
		return r.s.cmd.Process.Signal(sig)
	case "comment", "check":
		return nil // for the reader
	}
	return errors.New("unknown step")
}

var nowPlaceholder = regexp.MustCompile(`\{\{NOW([+-]\d+)(?: in zone ([+-]\d\d:\d\d)| ([^}]+))?\}\}`)

// times puts moments into a text: {{NOW+3}}, {{NOW+3 LAYOUT}}, {{NOW+3 in zone +02:00}}.
func (r *brokerReplay) times(text string) string {
	return nowPlaceholder.ReplaceAllStringFunc(text, func(s string) string {
		m := nowPlaceholder.FindStringSubmatch(s)
		seconds, _ := strconv.Atoi(m[1])
		at := r.now.Add(time.Duration(seconds) * time.Second).UTC()
		switch {
		case m[2] != "":
			zone, err := time.Parse("-07:00", m[2])
			if err != nil {
				r.t.Fatal(err)
			}
			return at.In(zone.Location()).Format("2006-01-02T15:04:05-07:00")
		case m[3] != "":
			return at.Format(m[3])
		}
		return at.Format("2006-01-02T15:04:05+00:00")
	})
}

// slack is how far a time may be from the recorded one, in seconds: the
// recording's own steps took up to 3.
const slack = 5

// near compares a time with one that was recorded as so many seconds from now.
func (r *brokerReplay) near(at time.Time, seconds float64) error {
	if off := at.Sub(r.now).Seconds() - seconds; off < -slack || off > slack {
		return fmt.Errorf("%s is %.1f s after the start, want about %.0f", at, off+seconds, seconds)
	}
	return nil
}

// poll tries until there is no error.
func poll(try func() error) error {
	deadline := time.Now().Add(stepLimit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		pause(20 * time.Millisecond)
	}
}

// TestBrokerListIsUsed: no entry for a case that is not there.
func TestBetterWithBrokerIsUsed(t *testing.T) {
	known := sync.OnceValue(func() map[string]bool {
		ids := map[string]bool{}
		for _, file := range brokerFiles {
			cases, err := loadBrokerCases(*dataDir, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				ids[c.ID] = true
			}
		}
		return ids
	})()
	for id := range betterWithBroker {
		if !known[id] {
			t.Errorf("%s is in no recording", id)
		}
	}
}
