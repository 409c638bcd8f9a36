package fileserver

import (
	"fmt"
	"strings"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Config is the section fileserver. Call Defaults, then Validate.
type Config struct {
	// Address is where the daemon listens when it inherited no socket.
	Address string `cfg:"address"`
	// CalculateETag adds an ETag made of the content; Weak makes it a weak one.
	CalculateETag bool `cfg:"calculate_etag"`
	Weak          bool `cfg:"weak"`
	// StreamRequestBody has no effect: bodies of requests are not read.
	StreamRequestBody bool `cfg:"stream_request_body,ignored"`
	// Serve are the folders. The first that has a file under the path gives it.
	Serve []Folder `cfg:"serve"`
}

// Folder is one entry of fileserver.serve.
type Folder struct {
	// Prefix of the paths; the case does not count. Default "/".
	Prefix string `cfg:"prefix"`
	// Root is the folder of the files. Default ".".
	Root string `cfg:"root"`
	// BytesRange answers requests for a part.
	BytesRange bool `cfg:"bytes_range"`
	// Compress with gzip.
	Compress bool `cfg:"compress"`
	// CacheDuration has no effect: a change of a file shows at once.
	CacheDuration int `cfg:"cache_duration,ignored"`
	// MaxAge in seconds is told to caches; 0 says nothing.
	MaxAge int `cfg:"max_age"`

	// Extensions to RoadRunner's keys.

	// FollowSymlinks serves what symbolic links outside of Root lead to.
	FollowSymlinks bool `cfg:"follow_symlinks"`
	// DotFiles serves files and folders whose name begins with a dot.
	DotFiles bool `cfg:"dotfiles"`
}

// Defaults fills in what was left out.
func (c *Config) Defaults() {
	for i := range c.Serve {
		f := &c.Serve[i]
		if f.Prefix == "" {
			f.Prefix = "/"
		}
		if f.Root == "" {
			f.Root = "."
		}
	}
}

// Validate reports the first value that cannot be served. Whether the folders
// are there is for New.
func (c *Config) Validate() error {
	if c.Address != "" {
		if err := address.Listen(c.Address); err != nil {
			return fmt.Errorf("fileserver.address: %w", err)
		}
	}
	if len(c.Serve) == 0 {
		return fmt.Errorf("fileserver.serve: no folder is configured: list at least one, with prefix and root")
	}
	for i, f := range c.Serve {
		if !strings.HasPrefix(f.Prefix, "/") {
			return fmt.Errorf("fileserver.serve[%d].prefix: %q is no path: begin it with /", i, f.Prefix)
		}
		if f.MaxAge < 0 {
			return fmt.Errorf("fileserver.serve[%d].max_age: %d: use 0 or more seconds", i, f.MaxAge)
		}
	}
	return nil
}
