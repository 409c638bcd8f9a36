package ipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

func TestProtocolErrors(t *testing.T) {
	control := goridge.AppendFrame(nil, goridge.Control|goridge.CodecProto, 0, []byte("x"), 0)
	tooLong := binary.LittleEndian.AppendUint32([]byte{0x1e, 0, 0, 0, 0, 0}, crc32.ChecksumIEEE([]byte{0x1e, 0, 0, 0, 0, 0}))
	for _, test := range []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"no option", goridge.AppendFrame(nil, 0, 0, []byte("x")), "options length should be equal 1 (body offset)"},
		{"two options", goridge.AppendFrame(nil, 0, 0, []byte("x"), 1, 1), "options length should be equal 1 (body offset)"},
		{"context longer than payload", goridge.AppendFrame(nil, 0, 0, []byte("abc"), 4), "bad payload"},
		{"context of 4 GiB", goridge.AppendFrame(nil, 0, 0, []byte("abc"), 0xffffffff), "bad payload"},
		{"control flag", control, "unexpected CONTROL flag"},
		{"header length 14", append(tooLong, 0, 0), "13 words"},
		{"bad checksum", []byte("\x14\x80\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00body"), "https://docs.roadrunner.dev/error-codes/stdout-crc"},
		{"text", []byte("PHP Warning: something is wrong here"), "invalid message: PHP Warning: something is wrong here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, p := pipePair(t)
			p.write(t, test.bytes) // and stays open and silent
			start := time.Now()
			_, err := c.Recv()
			var broken *ProtocolError
			if !errors.As(err, &broken) || !strings.Contains(broken.Error(), test.reason) {
				t.Fatalf("error %v, want %q", err, test.reason)
			}
			if !bytes.Equal(broken.Received, test.bytes) {
				t.Errorf("received %q, want %q", broken.Received, test.bytes)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if _, again := c.Recv(); again != err {
				t.Errorf("the second Recv says %v", again)
			}
		})
	}
}

func TestGarbageIsBounded(t *testing.T) {
	c, p := pipePair(t)
	go func() { // a worker that never stops printing
		for {
			if _, err := p.w.WriteString("spam spam spam\n"); err != nil {
				return
			}
		}
	}()
	start := time.Now()
	_, err := c.Recv()
	var broken *ProtocolError
	if !errors.As(err, &broken) {
		t.Fatal(err)
	}
	if len(broken.Received) > maxReceived || len(broken.Error()) > 2*maxQuoted || time.Since(start) > 20*time.Second {
		t.Errorf("%d bytes kept, %d bytes of text, after %v", len(broken.Received), len(broken.Error()), time.Since(start))
	}
}

// The deadline of the caller also ends the wait for more garbage, and is in
// force again afterwards.
func TestGarbageKeepsTheDeadline(t *testing.T) {
	c, p := pipePair(t)
	at := time.Now().Add(time.Hour)
	_ = c.SetDeadline(at)
	p.write(t, []byte("some text of no frame"))
	if _, err := c.Recv(); err == nil {
		t.Fatal("no error")
	}
	if !c.t.deadline.Equal(at) {
		t.Errorf("deadline is %v", c.t.deadline)
	}
}

func TestPending(t *testing.T) {
	onAll(t, func(t *testing.T, c *Channel, p *peer) {
		if c.Pending() {
			t.Fatal("pending at the start")
		}
		p.write(t, append(answerFrame(0, "c", "answer"), answerFrame(0, "c", "one too many")...))
		m, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
		if !c.Pending() {
			t.Fatal("the second answer is not noticed in the buffer")
		}
		if m, err = c.Recv(); err != nil {
			t.Fatal(err)
		}
		m.Release()
		if c.Pending() {
			t.Fatal("pending after everything was read")
		}
		p.write(t, []byte("x"))
		until(t, c.Pending)
	})
}
