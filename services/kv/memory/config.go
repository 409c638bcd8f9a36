package memory

import "fmt"

// Config is kv.NAME.config of a memory storage. RoadRunner has no key there that
// does anything.
type Config struct {
	// MaxMemory bounds what the storage takes, in bytes: when it is reached, the
	// keys that were used longest ago go. 0 means no bound.
	MaxMemory int64 `cfg:"max_memory,size"`
	// Interval is in many files and was never read.
	Interval any `cfg:"interval,ignored"`
}

// Validate finds what is wrong; the error begins with the key.
func (c *Config) Validate() error {
	if c.MaxMemory != 0 && c.MaxMemory < minMemory {
		return fmt.Errorf("max_memory: %d bytes are too few; write at least 64K, for example 256M", c.MaxMemory)
	}
	return nil
}

const minMemory = 64 << 10
