package ipc

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ProtocolError says that the worker sent something that is not the protocol.
// The channel cannot be used any more.
type ProtocolError struct {
	// Reason is the text of the error, RoadRunner's where it has one.
	Reason string
	// Received is what the worker sent, from the first offending byte on, at
	// most 4 KiB.
	Received []byte
	// Err is the cause, if there is one: a goridge error, io.ErrUnexpectedEOF
	// if the worker closed the channel after a few bytes of text, or the error
	// of the handshake's context.
	Err error

	hint string
}

func (e *ProtocolError) Error() string { return e.Reason }

func (e *ProtocolError) Unwrap() error { return e.Err }

// Hint is the likely cause and what to do about it, in one sentence; it may be
// empty. It quotes what the worker printed, bounded and made printable.
func (e *ProtocolError) Hint() string { return e.hint }

const (
	// maxReceived bounds ProtocolError.Received and what is read after a bad
	// checksum, in bytes.
	maxReceived = 4 << 10
	// maxQuoted bounds what an error's text quotes of it, in bytes.
	maxQuoted = 1 << 10
	// After a bad checksum the channel reads on until the worker was silent
	// for garbageQuiet, in all for at most garbageTotal. RoadRunner always
	// waits for 2 s; a worker that prints a warning and goes on would make
	// its client wait as long.
	garbageQuiet = 50 * time.Millisecond
	garbageTotal = 500 * time.Millisecond
)

// garbage makes a ProtocolError of bytes that are not a frame. What the worker
// prints in the following moment belongs to it: PHP writes an error message in
// several pieces.
func (c *Channel) garbage(cause error) error {
	deadline := c.t.deadline
	end := time.Now().Add(garbageTotal)
	if !deadline.IsZero() && deadline.Before(end) {
		end = deadline
	}
	for c.want = maxReceived; c.w-c.r < maxReceived; {
		quiet := time.Now().Add(garbageQuiet)
		if quiet.After(end) {
			quiet = end
		}
		if c.t.r.SetReadDeadline(quiet) != nil {
			break
		}
		n, err := c.t.read()
		if err != nil {
			break
		}
		c.w += n
	}
	_ = c.t.forceDeadline(deadline)

	received := keep(c.in.b[c.r:c.w])
	if c.control {
		return c.fail(&ProtocolError{
			Reason:   "validation failed on the message sent to the control pipe, invalid message: " + printable(received),
			Received: received,
			Err:      cause,
			hint:     "the control pipe carries bytes that are not a goridge v3 frame: the frame before announced a wrong length, or a process that the worker started writes to descriptor 3",
		})
	}
	return c.fail(&ProtocolError{
		Reason: "validation failed on the message sent to STDOUT, see: https://docs.roadrunner.dev/error-codes/stdout-crc, invalid message: " +
			printable(received),
		Received: received,
		Err:      cause,
		hint:     likelyCause(received, c.started),
	})
}

// keep copies the first bytes of b out of the pooled buffer.
func keep(b []byte) []byte { return bytes.Clone(b[:min(len(b), maxReceived)]) }

// printable makes b fit for a log line and a terminal: control characters
// except newline and tab, and what is not UTF-8, are written as \xNN.
func printable(b []byte) string {
	cut := len(b) > maxQuoted
	if cut {
		b = b[:maxQuoted]
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			s.Write(b[:n])
		} else {
			for _, x := range b[:n] {
				fmt.Fprintf(&s, `\x%02x`, x)
			}
		}
		b = b[n:]
	}
	if cut {
		s.WriteString("...")
	}
	return s.String()
}
