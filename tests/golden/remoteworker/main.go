// Command remoteworker is a worker without a mind of its own: it relays what
// the daemon sends it to the test, and what the test says to the daemon. The
// test plays the PHP application.
//
// The unix socket named by REPLAY_SOCKET carries records in both directions:
// one type byte, four bytes of length (big endian), the content.
//
//	to the test    H  JSON: pid, argv, env (once, first)
//	               D  bytes that the daemon sent
//	               E  the daemon closed its side
//	from the test  D  bytes for the daemon
//	               S  text for stderr
//	               X  exit with the code in the content
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// hello is the content of the H record.
type hello struct {
	PID  int      `json:"pid"`
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "remoteworker:", err)
		os.Exit(1)
	}
}

func run() error {
	test, err := net.Dial("unix", os.Getenv("REPLAY_SOCKET"))
	if err != nil {
		return fmt.Errorf("cannot reach the test: %w", err)
	}
	in, out, err := relay(os.Getenv("RR_RELAY"))
	if err != nil {
		return fmt.Errorf("cannot open the relay: %w", err)
	}
	h, err := json.Marshal(hello{PID: os.Getpid(), Argv: os.Args[1:], Env: os.Environ()})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	send := func(kind byte, content []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := test.Write(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(content))), content...))
		return err
	}
	if err := send('H', h); err != nil {
		return err
	}

	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := in.Read(buf)
			if n > 0 && send('D', buf[:n]) != nil {
				os.Exit(1)
			}
			if err != nil {
				// As a PHP worker does when its relay is closed.
				_ = send('E', nil)
				os.Exit(1)
			}
		}
	}()

	commands := bufio.NewReader(test)
	for {
		var head [5]byte
		if _, err := io.ReadFull(commands, head[:]); err != nil {
			return nil // the test is gone
		}
		content := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(commands, content); err != nil {
			return nil
		}
		switch head[0] {
		case 'D':
			if _, err := out.Write(content); err != nil {
				return fmt.Errorf("cannot write to the daemon: %w", err)
			}
		case 'S':
			_, _ = os.Stderr.Write(content)
		case 'X':
			code, _ := strconv.Atoi(string(content))
			os.Exit(code)
		default:
			return fmt.Errorf("unknown record %q from the test", head[0])
		}
	}
}

// relay opens what the daemon named in RR_RELAY.
func relay(dsn string) (io.Reader, io.Writer, error) {
	if dsn == "" || dsn == "pipes" {
		return os.Stdin, os.Stdout, nil
	}
	network, address, ok := strings.Cut(dsn, "://")
	if !ok {
		return nil, nil, fmt.Errorf("RR_RELAY=%q is neither pipes nor an address", dsn)
	}
	c, err := net.Dial(network, address)
	return c, c, err
}
