package golden_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// FastCGI record types.
const (
	fcgiEndRequest = 3
	fcgiStdout     = 6
	fcgiStderr     = 7
)

// fcgi reads one FastCGI answer: headers and body of its stdout stream.
func (w *wire) fcgi(limit time.Duration) (headers [][2]string, body string, err error) {
	r := reader{w, time.Now().Add(limit)}
	var stdout strings.Builder
	for {
		head, whole, err := r.upTo(8)
		if err != nil || !whole {
			return nil, "", fmt.Errorf("record header %q is cut off (%v)", head, err)
		}
		length, padding := int(binary.BigEndian.Uint16([]byte(head[4:]))), int(head[6])
		content, whole, err := r.upTo(length + padding)
		if err != nil || !whole {
			return nil, "", fmt.Errorf("record of type %d is cut off (%v)", head[1], err)
		}
		switch head[1] {
		case fcgiStdout:
			stdout.WriteString(content[:length])
		case fcgiStderr:
			return nil, "", fmt.Errorf("stderr: %q", content[:length])
		case fcgiEndRequest:
			top, rest, ok := strings.Cut(stdout.String(), "\r\n\r\n")
			if !ok {
				return nil, "", fmt.Errorf("no end of headers in %q", stdout.String())
			}
			for line := range strings.SplitSeq(top, "\r\n") {
				name, value, _ := strings.Cut(line, ": ")
				headers = append(headers, [2]string{name, value})
			}
			return headers, rest, nil
		}
	}
}
