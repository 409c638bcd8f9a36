package boltdb

import (
	"fmt"
	"os"
	"time"
)

// Config is kv.NAME.config of a boltdb storage.
type Config struct {
	// File is relative to the working folder.
	File string `cfg:"file"`
	// Permissions of a file that is created.
	Permissions int64 `cfg:"permissions"`
	// Interval is how often expired keys are removed from the file, in seconds.
	Interval int64 `cfg:"interval"`
	// Bucket of the keys. RoadRunner documents the key and does not read it.
	Bucket string `cfg:"bucket"`
	// Dir was read by old versions of RoadRunner.
	Dir any `cfg:"dir,ignored"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if c.File == "" {
		c.File = "rr.db"
	}
	if c.Permissions == 0 {
		c.Permissions = 0o755
	}
	if c.Interval == 0 {
		c.Interval = 60
	}
	if c.Bucket == "" {
		c.Bucket = defaultBucket
	}
}

// Validate finds what is wrong; the error begins with the key.
func (c *Config) Validate() error {
	switch {
	case c.Permissions < 0 || c.Permissions > 0o777:
		return fmt.Errorf("permissions: %d is 0%o; write it with a leading zero, for example 0600", c.Permissions, c.Permissions)
	case c.Interval < 0:
		return fmt.Errorf("interval: %d is negative; write a number of seconds", c.Interval)
	}
	return nil
}

func (c *Config) mode() os.FileMode       { return os.FileMode(c.Permissions) }
func (c *Config) interval() time.Duration { return time.Duration(c.Interval) * time.Second }
