package ipc

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

var benchSizes = []int{100, 4 << 10, 64 << 10, 1 << 20, 10 << 20}

// BenchmarkRoundTrip is one exchange with a peer in this process that echoes
// the frame, over pipes. The peer's half of the work is in the numbers.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, p := pipePair(b)
			_ = c.SetDeadline(time.Time{})
			frame := make([]byte, goridge.HeaderSize+goridge.OptionSize+200+size)
			go func() {
				for {
					if _, err := io.ReadFull(p.r, frame); err != nil {
						return
					}
					if _, err := p.w.Write(frame); err != nil {
						return
					}
				}
			}()
			payload := &Payload{Codec: goridge.CodecJSON, Context: bytes.Repeat([]byte("c"), 200), Body: make([]byte, size)}
			benchExchange(b, c, payload)
		})
	}
}

// BenchmarkPHP is the same with a PHP process.
func BenchmarkPHP(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := startPHP(b, "echo")
			_ = c.SetDeadline(time.Time{})
			payload := &Payload{Codec: goridge.CodecJSON, Context: bytes.Repeat([]byte("c"), 200), Body: make([]byte, size)}
			benchExchange(b, c, payload)
		})
	}
}

func benchExchange(b *testing.B, c *Channel, payload *Payload) {
	b.ReportAllocs()
	b.SetBytes(int64(len(payload.Body)))
	var m Message
	for b.Loop() {
		if err := c.Send(payload); err != nil {
			b.Fatal(err)
		}
		if err := c.RecvInto(&m); err != nil {
			b.Fatal(err)
		}
		if len(m.Body) != len(payload.Body) {
			b.Fatal("wrong length")
		}
		m.Release()
	}
}

// BenchmarkPending is what the check for a stray answer costs.
func BenchmarkPending(b *testing.B) {
	c, _ := pipePair(b)
	b.ReportAllocs()
	for b.Loop() {
		if c.Pending() {
			b.Fatal("pending")
		}
	}
}

// BenchmarkDeadline is what a deadline costs an exchange.
func BenchmarkDeadline(b *testing.B) {
	c, _ := pipePair(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
