package daemon

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/services/status/statuspb"
)

// gobCodec is the client side of Go's own net/rpc in goridge frames, as the stock
// rr speaks it: gob, with the protobuf bit added for a protobuf message. It shares
// nothing with ipc/rpc but the frame, so that both cannot be wrong together.
type gobCodec struct {
	conn   net.Conn
	in     *bufio.Reader
	answer []byte // encoded result of the last header
}

func (c *gobCodec) WriteRequest(r *rpc.Request, arg any) error {
	payload := bytes.NewBufferString(r.ServiceMethod)
	flags := byte(goridge.CodecGob)
	if m, ok := arg.(proto.Message); ok {
		flags |= goridge.CodecProto
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		payload.Write(b)
	} else if err := gob.NewEncoder(payload).Encode(arg); err != nil {
		return err
	}
	_, err := c.conn.Write(goridge.AppendFrame(nil, flags, 0, payload.Bytes(), uint32(r.Seq), uint32(len(r.ServiceMethod))))
	return err
}

func (c *gobCodec) ReadResponseHeader(r *rpc.Response) error {
	head := make([]byte, goridge.HeaderSize+2*goridge.OptionSize)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	h, err := goridge.ParseHeader(head)
	if err != nil {
		return err
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.in, payload); err != nil {
		return err
	}
	f, _, err := goridge.ParseFrame(append(head, payload...))
	if err != nil {
		return err
	}
	r.Seq = uint64(f.Option[0])
	name, rest := f.Payload[:f.Option[1]], f.Payload[f.Option[1]:]
	r.ServiceMethod = string(name)
	if f.Flags&goridge.Error != 0 {
		r.Error = string(rest)
	}
	c.answer = rest
	return nil
}

func (c *gobCodec) ReadResponseBody(reply any) error {
	switch m := reply.(type) {
	case nil:
		return nil
	case proto.Message:
		return proto.Unmarshal(c.answer, m)
	}
	return gob.NewDecoder(bytes.NewReader(c.answer)).Decode(reply)
}

func (c *gobCodec) Close() error { return c.conn.Close() }

// The records of the stock rr. Gob matches fields by these names.
type (
	stockWorker struct {
		Pid         int64
		Status      int64
		NumExecs    uint64
		Created     int64
		MemoryUsage uint64
		CPUPercent  float64
		Command     string
		StatusStr   string
	}
	stockWorkers struct{ Workers []*stockWorker }
	stockJob     struct {
		Pipeline, Driver, Queue   string
		Active, Delayed, Reserved int64
		Ready                     bool
		Priority                  uint64
		ErrorMessage              string
	}
)

const stockConfig = `
version: "3"
server: {command: "php worker.php"}
rpc: {listen: "unix://rpc.sock"}
http: {address: "unix://http.sock", pool: {num_workers: 2}}
service: {sleeper: {command: "sleep 3600"}}
status: {address: "unix://status.sock"}
`

// TestStockClient makes the calls of RoadRunner's own command line: workers,
// reset, and what its other commands ask.
func TestStockClient(t *testing.T) {
	a := newSite(t, stockConfig)
	a.serve()
	conn, err := net.Dial("unix", filepath.Join(a.dir, "rpc.sock"))
	if err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClientWithCodec(&gobCodec{conn: conn, in: bufio.NewReader(conn)})
	defer client.Close()
	call := func(method string, arg, reply any) {
		t.Helper()
		if err := client.Call(method, arg, reply); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}

	for _, method := range []string{"informer.List", "resetter.List"} {
		var plugins []string
		call(method, true, &plugins)
		slices.Sort(plugins)
		if !slices.Equal(plugins, []string{"http", "service"}) {
			t.Errorf("%s: %q", method, plugins)
		}
	}
	workers := func(plugin string) []*stockWorker {
		t.Helper()
		list := new(stockWorkers)
		call("informer.Workers", plugin, list)
		return list.Workers
	}
	before := workers("http")
	if len(before) != 2 {
		t.Fatalf("%d workers", len(before))
	}
	for _, w := range before {
		born := time.Unix(0, w.Created)
		if w.Pid < 2 || w.Status != 1 || w.StatusStr != "ready" || w.MemoryUsage < 1<<20 || time.Since(born) > 10*limit || time.Until(born) > 0 || w.Command != "" {
			t.Errorf("worker: %+v", w)
		}
	}
	if list := workers("service"); len(list) != 1 || !strings.HasSuffix(list[0].Command, "sleep 3600") || list[0].Status != 1 || list[0].StatusStr != "" {
		t.Errorf("service: %+v", list)
	}
	if list := workers("nope"); list != nil {
		t.Errorf("unknown plugin: %v", list)
	}
	var jobs []*stockJob
	call("informer.Jobs", "http", &jobs)

	// As `rr reset`: all plugins at once over one connection.
	var resets sync.WaitGroup
	for _, plugin := range []string{"http", "service"} {
		resets.Go(func() {
			var done bool
			if err := client.Call("resetter.Reset", plugin, &done); err != nil || !done {
				t.Errorf("reset %s: %t, %v", plugin, done, err)
			}
		})
	}
	resets.Wait()
	for _, w := range workers("http") {
		if w.Pid == before[0].Pid || w.Pid == before[1].Pid {
			t.Errorf("worker %d was not replaced", w.Pid)
		}
	}
	var done bool
	var remote rpc.ServerError
	err = client.Call("resetter.Reset", "nope", &done)
	if want := "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope"; !errors.As(err, &remote) || remote.Error() != want || done {
		t.Errorf("unknown plugin: %v", err)
	}
	err = client.Call("nope.Nope", true, &done)
	if !errors.As(err, &remote) || remote.Error() != "rpc: can't find service nope.Nope" {
		t.Errorf("unknown method: %v", err)
	}

	call("informer.AddWorker", "http", &done)
	if n := len(workers("http")); n != 3 {
		t.Errorf("%d workers after one more", n)
	}
	call("informer.RemoveWorker", "http", &done)
	if n := len(workers("http")); n != 2 {
		t.Errorf("%d workers after one less", n)
	}

	var version string
	call("rpc.Version", true, &version)
	if version != RoadRunnerVersion {
		t.Errorf("version %q", version)
	}
	var config []byte
	call("rpc.Config", true, &config)
	if !bytes.Contains(config, []byte("worker.php")) {
		t.Errorf("config: %s", config)
	}
	state := new(statuspb.Response)
	call("status.Status", &statuspb.Request{Plugin: "http"}, state) // gob and protobuf
	if state.GetCode() != 200 {
		t.Errorf("status: %v", state)
	}

	// Many at a time, of which each gets its own answer.
	var calls sync.WaitGroup
	for i := range 64 {
		calls.Go(func() {
			name := fmt.Sprintf("nope%d", i)
			var done bool
			if err := client.Call("resetter.Reset", name, &done); err == nil || !strings.HasSuffix(err.Error(), ": "+name) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	calls.Wait()
}
