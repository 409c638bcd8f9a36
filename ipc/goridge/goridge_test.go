package goridge

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

// vectors are frames recorded between RoadRunner, PHP workers and RPC clients.
var vectors = []struct {
	name          string
	flags, stream byte
	options       []uint32
	payload       string
	header        string // hex, with options
}{
	{"pid request", Control | CodecJSON, 0, nil, `{"pid":1234}`, "13 09 0c 00 00 00 5f 0c 46 73 00 00"},
	{"pid answer", Control, 0, nil, `{"pid":5678}`, "13 01 0c 00 00 00 9e 47 36 43 00 00"},
	{"worker stop", Control | CodecJSON, 0, nil, `{"stop":true}`, "13 09 0d 00 00 00 3a 6b fa cb 00 00"},
	{"job", CodecRaw, 0, []uint32{2}, "{}hello", "14 04 07 00 00 00 57 7f d2 41 00 00 02 00 00 00"},
	{"answer STREAM+PING", 0, StreamBit | PingBit, []uint32{2}, "{}hello", "14 00 07 00 00 00 97 d9 52 b4 05 00 02 00 00 00"},
	{"stream STOP", 0, StopBit, nil, "", "13 00 00 00 00 00 96 d1 80 34 02 00"},
	{"PONG", 0, PongBit, nil, "", "13 00 00 00 00 00 96 d1 80 34 08 00"},
	{"worker error", Error, 0, nil, "boom", "13 40 04 00 00 00 88 1e 11 e3 00 00"},
	{"RPC request", CodecJSON, 0, []uint32{1, 13}, "informer.Listtrue", "15 08 11 00 00 00 b0 49 0c 3a 00 00 01 00 00 00 0d 00 00 00"},
	{"RPC answer", CodecJSON, 0, []uint32{1, 13}, `informer.List["http"]`, "15 08 15 00 00 00 e7 de 6e b5 00 00 01 00 00 00 0d 00 00 00"},
	{"RPC error", CodecJSON | Error, 0, []uint32{2, 6}, "nope.Xrpc: can't find service nope.X", "15 48 24 00 00 00 6a 19 0a a5 00 00 02 00 00 00 06 00 00 00"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			want := append(unhex(t, v.header), v.payload...)
			got := AppendFrame(nil, v.flags, v.stream, []byte(v.payload), v.options...)
			if !bytes.Equal(got, want) {
				t.Fatalf("encoded\n % x, want\n % x", got, want)
			}
			f, size, err := ParseFrame(append(want, "next"...))
			if err != nil {
				t.Fatal(err)
			}
			if size != len(want) || f.Version != Version || f.Flags != v.flags || f.Stream != v.stream ||
				f.Options != len(v.options) || string(f.Payload) != v.payload {
				t.Fatalf("decoded %+v, size %d", f, size)
			}
			for i, o := range v.options {
				if f.Option[i] != o || Option(want, i) != o {
					t.Errorf("option %d is %d, want %d", i, f.Option[i], o)
				}
			}
			if cap(f.Payload) != len(f.Payload) {
				t.Error("an append to Payload would overwrite the next frame")
			}
			for n := range len(want) {
				if _, _, err := ParseFrame(want[:n]); !errors.Is(err, ErrShort) {
					t.Fatalf("first %d bytes: error %v, want ErrShort", n, err)
				}
			}
		})
	}
}

func TestEveryNumberOfOptions(t *testing.T) {
	var options []uint32
	for n := range MaxOptions + 1 {
		frame := AppendFrame([]byte("prefix"), CodecRaw, 0, []byte("x"), options...)[len("prefix"):]
		f, _, err := ParseFrame(frame)
		if err != nil || f.Options != n || f.Size() != HeaderSize+4*n || string(f.Payload) != "x" {
			t.Fatalf("%d options: %+v, %v", n, f, err)
		}
		options = append(options, uint32(n)<<24|7)
	}
	defer func() {
		if recover() == nil {
			t.Error("11 options were accepted")
		}
	}()
	AppendHeader(nil, 0, 0, 0, options...)
}

// A changed bit in what the checksum covers, or in the checksum, is noticed.
func TestFlippedBits(t *testing.T) {
	frame := AppendHeader(nil, CodecProto, StreamBit, 77, 3)
	for bit := range 10 * 8 {
		frame[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseHeader(frame); !errors.Is(err, ErrCRC) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
		frame[bit/8] ^= 1 << (bit % 8)
	}
}

// withFirstByte is a header with a valid checksum and another first byte.
func withFirstByte(b byte) []byte {
	h := []byte{b, CodecProto, 1, 0, 0, 0}
	sum := crc32.ChecksumIEEE(h)
	return append(h, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24), 0, 0)
}

func TestHeaderLength(t *testing.T) {
	for words := range 16 {
		h, err := ParseHeader(withFirstByte(0x10 | byte(words)))
		switch {
		case words > 13:
			if !errors.Is(err, ErrHeaderLength) {
				t.Errorf("header length %d: %v", words, err)
			}
		case err != nil || h.Options != max(words-3, 0):
			t.Errorf("header length %d: %+v, %v", words, h, err)
		}
	}
}

// Any version is accepted, as RoadRunner does.
func TestVersionIsNotChecked(t *testing.T) {
	if h, err := ParseHeader(withFirstByte(0x23)); err != nil || h.Version != 2 {
		t.Errorf("version 2: %+v, %v", h, err)
	}
}

func TestChecksumIsIEEE(t *testing.T) {
	for _, s := range []string{"", "\x00\x00\x00\x00\x00\x00", "abcdef", "\xff\xff\xff\xff\xff\xff"} {
		if got, want := checksum([]byte(s)), crc32.ChecksumIEEE([]byte(s)); got != want {
			t.Errorf("%q: %08x, want %08x", s, got, want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 0, 64)
	payload := []byte("{}hello")
	if n := testing.AllocsPerRun(100, func() {
		frame := AppendFrame(buf, CodecRaw, 0, payload, 2)
		if _, _, err := ParseFrame(frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParseFrame: any bytes either are refused or are a frame that encodes to
// the same bytes again.
func FuzzParseFrame(f *testing.F) {
	for _, v := range vectors {
		f.Add(append(unhex(f, v.header), v.payload...))
	}
	for _, s := range []string{"", "Could not open input file: x.php", "<br />\n<b>Fatal error</b>", "#!/usr/bin/env php\n", "\xef\xbb\xbf<?php "} {
		f.Add([]byte(s))
	}
	f.Add(withFirstByte(0x1e))
	f.Add(withFirstByte(0x10))
	f.Add(AppendHeader(nil, 0, 0, 0xffffffff, 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, size, err := ParseFrame(b)
		if err != nil {
			if size != 0 {
				t.Fatalf("size %d with error %v", size, err)
			}
			return
		}
		again := AppendFrame(nil, frame.Flags, frame.Stream, frame.Payload, frame.Option[:frame.Options]...)
		want := bytes.Clone(b[:size])
		// What a peer ignores and AppendFrame sets: version, header lengths
		// below 3, the reserved byte.
		normal := want[0]>>4 == Version && want[0]&0x0f >= baseWords
		want[11] = 0
		if normal && !bytes.Equal(again, want) {
			t.Fatalf("% x became % x", want, again)
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	b.ReportAllocs()
	var buf [MaxHeaderSize]byte
	for b.Loop() {
		h := AppendHeader(buf[:0], CodecJSON, 0, 12345, 678)
		if _, err := ParseHeader(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	six := []byte{0x14, 8, 1, 2, 0, 0}
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			checksum(six)
		}
	})
	b.Run("hash-crc32", func(b *testing.B) {
		for b.Loop() {
			crc32.ChecksumIEEE(six)
		}
	})
}
