package daemon

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// packet returns the datagram sockets called name, which are found as stream
// finds listeners; dsn is host:port.
func (s *sockets) packet(name, key, dsn string) ([]net.PacketConn, error) {
	conns, inherited, err := s.findPacket(name, key, dsn)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		s.bound = append(s.bound, boundSocket{name: name, addr: c.LocalAddr(), inherited: inherited})
	}
	return conns, err
}

func (s *sockets) findPacket(name, key, dsn string) (conns []net.PacketConn, inherited bool, err error) {
	if conns, err = s.inherited.PacketConns(name); err != nil {
		return nil, false, err
	}
	if len(conns) > 0 {
		for _, c := range conns {
			s.handedOver(name, key, dsn, c.LocalAddr())
		}
		return conns, true, nil
	}
	if dsn == "" {
		return nil, false, nil
	}
	stored := storeName(name, dsn)
	if conns, err = s.inherited.PacketConns(stored); err != nil {
		return nil, false, err
	}
	if len(conns) > 0 {
		s.log.Info("socket kept open over the restart", logkey.Socket, name, "address", dsn)
		return conns, false, nil
	}
	c, err := listenPacket(dsn)
	if err != nil {
		return nil, false, err
	}
	s.store(name, stored, c)
	return []net.PacketConn{c}, false, nil
}

// listenPacket binds host:port for datagrams. An empty host means IPv4.
func listenPacket(dsn string) (*net.UDPConn, error) {
	network := "udp"
	if host, _, err := net.SplitHostPort(dsn); err == nil && host == "" {
		network = "udp4"
	}
	addr, err := net.ResolveUDPAddr(network, dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot use the address %q: %v; write host:port, for example 127.0.0.1:8443", dsn, err)
	}
	c, err := net.ListenUDP(network, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %s: the address is in use by another process (ss -lunp shows it); stop that or choose another address", dsn)
	}
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("cannot listen on %s: permission denied; use a port above 1023, or the socket unit rr-h3@.socket", dsn)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", dsn, err)
	}
	return c, nil
}
