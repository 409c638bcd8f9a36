package rpc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/app"
	"github.com/rr-systemd/rrd/services/app/applogger"
	"github.com/rr-systemd/rrd/services/informer"
	"github.com/rr-systemd/rrd/services/resetter"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

const version = "2025.1.15"

// oneWorker is a daemon with one http worker, as in the recordings.
type oneWorker struct{}

func (oneWorker) Plugins() []string                            { return []string{"http"} }
func (oneWorker) Jobs(context.Context, string) []*informer.Job { return nil }
func (oneWorker) Reset(context.Context, string) error          { return nil }
func (oneWorker) Workers(plugin string) []*informer.Worker {
	if plugin != "http" {
		return nil
	}
	return []*informer.Worker{{Pid: 4711, Status: 1, Created: 1700000000000000000, MemoryUsage: 9 << 20, StatusStr: "ready"}}
}
func (oneWorker) AddWorker(context.Context, string) error    { return informer.ErrNotScalable }
func (oneWorker) RemoveWorker(context.Context, string) error { return informer.ErrNotScalable }

func registerAll(s *rpc.Server) {
	rpc.RegisterSelf(s, version, func() ([]byte, error) { return []byte(`{"version":"3"}`), nil })
	informer.Register(s, oneWorker{}, oneWorker{})
	resetter.Register(s, oneWorker{})
	app.Register(s, slog.New(slog.DiscardHandler), io.Discard)
	// The recorded server had a kv service, too.
	rpc.Register(s, "kv.Has", rpc.Anyone, func(context.Context, *bool, *bool) error { return nil })
}

// TestGolden replays what RoadRunner was asked and compares with its answers.
func TestGolden(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix := rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{tcp}}, registerAll)
	table, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		id, compare, want := f[0], f[1], f[3]
		request, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		for _, dsn := range []string{unix, "tcp://" + tcp.Addr().String()} {
			network, address, err := wire.ParseDSN(dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(id+"/"+network, func(t *testing.T) {
				conn, err := net.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := conn.Write(request); err != nil {
					t.Fatal(err)
				}
				compareAnswer(t, conn, compare, want)
			})
		}
	}
}

func compareAnswer(t *testing.T, conn net.Conn, compare, want string) {
	if compare == "closed" {
		// What was not read is answered with a reset on TCP.
		if b, err := io.ReadAll(conn); len(b) > 0 || os.IsTimeout(err) {
			t.Fatalf("got % x, %v, want a closed connection", b, err)
		}
		return
	}
	got, raw := readFrame(t, conn)
	expected, err := hex.DecodeString(want)
	if err != nil { // volatile values: checked by name
		compareVolatile(t, got)
		return
	}
	switch compare {
	case "exact":
		if !bytes.Equal(raw, expected) {
			t.Fatalf("got\n%x, want\n%x\n%q", raw, expected, raw)
		}
	case "error":
		if got.Flags != expected[1] || len(got.Body) == 0 {
			t.Fatalf("flags %#x, text %q, want flags %#x", got.Flags, got.Body, expected[1])
		}
	case "gob", "msgpack":
		w, err := wire.NewReader(bytes.NewReader(expected), 0).Next()
		if err != nil {
			t.Fatal(err)
		}
		if got.Flags != w.Flags || !bytes.Equal(got.Method, w.Method) {
			t.Fatalf("flags %#x method %s, want %#x %s", got.Flags, got.Method, w.Flags, w.Method)
		}
		g, x := decode(t, got), decode(t, w)
		if !reflect.DeepEqual(g, x) {
			t.Fatalf("got %+v, want %+v", g, x)
		}
	default:
		t.Fatalf("unknown comparison %q", compare)
	}
}

// compareVolatile checks results that differ from run to run.
func compareVolatile(t *testing.T, got wire.Frame) {
	if got.Flags&goridge.Error != 0 {
		t.Fatalf("error %q", got.Body)
	}
	switch string(got.Method) {
	case "rpc.Version":
		if v := *decode(t, got).(*string); v != version {
			t.Fatalf("version %q", v)
		}
	case "informer.Workers":
		var m map[string][]map[string]any
		if err := wire.Decode(wire.Msgpack, got.Body, &m); err != nil {
			t.Fatal(err)
		}
		if len(m["Workers"]) != 1 {
			t.Fatalf("got %v, want one worker under Workers", m)
		}
		w := m["Workers"][0]
		for _, key := range []string{"Pid", "Status", "NumExecs", "Created", "MemoryUsage", "CPUPercent", "Command", "StatusStr"} {
			if _, ok := w[key]; !ok {
				t.Errorf("no key %s in %v", key, w)
			}
		}
	default:
		t.Fatalf("no rule for %s", got.Method)
	}
}

func decode(t *testing.T, f wire.Frame) any {
	t.Helper()
	results := map[string]any{
		"informer.List":        new([]string),
		"informer.Workers":     new(informer.WorkerList),
		"informer.Jobs":        new([]*informer.Job),
		"resetter.List":        new([]string),
		"rpc.Version":          new(string),
		"app.Info":             new(bool),
		"app.ErrorWithContext": new(applogger.Response),
	}
	v := results[string(f.Method)]
	if err := wire.Decode(wire.AnswerCodec(f.Flags), f.Body, v); err != nil {
		t.Fatalf("cannot decode %q: %v", f.Body, err)
	}
	return v
}

// readFrame reads one frame and returns its bytes, too.
func readFrame(t *testing.T, r io.Reader) (wire.Frame, []byte) {
	t.Helper()
	var raw bytes.Buffer
	f, err := wire.NewReader(io.TeeReader(r, &raw), 0).Next()
	if err != nil {
		t.Fatalf("cannot read the answer: %v", err)
	}
	return f, raw.Bytes()
}
