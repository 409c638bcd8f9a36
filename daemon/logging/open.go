package logging

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// opener opens what one Config asks for, each file once even if several
// channels name it.
type opener struct {
	options Options
	sinks   map[string]sink
	journal *journal
	out     *routes
}

func (o *opener) all(config *Config) (err error) {
	if o.out.root, err = o.route("logs", &config.Channel); err != nil {
		return err
	}
	o.out.lowest = o.out.root.level
	for name, channel := range config.Channels {
		r, err := o.route("logs.channels."+name, channel)
		if err != nil {
			return err
		}
		o.out.channels[name] = r
		o.out.lowest = min(o.out.lowest, r.level)
	}
	return nil
}

func (o *opener) route(key string, c *Channel) (*route, error) {
	m := parseMode(c.Mode)
	if m == none {
		return discard, nil
	}
	level := m.level()
	if c.Level != "" {
		level, _ = parseLevel(c.Level) // validated
	}
	if o.options.Journal && len(c.Output) == 0 && c.File == nil {
		return o.journalRoute(level)
	}
	return o.lineRoute(key, c, level)
}

func (o *opener) journalRoute(level slog.Level) (*route, error) {
	if o.journal == nil {
		j, err := openJournal(o.options.JournalSocket, o.options.Instance)
		if err != nil {
			return nil, err
		}
		o.journal = j
		o.out.closers = append(o.out.closers, j)
	}
	j, fallback := o.journal, &encoder{mode: production, json: true, ending: "\n"}
	stderr := o.std(o.options.Stderr)
	return &route{level: level, journal: true, write: func(e *entry) error {
		err := j.write(e)
		if err == nil || errors.Is(err, errClosed) || errors.Is(err, errJournalBusy) {
			return err // a busy journal would not read standard error either
		}
		e.buf = fallback.append(e.buf[:0], e)
		return stderr.write(e.buf)
	}}, nil
}

func (o *opener) lineRoute(key string, c *Channel, level slog.Level) (*route, error) {
	outputs, onConsole := c.Output, true
	if len(outputs) == 0 {
		outputs = []string{"stderr"}
	}
	var sinks []sink
	if c.File != nil {
		s, err := o.rotating(key, c.File)
		if err != nil {
			return nil, err
		}
		sinks, onConsole = []sink{s}, false
	} else {
		for _, output := range outputs {
			s, err := o.output(key+".output", output)
			if err != nil {
				return nil, err
			}
			sinks = append(sinks, s)
			onConsole = onConsole && (output == "stderr" || output == "stdout")
		}
	}
	var onError []sink
	for _, output := range c.ErrOutput {
		s, err := o.output(key+".err_output", output)
		if err != nil {
			return nil, err
		}
		onError = append(onError, s)
	}
	enc := newEncoder(c, o.options.Color && onConsole)
	return &route{level: level, write: func(e *entry) error {
		e.buf = enc.append(e.buf[:0], e)
		var failed error
		for _, s := range sinks {
			if err := s.write(e.buf); err != nil {
				failed = err
			}
		}
		if failed != nil && !errors.Is(failed, errClosed) {
			reportError(onError, failed)
		}
		return failed
	}}, nil
}

func (o *opener) output(key, output string) (sink, error) {
	switch output {
	case "stderr":
		return o.std(o.options.Stderr), nil
	case "stdout":
		return o.std(o.options.Stdout), nil
	}
	path, _ := outputPath(output) // validated
	if s, open := o.sinks[path]; open {
		return s, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return o.keep(path, &file{f: f}), nil
}

func (o *opener) rotating(key string, c *File) (sink, error) {
	path := filepath.Clean(c.Path)
	if s, open := o.sinks[path]; open {
		return s, nil
	}
	s, err := openRotating(*c)
	if err != nil {
		return nil, fmt.Errorf("%s.file_logger_options.log_output: %w", key, err)
	}
	return o.keep(path, s), nil
}

func (o *opener) keep(path string, s closableSink) sink {
	o.sinks[path] = s
	o.out.closers = append(o.out.closers, s)
	return s
}

// outputPath reads an entry of `output`: a path, or a file: URL.
func outputPath(output string) (path string, ok bool) {
	if !strings.Contains(output, "://") {
		return filepath.Clean(output), output != ""
	}
	u, err := url.Parse(output)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.Path == "" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}
