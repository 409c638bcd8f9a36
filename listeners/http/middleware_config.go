package http

// MiddlewareConfig are the sections of middleware, on the level of http.
type MiddlewareConfig struct {
	// Static and Headers are nil when their sections are missing.
	Static  *Static  `cfg:"static"`
	Headers *Headers `cfg:"headers"`
	// TrustedSubnets are the proxies that proxy_ip_parser believes: networks
	// like 10.0.0.0/8, or "unix" for clients of a unix socket (an extension).
	TrustedSubnets []string `cfg:"trusted_subnets"`

	// Extensions to RoadRunner's keys.

	// TrustedHeaders are the fields that proxy_ip_parser reads, in order.
	TrustedHeaders []string  `cfg:"trusted_headers"`
	Sendfile       Sendfile  `cfg:"sendfile"`
	Gzip           Gzip      `cfg:"gzip"`
	RequestID      RequestID `cfg:"request_id"`
	AccessLog      AccessLog `cfg:"access_log"`
	RateLimit      RateLimit `cfg:"rate_limit"`
	BasicAuth      BasicAuth `cfg:"basic_auth"`
}

// validate checks every section, whether its middleware is listed or not. It
// reports the first mistake.
func (c *MiddlewareConfig) validate() error {
	checks := []func() error{
		func() error { _, err := newTrustedProxies(c.TrustedSubnets, c.TrustedHeaders); return err },
		c.Gzip.validate,
		c.RequestID.validate,
		c.AccessLog.validate,
		c.RateLimit.validate,
		c.BasicAuth.validate,
	}
	if c.Static != nil {
		checks = append(checks, c.Static.validate)
	}
	if c.Headers != nil {
		checks = append(checks, c.Headers.validate)
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
