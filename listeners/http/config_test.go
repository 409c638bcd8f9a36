package http

import (
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	var c Config
	c.Timeouts.Idle = -1
	c.Defaults()
	if c.MaxRequestSize != 1000 || c.Codec != CodecJSON || c.HTTP2.MaxConcurrentStreams != 128 || c.Uploads.Dir == "" {
		t.Errorf("%+v", c)
	}
	if c.Timeouts.ReadHeader != 10*time.Second || limit(c.Timeouts.Idle) != 0 {
		t.Errorf("%+v", c.Timeouts)
	}
	if c.internalErrorCode() != 500 || c.overloadCode() != 503 {
		t.Error(c.internalErrorCode(), c.overloadCode())
	}
	c.InternalErrorCode = 444
	if c.internalErrorCode() != 444 || c.overloadCode() != 444 {
		t.Error(c.internalErrorCode(), c.overloadCode())
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigErrorsNameKeyAndValue(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(c *Config) { c.Address = "8080" }, []string{"http.address", `"8080"`, "malformed http server address"}},
		{func(c *Config) { c.FCGI.Address = "unix:/run/f.sock" }, []string{"http.fcgi.address", `"unix:/run/f.sock"`, "write unix:///run/f.sock"}},
		{func(c *Config) { c.InternalErrorCode = 100 }, []string{"http.internal_error_code", "100"}},
		{func(c *Config) { c.InternalErrorCode = 1000 }, []string{"http.internal_error_code", "1000"}},
		{func(c *Config) { c.MaxRequestSize = 5000 }, []string{"http.max_request_size", "5000"}},
		{func(c *Config) { c.Uploads.Forbid = []string{"php"} }, []string{"http.uploads.forbid", `"php"`, `".php"`}},
		{func(c *Config) { c.Codec = "xml" }, []string{"http.codec", `"xml"`, "json"}},
	} {
		var c Config
		tt.change(&c)
		err := c.Validate()
		if err == nil {
			t.Errorf("%v: accepted", tt.want)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %s", err, w)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}); err != ErrNoListener {
		t.Error(err)
	}
	if _, err := New(Options{Config: Config{Codec: "x"}}); err == nil {
		t.Error("bad config accepted")
	}
}
