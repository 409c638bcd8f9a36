package logging

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// Config is the section `logs`.
type Config struct {
	Channel `cfg:",squash"`
	// Channels have a logger of their own; they inherit nothing from the section.
	Channels map[string]*Channel `cfg:"channels"`
}

// Channel describes one logger.
type Channel struct {
	// Mode is development, production, raw, none or off. Everything else is
	// RoadRunner's legacy form, development with other keys.
	Mode  string `cfg:"mode"`
	Level string `cfg:"level"` // debug, info, warn, error, dpanic, panic, fatal

	LineEnding string   `cfg:"line_ending"`
	Encoding   string   `cfg:"encoding"` // console or json
	Output     []string `cfg:"output"`   // stderr, stdout or files
	// ErrOutput gets only the logger's own errors, such as a full disk.
	ErrOutput []string `cfg:"err_output"`
	// File, if set, replaces Output and Encoding: JSON into a file that rotates.
	File *File `cfg:"file_logger_options"`
}

// File is a log file that rotates.
type File struct {
	Path       string `cfg:"log_output"`
	MaxSize    int    `cfg:"max_size"`    // MiB
	MaxAge     int    `cfg:"max_age"`     // days
	MaxBackups int    `cfg:"max_backups"` // rotated files to keep
	Compress   bool   `cfg:"compress"`    // gzip rotated files
}

// Defaults fills what is not set. Only the section itself defaults to mode
// development and level debug; a channel without mode gets the legacy form.
func (c *Config) Defaults() {
	if c.Mode == "" {
		c.Mode = "development"
	}
	if c.Level == "" {
		c.Level = "debug"
	}
	c.Channel.defaults()
	for _, channel := range c.Channels {
		if channel != nil {
			channel.defaults()
		}
	}
}

func (c *Channel) defaults() {
	if c.LineEnding == "" {
		c.LineEnding = "\n"
	}
	if len(c.Output) == 0 {
		c.Output = nil
	}
	if len(c.ErrOutput) == 0 {
		c.ErrOutput = []string{"stderr"}
	}
	if c.File != nil {
		c.File.defaults()
	}
}

func (f *File) defaults() {
	if f.MaxSize == 0 {
		f.MaxSize = 100
	}
	if f.MaxAge == 0 {
		f.MaxAge = 24
	}
	if f.MaxBackups == 0 {
		f.MaxBackups = 10
	}
}

// KeyError is a value that cannot be used.
type KeyError struct {
	Key     string // logs.level, logs.channels.http.output, ...
	Problem string
	Fix     string
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem + "; " + e.Fix }

// ConfigError lets the configuration's owner add file and line.
func (e *KeyError) ConfigError() (key, problem, fix string) { return e.Key, e.Problem, e.Fix }

// Validate returns a [*KeyError] for the first wrong key.
func (c *Config) Validate() error {
	if err := c.Channel.validate("logs"); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Channels)) {
		if channel := c.Channels[name]; channel != nil {
			if err := channel.validate("logs.channels." + name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Channel) validate(key string) error {
	if _, ok := parseLevel(c.Level); !ok {
		return &KeyError{key + ".level", fmt.Sprintf("unknown level %q", c.Level), "write debug, info, warn or error"}
	}
	switch c.Encoding {
	case "", "json", "console":
	default:
		return &KeyError{key + ".encoding", fmt.Sprintf("unknown encoding %q", c.Encoding), "write json or console"}
	}
	for _, output := range c.Output {
		if _, ok := outputPath(output); !ok {
			return badOutput(key+".output", output)
		}
	}
	for _, output := range c.ErrOutput {
		if _, ok := outputPath(output); !ok {
			return badOutput(key+".err_output", output)
		}
	}
	if c.File != nil {
		return c.File.validate(key + ".file_logger_options")
	}
	return nil
}

func badOutput(key, output string) error {
	return &KeyError{key, fmt.Sprintf("%q is not a file", output), "write stderr, stdout, a file name or file:///path"}
}

func (f *File) validate(key string) error {
	if f.Path == "" {
		return &KeyError{key + ".log_output", "file name is missing", "write for example /var/log/rr/app.log"}
	}
	for _, limit := range []struct {
		name  string
		value int
	}{{"max_size", f.MaxSize}, {"max_age", f.MaxAge}, {"max_backups", f.MaxBackups}} {
		if limit.value < 0 {
			return &KeyError{key + "." + limit.name, fmt.Sprintf("%d is negative", limit.value), "write 0 for the default"}
		}
	}
	return nil
}

// Warnings are modes that are not RoadRunner's and so mean its legacy form.
func (c *Config) Warnings() []string {
	var list []string
	check := func(key, mode string) {
		if mode != "" && parseMode(mode) == legacy && !strings.EqualFold(mode, "legacy") {
			list = append(list, fmt.Sprintf("%s.mode: %q is no mode and means the legacy form; write development, production, raw or none", key, mode))
		}
	}
	check("logs", c.Mode)
	for _, name := range slices.Sorted(maps.Keys(c.Channels)) {
		if channel := c.Channels[name]; channel != nil {
			check("logs.channels."+name, channel.Mode)
		}
	}
	return list
}

type mode uint8

const (
	legacy mode = iota
	development
	production
	raw
	none
)

func parseMode(s string) mode {
	switch strings.ToLower(s) {
	case "development":
		return development
	case "production":
		return production
	case "raw":
		return raw
	case "none", "off":
		return none
	}
	return legacy
}

// level of a channel that names none.
func (m mode) level() slog.Level {
	switch m {
	case production, raw:
		return slog.LevelInfo
	case none:
		return levelOff
	}
	return slog.LevelDebug
}

// levelOff is above every level that anything is logged at.
const levelOff = slog.Level(1 << 20)

// parseLevel knows the names of RoadRunner's logger. The three above error
// leave only what slog code logs above slog.LevelError: nothing.
func parseLevel(s string) (level slog.Level, ok bool) {
	switch strings.ToLower(s) {
	case "debug", "":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn", "warning":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	case "dpanic":
		return slog.LevelError + 4, true
	case "panic":
		return slog.LevelError + 8, true
	case "fatal":
		return slog.LevelError + 12, true
	}
	return 0, false
}
