package ipc

import (
	"fmt"
	"strings"
)

// Values of Config.Shm.
const (
	ShmAuto = "auto"
	ShmOff  = "off"
)

// Config is the section ipc: the way between the daemon and its workers.
type Config struct {
	// Shm is ShmAuto, shared memory for the workers that can use it, or ShmOff,
	// pipes for all.
	Shm string `cfg:"shm"`
	// Half is the size in bytes of each half of the memory that a worker shares, one
	// for the bodies of requests and one for those of answers. Longer bodies go
	// through it in parts.
	Half int64 `cfg:"half,size"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if c.Shm == "" {
		c.Shm = ShmAuto
	}
	if c.Half == 0 {
		c.Half = DefaultHalf
	}
}

// Validate names the key, the value and the fix.
func (c *Config) Validate() error {
	if !strings.EqualFold(c.Shm, ShmAuto) && !strings.EqualFold(c.Shm, ShmOff) {
		return fmt.Errorf("shm: unknown value %q: write %s or %s", c.Shm, ShmAuto, ShmOff)
	}
	if c.Half < MinHalf || c.Half > MaxHalf || c.Half%HalfStep != 0 {
		return fmt.Errorf("half: %d bytes are not possible: write a multiple of 4K from 64K to 64M, for example 256K", c.Half)
	}
	return nil
}

// Shared is the size of a half for new workers, 0 for no shared memory.
func (c *Config) Shared() int {
	if strings.EqualFold(c.Shm, ShmOff) {
		return 0
	}
	return int(c.Half)
}
