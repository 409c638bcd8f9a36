package golden_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// goldenCase is one line of a recording; data/README.md explains the fields.
type goldenCase struct {
	ID          string            `json:"id"`
	Area        string            `json:"area"`
	UpstreamBug string            `json:"upstream_bug"`
	DoBetter    bool              `json:"do_better"`
	Config      map[string]any    `json:"config"`
	Files       map[string]*blob  `json:"files"`
	Env         map[string]string `json:"env"`
	Fresh       bool              `json:"fresh"`
	Workers     *int              `json:"workers"`
	Handshake   string            `json:"handshake"`
	Start       string            `json:"start"`
	NoWait      bool              `json:"nowait"`
	Steps       []*step           `json:"steps"`
}

// step is one thing to do, or to see.
type step struct {
	Do     string `json:"do"`
	Note   string `json:"note"`
	Conn   string `json:"conn"`
	To     string `json:"to"`
	Worker string `json:"worker"`

	Data      blob   `json:"data"`
	About     *about `json:"about"`
	Fixed     bool   `json:"fixed"`
	Until     string `json:"until"`
	Method    string `json:"method"`
	Kind      string `json:"kind"`
	Unordered bool   `json:"unordered"`
	Context   string `json:"context"`
	Request   blob   `json:"request"`

	Ignore        []string `json:"ignore"`
	UpstreamError string   `json:"upstream_error"`
	Expect        any      `json:"expect"`

	Args    []string `json:"args"`
	Mask    masks    `json:"mask"`
	Signal  string   `json:"signal"`
	Code    int      `json:"code"`
	Text    string   `json:"text"`
	MS      int      `json:"ms"`
	Timeout int      `json:"timeout"`
	Path    string   `json:"path"`
	Status  int      `json:"status"`

	// check replaces Expect where rrd shall do better than the recording. It
	// gets what the step saw: *httpResponse, *jobFrame, *rpcAnswer, *cliResult.
	check func(got any) error
	// call is done instead of the step.
	call func(*replay) error
	// with goes out in one write with this answer, after it.
	with *step
	// anyWorker: a frame may come to another process than its label's.
	anyWorker bool
}

// about is the decoded form of an answer (for an rpc step: of the request).
type about struct {
	Flags   byte `json:"flags"`
	Stream  byte `json:"stream"`
	Context *struct {
		Status  int64            `json:"status"`
		Headers map[string][]any `json:"headers"`
	} `json:"context"`
	Body  []byte `json:"body_b64"`
	Times int    `json:"times"`

	Method string `json:"method"`
	Codec  string `json:"codec"`
}

// body is the answer's body, repeated as told.
func (a *about) body() []byte { return bytes.Repeat(a.Body, max(1, a.Times)) }

// blob is a byte string: base64, or a list of base64 parts to be repeated.
type blob []byte

func (b *blob) UnmarshalJSON(data []byte) error {
	var plain []byte
	if err := json.Unmarshal(data, &plain); err == nil {
		*b = plain
		return nil
	}
	var parts []struct {
		B64   []byte `json:"b64"`
		Times int    `json:"times"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	*b = nil
	for _, p := range parts {
		*b = append(*b, bytes.Repeat(p.B64, max(1, p.Times))...)
	}
	return nil
}

// masks are replacements of regular expressions, in the order of the file.
type masks []mask

type mask struct{ pattern, with string }

func (m *masks) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("mask is not an object: %v", err)
	}
	for dec.More() {
		pattern, err := dec.Token()
		if err != nil {
			return err
		}
		var with string
		if err := dec.Decode(&with); err != nil {
			return err
		}
		*m = append(*m, mask{pattern.(string), with})
	}
	return nil
}

// workers is how many handshakes to wait for before the first step.
func (c *goldenCase) workers() int {
	if c.Workers != nil {
		return *c.Workers
	}
	return 1
}

// waits tells whether the server must be ready before the first step.
func (c *goldenCase) waits() bool {
	return c.Start == "" && !c.NoWait && c.Handshake != "manual"
}

// serverKey is equal for cases that may share one server.
func (c *goldenCase) serverKey() string {
	key, _ := json.Marshal([]any{c.Config, c.Files, c.Env, c.workers(), c.Handshake})
	return string(key)
}

// loadCases reads one recording.
func loadCases(dir, file string) ([]*goldenCase, error) {
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cases []*goldenCase
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			c := new(goldenCase)
			if err := decodeJSON(line, c); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			cases = append(cases, c)
		}
		if err == io.EOF {
			return cases, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// decodeJSON decodes exactly one value; numbers stay json.Number.
func decodeJSON(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("bytes after the JSON value")
	}
	return nil
}

// text is the byte string that a value of the recordings stands for: a string,
// or {"b64"} where it is not UTF-8.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case map[string]any:
		if s, ok := v["b64"].(string); ok && len(v) == 1 {
			raw, err := base64.StdEncoding.DecodeString(s)
			return string(raw), err == nil
		}
	}
	return "", false
}
