package daemon

import (
	"fmt"
	"os"
	"strconv"
)

// writePid writes the own pid to .pid in the working folder (`rr serve -p`,
// read by `rr stop`). It is removed at the end; RoadRunner leaves it behind.
func writePid() (remove func(), err error) {
	const name = ".pid"
	if err := os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the pid file: %w", err)
	}
	return func() {
		// Only our own: another server may have been started in this folder.
		if b, err := os.ReadFile(name); err == nil && string(b) == strconv.Itoa(os.Getpid()) {
			os.Remove(name)
		}
	}, nil
}
