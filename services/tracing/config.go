package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/ipc/address"
)

// Exporters and clients that a configuration may name.
const (
	OTLP   = "otlp"
	Zipkin = "zipkin"
	Stdout = "stdout"
	Stderr = "stderr"

	HTTP = "http" // OTLP as protobuf over HTTP
	GRPC = "grpc"
)

// Config is the section `otel`. What it leaves out, the variables of
// OpenTelemetry's own specification say (OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_..., ...).
type Config struct {
	// Exporter is OTLP (the default), Zipkin, Stdout or Stderr.
	Exporter string `cfg:"exporter"`
	// Client of OTLP: HTTP or GRPC. The default is what
	// OTEL_EXPORTER_OTLP_TRACES_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL says, else
	// HTTP.
	Client string `cfg:"client"`
	// Endpoint is host:port, for Zipkin a URL. The default is on this machine.
	Endpoint string `cfg:"endpoint"`
	// CustomURL is the path for the client HTTP, instead of /v1/traces.
	CustomURL string `cfg:"custom_url"`
	// Insecure is without TLS.
	Insecure bool `cfg:"insecure"`
	// Compress sends gzip.
	Compress bool `cfg:"compress"`
	// Headers go with every export. Their names are in lower case.
	Headers  map[string]string `cfg:"headers"`
	Resource Resource          `cfg:"resource"`
	// ServiceName and ServiceVersion are the old places of Resource.Name and
	// Resource.Version, which go first.
	ServiceName    string `cfg:"service_name"`
	ServiceVersion string `cfg:"service_version"`
}

// Resource is what spans say of the service.
type Resource struct {
	Name       string `cfg:"service_name"`
	Version    string `cfg:"service_version"`
	Namespace  string `cfg:"service_namespace"`
	InstanceID string `cfg:"service_instance_id"`
}

// Defaults fills what is not set.
func (c *Config) Defaults() {
	if c.Exporter == "" {
		c.Exporter = OTLP
	}
	if c.Resource.Name == "" {
		c.Resource.Name = c.ServiceName
	}
	if c.Resource.Version == "" {
		c.Resource.Version = c.ServiceVersion
	}
}

// client is that of OTLP. It is not a default of the section: its variable may come
// from a file of variables, which is known later.
func (c *Config) client() string {
	if c.Client != "" {
		return c.Client
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch os.Getenv(name) {
		case "grpc":
			return GRPC
		case "http/protobuf":
			return HTTP
		}
	}
	return HTTP
}

// KeyError is a value that cannot be used.
type KeyError struct{ Key, Problem, Fix string }

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem + "; " + e.Fix }

// ConfigError lets the configuration's owner add file and line.
func (e *KeyError) ConfigError() (key, problem, fix string) { return e.Key, e.Problem, e.Fix }

// Validate returns a [*KeyError] for the first value that cannot be used.
func (c *Config) Validate() error {
	var wrong *address.Error
	switch {
	case c.Exporter == "jaeger":
		return &KeyError{"otel.exporter", "Jaeger's own protocol does not exist any more", "use otlp, which Jaeger understands"}
	case !slices.Contains([]string{OTLP, Zipkin, Stdout, Stderr}, c.Exporter):
		return &KeyError{"otel.exporter", fmt.Sprintf("unknown exporter %q", c.Exporter), "use otlp, zipkin, stdout or stderr"}
	case c.Client != "" && c.Client != HTTP && c.Client != GRPC:
		return &KeyError{"otel.client", fmt.Sprintf("unknown client %q", c.Client), "use http or grpc"}
	case c.Exporter == Zipkin && c.Endpoint != "" && !isURL(c.Endpoint):
		return &KeyError{"otel.endpoint", fmt.Sprintf("%q is no URL", c.Endpoint), "zipkin needs one like http://127.0.0.1:9411/api/v2/spans"}
	case c.Exporter == OTLP && strings.ContainsAny(c.Endpoint, "/?#@ "):
		return &KeyError{"otel.endpoint", fmt.Sprintf("%q is not host:port", c.Endpoint),
			"write for example 127.0.0.1:4318; TLS is turned off by otel.insecure, and a path is set by otel.custom_url"}
	case c.Exporter == OTLP && c.Endpoint != "" && errors.As(address.Dial(c.Endpoint), &wrong):
		return &KeyError{"otel.endpoint", wrong.Problem, wrong.Fix}
	case c.CustomURL != "" && !strings.HasPrefix(c.CustomURL, "/"):
		return &KeyError{"otel.custom_url", fmt.Sprintf("%q is no path", c.CustomURL), "write for example /v1/traces, and the host in otel.endpoint"}
	}
	return nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
