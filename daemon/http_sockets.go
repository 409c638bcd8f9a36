package daemon

import (
	"cmp"
	"net"

	"github.com/rr-systemd/rrd/listeners/http"
)

// Names of the sockets of the HTTP frontend, as in FileDescriptorName= of their
// units.
const (
	socketHTTP  = "http"
	socketHTTPS = "https"
	socketHTTP3 = "h3" // a datagram socket
	socketFCGI  = "fcgi"
)

// httpSockets are the sockets of the HTTP frontend.
type httpSockets struct {
	plain, tls, fcgi []net.Listener
	quic             []net.PacketConn
}

// addresses are the configured ones by the name of the socket, without those
// that are not served: TLS and HTTP/3 need a certificate.
func (h *httpSettings) addresses() map[string]string {
	a := map[string]string{socketHTTP: h.Address, socketFCGI: h.FCGI.Address}
	if h.SSL.Enabled() {
		a[socketHTTPS] = cmp.Or(h.SSL.Address, http.DefaultTLSAddress)
	}
	if h.HasCertificate() {
		a[socketHTTP3] = ""
		if h.HTTP3 != nil {
			a[socketHTTP3] = h.HTTP3.Address
		}
	}
	return a
}

// serves tells whether there is at least one way in. HTTP/3 does not count:
// clients find it through TLS.
func (h *httpSettings) serves(inherited func(name string) bool) bool {
	for name, address := range h.addresses() {
		if name != socketHTTP3 && (address != "" || inherited(name)) {
			return true
		}
	}
	return false
}

// openHTTP opens all sockets of the HTTP frontend, or none.
func (d *Daemon) openHTTP(s *settings) (*httpSockets, error) {
	open := new(httpSockets)
	addresses := s.http.addresses()
	for _, part := range []struct {
		name, key string
		into      *[]net.Listener
	}{
		{socketHTTP, "http.address", &open.plain},
		{socketHTTPS, "http.ssl.address", &open.tls},
		{socketFCGI, "http.fcgi.address", &open.fcgi},
	} {
		address, ok := addresses[part.name]
		if !ok {
			continue
		}
		listeners, err := d.sockets.stream(part.name, part.key, address)
		if err != nil {
			open.close()
			return nil, s.tree.At(part.key, err)
		}
		*part.into = listeners
	}
	if address, ok := addresses[socketHTTP3]; ok {
		conns, err := d.sockets.packet(socketHTTP3, "http.http3.address", address)
		if err != nil {
			open.close()
			return nil, s.tree.At("http.http3.address", err)
		}
		open.quic = conns
	}
	return open, nil
}

func (h *httpSockets) close() {
	for _, list := range [][]net.Listener{h.plain, h.tls, h.fcgi} {
		for _, l := range list {
			l.Close()
		}
	}
	for _, c := range h.quic {
		c.Close()
	}
}
