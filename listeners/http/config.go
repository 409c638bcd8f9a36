package http

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Codecs of the request context, the values of http.codec.
const (
	// CodecJSON is understood by every PHP package: version 3.5 and later
	// sniff the first request, older ones know nothing else.
	CodecJSON = "json"
	// CodecProto is http.v1.Request, what RoadRunner has sent since 2024.1.
	CodecProto = "proto"
)

// NotServed lists the keys of the http section that RoadRunner knows and this
// version does not serve. The caller decides whether such a key is refused or
// warned about.
var NotServed = []string{"cache"}

// Config is the http section without its pool, which the daemon decodes.
// Call Defaults, then Validate.
type Config struct {
	// Address is where the daemon listens when it inherited no socket:
	// host:port, tcp://host:port or unix://path.
	Address string `cfg:"address"`
	// InternalErrorCode answers failures of workers. 0 means 500, and that
	// overload is told from failure: it is then answered with 503.
	InternalErrorCode int `cfg:"internal_error_code"`
	// AccessLogs chooses the long form of the line that is logged per request.
	AccessLogs bool `cfg:"access_logs"`
	// MaxRequestSize bounds a request's body, in MiB. 0 means 1000.
	MaxRequestSize uint64 `cfg:"max_request_size"`
	// RawBody sends forms as they are instead of parsed.
	RawBody bool `cfg:"raw_body"`
	// Middleware names, the last one outermost.
	Middleware []string `cfg:"middleware"`
	Uploads    Uploads  `cfg:"uploads"`
	HTTP2      HTTP2    `cfg:"http2"`
	SSL        *SSL     `cfg:"ssl"`   // nil: no TLS
	HTTP3      *HTTP3   `cfg:"http3"` // nil: no HTTP/3, unless its socket is inherited
	FCGI       FCGI     `cfg:"fcgi"`

	MiddlewareConfig `cfg:",squash"`

	// Extensions to RoadRunner's keys.

	// Codec of the request context, CodecJSON (default) or CodecProto. Answers
	// are accepted in either.
	Codec    string   `cfg:"codec"`
	Timeouts Timeouts `cfg:"timeouts"`
	Buffers  Buffers  `cfg:"buffers"`
	// GatewayCodes tells failures apart: 502 for a worker that died or broke the
	// protocol, 504 for one that took too long, instead of InternalErrorCode.
	GatewayCodes bool `cfg:"gateway_codes"`
	// Retry gives an idempotent request once to another worker when the first
	// one failed before it answered.
	Retry bool `cfg:"retry"`
	// RequestStreaming lets workers that can (our PHP package) read a body while
	// it arrives. A client that sends slowly then holds its worker.
	RequestStreaming bool `cfg:"request_streaming"`
	// Routes give requests to pools, in this order.
	Routes []Route `cfg:"routes"`
}

// Uploads says where uploaded files are put for PHP, and which are refused.
type Uploads struct {
	// Dir holds the files of running requests. Empty means the OS's folder for
	// temporary files.
	Dir string `cfg:"dir"`
	// Forbid and Allow are file extensions with their dot, in any case. When
	// Allow is not empty, nothing else is accepted; Forbid wins over Allow.
	Forbid []string `cfg:"forbid"`
	Allow  []string `cfg:"allow"`
}

// HTTP2 configures HTTP/2, which TLS always offers.
type HTTP2 struct {
	// H2C accepts HTTP/2 with prior knowledge on the plain listener. The way by
	// "Upgrade: h2c" is not offered (RFC 9113 withdrew it).
	H2C bool `cfg:"h2c"`
	// MaxConcurrentStreams a connection; 0 means 128.
	MaxConcurrentStreams uint32 `cfg:"max_concurrent_streams"`
}

// Timeouts bound what a slow client can hold. RoadRunner has fixed ones (5
// minutes for a whole request and for a whole answer), which cut long uploads
// and streams; Read and Write here bound one pause instead of the whole. 0
// means the default, a negative value no limit.
type Timeouts struct {
	// ReadHeader bounds the time from the first byte (of a connection: from
	// accept) to the end of the header. Default 10s.
	ReadHeader time.Duration `cfg:"read_header"`
	// Read is how long to wait for more of a body. Default 1m.
	Read time.Duration `cfg:"read"`
	// Write is how long the client may take to accept the next MiB, or the
	// next part of a stream. Default 5m.
	Write time.Duration `cfg:"write"`
	// Idle is how long a connection may wait for its next request. Default 1h.
	Idle time.Duration `cfg:"idle"`
}

// Buffers bound what bodies take. Sizes are in bytes; 0 means the default.
type Buffers struct {
	// Memory is for all requests and answers together. What finds no room in it
	// goes to disk. Default 64 MiB.
	Memory int64 `cfg:"memory,size"`
	// Body is the most of one request, and of one answer that its client has not
	// taken yet, that stays in memory. Default 1 MiB.
	Body int64 `cfg:"body,size"`
	// Spool is the most of one answer that is kept on disk for a slow client,
	// whose worker is free then. Default 1 GiB.
	Spool int64 `cfg:"spool,size"`
	// Dir is the folder for that; the files have no names. Default uploads.dir.
	Dir string `cfg:"dir"`
}

// Defaults fills in what was left out.
func (c *Config) Defaults() {
	if c.MaxRequestSize == 0 {
		c.MaxRequestSize = 1000
	}
	if c.Uploads.Dir == "" {
		c.Uploads.Dir = os.TempDir()
	}
	if c.HTTP2.MaxConcurrentStreams == 0 {
		c.HTTP2.MaxConcurrentStreams = 128
	}
	if c.Codec == "" {
		c.Codec = CodecJSON
	}
	c.tlsDefaults()
	for i, r := range c.Routes {
		if name := strings.ToLower(r.Pool); name != r.Pool { // as the keys of the file are
			c.Routes[i].Pool = name
		}
	}
	if c.Buffers.Dir == "" {
		c.Buffers.Dir = c.Uploads.Dir
	}
	for _, b := range []struct {
		n   *int64
		def int64
	}{
		{&c.Buffers.Memory, 64 << 20},
		{&c.Buffers.Body, 1 << 20},
		{&c.Buffers.Spool, 1 << 30},
	} {
		if *b.n == 0 {
			*b.n = b.def
		}
	}
	for _, t := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&c.Timeouts.ReadHeader, 10 * time.Second},
		{&c.Timeouts.Read, time.Minute},
		{&c.Timeouts.Write, 5 * time.Minute},
		{&c.Timeouts.Idle, time.Hour},
	} {
		if *t.d == 0 {
			*t.d = t.def
		}
	}
}

// maxRequestMiB keeps a frame, whose length field has 32 bits, in bounds: the
// rest of 4 GiB is left to the context.
const maxRequestMiB = 4000

// Validate reports the first value that cannot be served.
func (c *Config) Validate() error {
	if c.Address != "" && !strings.Contains(c.Address, ":") {
		return fmt.Errorf("http.address: malformed http server address %q: write host:port, :port or unix://path", c.Address)
	}
	if err := checkAddress("http.address", c.Address); err != nil {
		return err
	}
	if err := checkAddress("http.fcgi.address", c.FCGI.Address); err != nil {
		return err
	}
	if code := c.InternalErrorCode; code != 0 && (code < 200 || code > 599) {
		return fmt.Errorf("http.internal_error_code: %d is no status of a final answer: use 200..599, usually 500", code)
	}
	if c.MaxRequestSize > maxRequestMiB {
		return fmt.Errorf("http.max_request_size: %d MiB do not fit into one frame to a worker: use at most %d", c.MaxRequestSize, maxRequestMiB)
	}
	for key, list := range map[string][]string{"forbid": c.Uploads.Forbid, "allow": c.Uploads.Allow} {
		for _, ext := range list {
			if ext != "" && ext[0] != '.' {
				return fmt.Errorf("http.uploads.%s: extension %q has no dot and would never match: write %q", key, ext, "."+ext)
			}
		}
	}
	for key, n := range map[string]int64{"memory": c.Buffers.Memory, "body": c.Buffers.Body, "spool": c.Buffers.Spool} {
		if n < 0 {
			return fmt.Errorf("http.buffers.%s: cannot be negative, got %d: write a size as 1MiB, or 0 for the default", key, n)
		}
	}
	if c.Codec != "" && c.Codec != CodecJSON && c.Codec != CodecProto {
		return fmt.Errorf("http.codec: unknown codec %q: use %s or %s", c.Codec, CodecJSON, CodecProto)
	}
	if err := c.validateTLS(); err != nil {
		return err
	}
	if err := c.validateRoutes(); err != nil {
		return err
	}
	return c.MiddlewareConfig.validate()
}

// checkAddress checks where to listen, if that is set.
func checkAddress(key, a string) error {
	if a == "" {
		return nil
	}
	if err := address.Listen(a); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// internalErrorCode answers a failure of a worker.
func (c *Config) internalErrorCode() int {
	if c.InternalErrorCode == 0 {
		return 500
	}
	return c.InternalErrorCode
}

// overloadCode answers when no worker was free. RoadRunner answers with the
// internal code; a code that the user chose is kept.
func (c *Config) overloadCode() int {
	if c.InternalErrorCode == 0 {
		return 503
	}
	return c.InternalErrorCode
}

// limit turns a configured duration into one for net/http, where 0 is no limit.
func limit(d time.Duration) time.Duration { return max(d, 0) }
