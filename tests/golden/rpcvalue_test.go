package golden_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/encoding/protowire"
)

// rpcAnswer is one answer of the RPC server.
type rpcAnswer struct {
	Closed bool // the connection was closed instead
	Frame  *frame
	Seq    uint32
	Method string
	Result []byte
}

// parseAnswer splits an answer: options are the sequence number and the length
// of the method's name, which precedes the result.
func parseAnswer(f *frame) (*rpcAnswer, error) {
	if len(f.Options) != 2 || int(f.Options[1]) > len(f.Payload) {
		return nil, fmt.Errorf("an answer with options %v and %d bytes", f.Options, len(f.Payload))
	}
	return &rpcAnswer{
		Frame: f, Seq: f.Options[0],
		Method: string(f.Payload[:f.Options[1]]), Result: f.Payload[f.Options[1]:],
	}, nil
}

// value gives the answer in the form of the recordings.
func (a *rpcAnswer) value() (map[string]any, error) {
	if a.Closed {
		return map[string]any{"closed": true}, nil
	}
	out := map[string]any{
		"flags": number(a.Frame.Flags), "seq": number(a.Seq), "method": a.Method, "crc_ok": a.Frame.CRC,
	}
	if a.Frame.Flags&flagError != 0 {
		out["error"] = string(a.Result)
		return out, nil
	}
	var err error
	switch a.Frame.Flags {
	case flagProto:
		out["proto"], err = decodeMessage(resultMessages[a.Method], a.Result)
	case flagJSON:
		var v any
		err = decodeJSON(a.Result, &v)
		out["json"] = v
	case flagGob:
		out["gob"], err = decodeGob(a.Method, a.Result)
	case flagMsgpack:
		var v any
		if err = msgpack.Unmarshal(a.Result, &v); err == nil {
			out["msgpack"], err = viaJSON(v)
		}
	case flagRaw:
		out["raw"] = string(a.Result)
	default:
		err = fmt.Errorf("flags 0x%02x name no single codec", a.Frame.Flags)
	}
	if err != nil {
		return nil, fmt.Errorf("result %q of %s: %w", a.Result, a.Method, err)
	}
	return out, nil
}

func number[T ~uint8 | ~uint32 | ~int | ~int64 | ~uint64](n T) json.Number {
	return json.Number(fmt.Sprint(n))
}

// viaJSON brings a Go value into the form that decodeJSON gives.
func viaJSON(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, decodeJSON(b, &out)
}

// gobWorker and gobJobs have the fields of the Go structs on the wire; gob
// leaves zero values out, and so do the recordings.
type gobWorker struct {
	Pid         int64   `json:",omitempty"`
	Status      int64   `json:",omitempty"`
	NumExecs    uint64  `json:",omitempty"`
	Created     int64   `json:",omitempty"`
	MemoryUsage uint64  `json:",omitempty"`
	CPUPercent  float64 `json:",omitempty"`
	Command     string  `json:",omitempty"`
	StatusStr   string  `json:",omitempty"`
}

type gobJobs struct {
	Pipeline     string `json:",omitempty"`
	Driver       string `json:",omitempty"`
	Queue        string `json:",omitempty"`
	Active       int64  `json:",omitempty"`
	Delayed      int64  `json:",omitempty"`
	Reserved     int64  `json:",omitempty"`
	Ready        bool   `json:",omitempty"`
	Priority     uint64 `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func decodeGob(method string, raw []byte) (any, error) {
	into := func(v any) (any, error) {
		r := bytes.NewReader(raw)
		if err := gob.NewDecoder(r).Decode(v); err != nil {
			return nil, err
		}
		if r.Len() > 0 {
			return nil, fmt.Errorf("%d bytes follow the gob value", r.Len())
		}
		return viaJSON(v)
	}
	switch method {
	case "informer.List", "resetter.List":
		return into(&[]string{})
	case "informer.Workers":
		return into(&struct {
			Workers []*gobWorker `json:",omitempty"`
		}{})
	case "informer.Jobs":
		return into(&[]*gobJobs{})
	case "rpc.Version":
		return into(new(string))
	}
	return into(new(bool))
}

// message is a protobuf message: field number to its name and kind.
type message map[protowire.Number]field

type field struct {
	name string
	kind string // int, bool, float, string, message
	list bool
	of   message
}

var (
	empty     = message{}
	okMessage = message{1: {name: "message", kind: "string"}, 2: {name: "ok", kind: "bool"}}
	lockOK    = message{1: {name: "ok", kind: "bool"}}
	health    = message{1: {name: "code", kind: "int"}, 2: {name: "message", kind: "string"}}
	kvAnswer  = message{1: {name: "items", kind: "message", list: true, of: message{
		1: {name: "key", kind: "string"}, 2: {name: "value", kind: "string"}, 3: {name: "timeout", kind: "string"},
	}}}
	pipelines = message{1: {name: "pipelines", kind: "string", list: true}}
	process   = message{
		1: {name: "cpu_percent", kind: "float"}, 2: {name: "pid", kind: "int"},
		3: {name: "memory_usage", kind: "int"}, 4: {name: "command", kind: "string"},
		5: {name: "status", kind: "message", of: message{
			1: {name: "code", kind: "int"}, 2: {name: "message", kind: "string"},
			3: {name: "details", kind: "string", list: true},
		}},
	}
)

// resultMessages are the result types of the methods with protobuf results.
var resultMessages = map[string]message{
	"kv.Has": kvAnswer, "kv.Set": kvAnswer, "kv.MGet": kvAnswer, "kv.MExpire": kvAnswer,
	"kv.TTL": kvAnswer, "kv.Delete": kvAnswer, "kv.Clear": kvAnswer,
	"lock.Lock": lockOK, "lock.LockRead": lockOK, "lock.Release": lockOK,
	"lock.ForceRelease": lockOK, "lock.Exists": lockOK, "lock.UpdateTTL": lockOK,
	"service.Create": okMessage, "service.Terminate": okMessage, "service.Restart": okMessage,
	"service.List":     {1: {name: "services", kind: "string", list: true}},
	"service.Status":   process,
	"service.Statuses": {1: {name: "status", kind: "message", list: true, of: process}},
	"status.Status":    health, "status.Ready": health,
	"app.ErrorWithContext": empty, "app.WarningWithContext": empty, "app.InfoWithContext": empty,
	"app.DebugWithContext": empty, "app.LogWithContext": empty,
	"jobs.Push": empty, "jobs.PushBatch": empty, "jobs.Pause": empty, "jobs.Resume": empty, "jobs.Declare": empty,
	"jobs.List": pipelines, "jobs.Destroy": pipelines,
	"jobs.Stat": {1: {name: "stats", kind: "message", list: true, of: message{
		1: {name: "pipeline", kind: "string"}, 2: {name: "driver", kind: "string"}, 3: {name: "queue", kind: "string"},
		4: {name: "active", kind: "int"}, 5: {name: "delayed", kind: "int"}, 6: {name: "reserved", kind: "int"},
		7: {name: "ready", kind: "bool"}, 8: {name: "priority", kind: "int"},
	}}},
}

// decodeMessage names the fields of a message. Absent fields stay absent, but
// for lists of messages of kv and details, which the recordings always show.
func decodeMessage(m message, raw []byte) (map[string]any, error) {
	if m == nil {
		return nil, fmt.Errorf("no message type is known")
	}
	out := map[string]any{}
	for _, f := range m {
		if f.list && (f.name == "items" || f.name == "details") {
			out[f.name] = []any{}
		}
	}
	return out, eachField(raw, func(n protowire.Number, v any) error {
		f, ok := m[n]
		if !ok {
			return fmt.Errorf("unknown field %d", n)
		}
		b, isBytes := v.([]byte)
		x, _ := v.(uint64)
		var value any
		switch {
		case f.kind == "string" && isBytes:
			value = string(b)
		case f.kind == "message" && isBytes:
			sub, err := decodeMessage(f.of, b)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			value = sub
		case f.kind == "int" && !isBytes:
			value = number(int64(x))
		case f.kind == "bool" && !isBytes:
			value = x == 1
		case f.kind == "float" && !isBytes:
			value = json.Number(strings.TrimSpace(fmt.Sprint(math.Float32frombits(uint32(x)))))
		default:
			return fmt.Errorf("field %s has the wrong wire type", f.name)
		}
		if f.list {
			list, _ := out[f.name].([]any)
			value = append(list, value)
		}
		out[f.name] = value
		return nil
	})
}
