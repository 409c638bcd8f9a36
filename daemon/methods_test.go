package daemon

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

// notAtRandom are the methods that do what they are told: end the daemon, start a
// program.
var notAtRandom = map[string]bool{"rrd.Stop": true, "rrd.Reload": true, "service.Create": true}

// oddArguments are what no client sends. Some fit one codec, none fits all.
func oddArguments() [][]byte {
	return [][]byte{
		{}, []byte("null"), []byte("{}"), []byte("[]"), []byte("true"), []byte(`""`), []byte(`"\ud800"`), []byte(`"http"`), []byte("-1"), []byte("1e999"),
		[]byte(`{"name":"a","value":-1,"labels":[null]}`), []byte(`{"name":"a","collector":null}`), []byte(`{"name":"a","collector":{"type":"histogram","buckets":[2,1]}}`),
		[]byte(`{"pools":[null,""]}`), []byte(`{"resource":"r","id":"i","ttl":"-9223372036854775808","wait":"9223372036854775807"}`),
		[]byte(`{"storage":"m","items":[null,{"key":"","value":null,"timeout":"x"},{"key":"k"}]}`), []byte(`{"plugin":"http"}`), []byte(`{"name":"sleeper"}`),
		bytes.Repeat([]byte{'['}, 20000), bytes.Repeat([]byte(`{"a":`), 20000), bytes.Repeat([]byte{0xff}, 300), bytes.Repeat([]byte{0x0a, 0x7f}, 200), make([]byte, 1000),
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0x0a, 0x01, 'm', 0x12, 0x00, 0x12, 0x02, 0x0a, 0x00}, // protobuf: a length beyond the end; empty messages
		{0xdf, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0x81, 0xa4, 'N', 'a', 'm', 'e', 0xc0}, // msgpack: 4 G entries, bytes; nil
		{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x03, 0x0c, 0x00, 0x00}, {0x7f, 0xff, 0x81, 0x03, 0x01, 0x01}, // gob: a huge message; a cut one
	}
}

// Every method of a whole daemon gets every odd argument in every codec, and in
// combinations of them. Whatever it answers, the daemon lives, and none panics.
func TestMethodsBearAnyArgument(t *testing.T) {
	a := newSite(t, plain+`
kv: {m: {driver: memory, config: {}}, b: {driver: boltdb, config: {file: b.db}}}
metrics: {address: unix://metrics.sock, collect: {a: {type: counter, labels: [l]}}}
status: {address: unix://status.sock}
service: {sleeper: {command: "sleep 1000"}}
`)
	a.serve()
	socket := filepath.Join(a.dir, "rpc.sock")
	c, err := rpc.Dial(t.Context(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var r control.MethodsResult
	if err := c.Call(t.Context(), "rrd.Methods", rpc.JSON, &control.Done{}, &r); err != nil || len(r.Methods) < 40 {
		t.Fatal(err, len(r.Methods))
	}
	codecs := []byte{0, goridge.CodecRaw, goridge.CodecJSON, goridge.CodecMsgpack, goridge.CodecGob, goridge.CodecProto,
		goridge.CodecGob | goridge.CodecProto, goridge.CodecGob | goridge.CodecRaw, 0xff}
	for _, m := range r.Methods {
		if notAtRandom[m.Name] {
			continue
		}
		var calls []byte
		n := uint32(0)
		for _, codec := range codecs {
			for _, arg := range oddArguments() {
				n++
				calls = goridge.AppendFrame(calls, codec, 0, append([]byte(m.Name), arg...), n, uint32(len(m.Name)))
			}
		}
		if err := shower(t, socket, calls, n); err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
	}
	var version string
	if err := c.Call(t.Context(), "rpc.Version", rpc.JSON, new(bool), &version); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.output.String(), "panic") {
		t.Error("a method panicked")
	}
	a.stop()
}

// shower sends the calls on a connection of their own and waits for the first half of
// the answers: one that waits for a lock, or is refused for want of a worker to take
// away, answers later.
func shower(t *testing.T, socket string, calls []byte, n uint32) error {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(calls)
		sent <- err
	}()
	in := rpc.NewReader(conn, 0)
	for i := range n / 2 {
		f, err := in.Next()
		if err != nil {
			conn.Close()
			return fmt.Errorf("answer %d of %d: %w; sending: %v", i, n, err, <-sent)
		}
		f.Release()
	}
	conn.Close() // ends what still waits
	<-sent
	return nil
}
