package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
)

// client makes RPC calls in JSON, one at a time. It shares no code with the
// server, so that both cannot be wrong in the same way.
type client struct {
	conn net.Conn
	seq  uint32
}

const (
	flagJSON  = 0x08
	flagError = 0x40
	headSize  = 20
)

func (c *client) call(method string, arg, reply any) error {
	body, err := json.Marshal(arg)
	if err != nil {
		return err
	}
	c.seq++
	f := []byte{0x15, flagJSON, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(f[2:], uint32(len(method)+len(body)))
	binary.LittleEndian.PutUint32(f[6:], crc32.ChecksumIEEE(f[:6]))
	f = binary.LittleEndian.AppendUint32(f, c.seq)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(method)))
	if _, err := c.conn.Write(append(append(f, method...), body...)); err != nil {
		return err
	}
	head := make([]byte, headSize)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return err
	}
	payload := make([]byte, binary.LittleEndian.Uint32(head[2:]))
	if _, err := io.ReadFull(c.conn, payload); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[12:]) != c.seq || len(payload) < len(method) {
		return fmt.Errorf("another call was answered: % x", head)
	}
	result := payload[len(method):]
	if head[1]&flagError != 0 {
		return errors.New(string(result))
	}
	return json.Unmarshal(result, reply)
}
