package rpc

import (
	"errors"
	"strings"
)

// ErrDSN is the text that RoadRunner gives for an address without a scheme.
var ErrDSN = errors.New("invalid socket DSN (tcp://:6001, unix://file.sock)")

// ParseDSN splits "tcp://127.0.0.1:6001" or "unix:///run/rr/app/rpc.sock" into
// what net.Dial and net.Listen want.
func ParseDSN(dsn string) (network, address string, err error) {
	network, address, ok := strings.Cut(dsn, "://")
	if !ok || address == "" || network != "tcp" && network != "unix" {
		return "", "", ErrDSN
	}
	return network, address, nil
}
