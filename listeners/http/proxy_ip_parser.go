package http

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// unixPeers is the entry of trusted_subnets for clients of a unix socket.
const unixPeers = "unix"

// defaultTrustedHeaders is RoadRunner's order.
var defaultTrustedHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"}

// trustedProxies are the peers whose word on the client's address counts.
type trustedProxies struct {
	subnets []netip.Prefix
	unix    bool
	headers []string
}

func newTrustedProxies(subnets, headers []string) (*trustedProxies, error) {
	t := &trustedProxies{headers: defaultTrustedHeaders}
	for _, s := range subnets {
		if s == unixPeers {
			t.unix = true
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			fix := "write it like 10.0.0.0/8"
			if a, err := netip.ParseAddr(s); err == nil {
				fix = fmt.Sprintf("write %s/%d for that address alone", a, a.BitLen())
			}
			return nil, fmt.Errorf("http.trusted_subnets: invalid CIDR address: %s; %s", s, fix)
		}
		t.subnets = append(t.subnets, netip.PrefixFrom(p.Addr().Unmap(), unmapBits(p)).Masked())
	}
	if len(headers) > 0 {
		t.headers = nil
		for _, h := range headers {
			if !isToken(h) {
				return nil, fmt.Errorf("http.trusted_headers: %q is no name of a header field: write it like X-Forwarded-For", h)
			}
			t.headers = append(t.headers, http.CanonicalHeaderKey(h))
		}
	}
	return t, nil
}

// unmapBits is the length of a prefix after Unmap.
func unmapBits(p netip.Prefix) int {
	if p.Addr().Is4In6() {
		return max(p.Bits()-96, 0)
	}
	return p.Bits()
}

func newProxyIPParser(c Config, env Environment) (Middleware, error) {
	if len(c.TrustedSubnets) == 0 {
		return missingSection(env, "proxy_ip_parser", "http.trusted_subnets")
	}
	t, err := newTrustedProxies(c.TrustedSubnets, c.TrustedHeaders)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if client, ok := t.client(r); ok {
				r.RemoteAddr = client
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

func (t *trustedProxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(t.subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client returns the address of the client behind the proxies, false when the
// peer is the client as far as can be told.
//
// The first of the headers that is there decides. Its list is read from the
// right, where the nearest proxy writes, over trusted addresses: the first one
// that is not trusted is the client's. Everything left of it came from outside
// and may be invented; RoadRunner takes the leftmost. What is no address ends
// the list as well.
func (t *trustedProxies) client(r *http.Request) (string, bool) {
	if !t.trusts(r.RemoteAddr) {
		return "", false
	}
	standard := false // there was a Forwarded
	for _, name := range t.headers {
		values := r.Header[name]
		if len(values) == 0 {
			continue
		}
		var chain []string
		switch name {
		case "Forwarded":
			if chain = forwardedFor(nil, values); len(chain) == 0 {
				standard = true // and says nothing of the client
				continue
			}
		case "X-Forwarded-For":
			for _, v := range values {
				chain = append(chain, strings.Split(v, ",")...)
			}
		default: // one address, that of the line which the nearest proxy wrote
			chain = values[len(values)-1:]
		}
		if standard && (name == "X-Forwarded-For" || name == "X-Real-Ip") {
			continue // as in RoadRunner: a Forwarded takes their place
		}
		client, found := netip.Addr{}, false
		for _, text := range slices.Backward(chain) {
			a, ok := forwardedAddr(text)
			if !ok {
				break
			}
			client, found = a, true
			if !t.has(a) {
				break
			}
		}
		if found {
			return client.String(), true
		}
		return "", false
	}
	return "", false
}

// trusts tells whether the peer of the connection is a trusted proxy.
func (t *trustedProxies) trusts(peer string) bool {
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		// A unix socket has no address. One that an outer middleware has set
		// has no port, and is not that of the peer.
		return t.unix && (peer == "" || peer == "@" || strings.HasPrefix(peer, "/"))
	}
	return t.has(ap.Addr().Unmap())
}
