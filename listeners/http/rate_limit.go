package http

import (
	"container/list"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// RateLimit is the section http.rate_limit, an extension to RoadRunner.
type RateLimit struct {
	// Requests are allowed in Per (default 1s) for each client.
	Requests int           `cfg:"requests"`
	Per      time.Duration `cfg:"per"`
	// Burst is how many may come at once. Default: Requests.
	Burst int `cfg:"burst"`
	// Header tells clients apart by that field of the request, which a proxy
	// must set. Empty, and when it is missing: by address.
	Header string `cfg:"header"`
	// MaxClients bounds the memory: of more, those that came least recently are
	// forgotten. Default 100000, about 25 MB.
	MaxClients int `cfg:"max_clients"`
}

func (c *RateLimit) defaults() {
	if c.Per == 0 {
		c.Per = time.Second
	}
	if c.Burst == 0 {
		c.Burst = c.Requests
	}
	if c.MaxClients == 0 {
		c.MaxClients = 100_000
	}
}

func (c *RateLimit) validate() error {
	switch {
	case c.Requests < 0:
		return fmt.Errorf("http.rate_limit.requests: %d: use a positive number", c.Requests)
	case c.Per < 0:
		return fmt.Errorf("http.rate_limit.per: %s: use a positive duration, usually 1s or 1m", c.Per)
	case c.Burst < 0:
		return fmt.Errorf("http.rate_limit.burst: %d: use a positive number", c.Burst)
	case c.MaxClients < 0:
		return fmt.Errorf("http.rate_limit.max_clients: %d: use a positive number", c.MaxClients)
	case c.Header != "" && !isToken(c.Header):
		return fmt.Errorf("http.rate_limit.header: %q is no name of a header field: write it like X-Api-Key", c.Header)
	}
	return nil
}

// rateLimiter has a token bucket for each client, in order of their last
// request.
type rateLimiter struct {
	limit      rate.Limit
	burst      int
	header     string
	maxClients int

	mu      sync.Mutex
	clients map[string]*list.Element
	recent  list.List // of *rateClient, the last one first
}

type rateClient struct {
	key    string
	bucket *rate.Limiter
}

func newRateLimiter(c RateLimit) *rateLimiter {
	c.defaults()
	return &rateLimiter{
		limit: rate.Limit(float64(c.Requests) / c.Per.Seconds()), burst: c.Burst,
		header: http.CanonicalHeaderKey(c.Header), maxClients: c.MaxClients,
		clients: make(map[string]*list.Element),
	}
}

func newRateLimit(c Config, _ Environment) (Middleware, error) {
	if c.RateLimit.Requests == 0 {
		return nil, errors.New("http.rate_limit.requests: the middleware rate_limit needs the number of requests that a client may make in http.rate_limit.per")
	}
	l := newRateLimiter(c.RateLimit)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if wait := l.take(l.key(r), time.Now()); wait > 0 {
				// Whole seconds are all that the field can say.
				w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
				http.Error(w, "too many requests", http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// key tells clients apart.
func (l *rateLimiter) key(r *http.Request) string {
	if l.header != "" {
		if v := r.Header[l.header]; len(v) > 0 && v[0] != "" {
			// A long value is as good as its beginning, and bounded.
			return "h" + v[0][:min(len(v[0]), 256)]
		}
	}
	return clientNetwork(r.RemoteAddr)
}

// clientNetwork is the address of a client without its port. Of IPv6 it is the
// network of 64 bits, all of whose addresses are one customer's.
func clientNetwork(addr string) string {
	ip, ok := remoteIP(addr)
	if !ok {
		return addr
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	a = a.Unmap()
	if a.Is4() {
		return ip
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return p.Addr().String()
}

// take takes a token, or returns how long until there is one.
func (l *rateLimiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.clients[key]
	switch {
	case at != nil:
		l.recent.MoveToFront(at)
	case len(l.clients) >= l.maxClients:
		at = l.recent.Back() // its memory is used again
		old := at.Value.(*rateClient)
		delete(l.clients, old.key)
		old.key, old.bucket = key, rate.NewLimiter(l.limit, l.burst)
		l.clients[key] = at
		l.recent.MoveToFront(at)
	default:
		at = l.recent.PushFront(&rateClient{key, rate.NewLimiter(l.limit, l.burst)})
		l.clients[key] = at
	}
	bucket := at.Value.(*rateClient).bucket
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Duration(missing/float64(l.limit)*float64(time.Second)), time.Millisecond)
}
