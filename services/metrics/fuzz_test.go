package metrics_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/rr-systemd/rrd/ipc/goridge"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/metrics"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// FuzzMethods calls a method with any bytes. The page must stay readable and
// the state complete.
func FuzzMethods(f *testing.F) {
	for _, arg := range []string{
		`{"name":"c","value":1}`, `{"name":"c","value":-1e400}`, `{"name":"hl","value":1e308,"labels":["a"]}`, `{"name":"hl","labels":["\ud800",null]}`,
		`{"name":"x","collector":{"type":"histogram","buckets":[1,2,3],"labels":["a","a"]}}`, `{"name":"a b","collector":{"type":"counter","namespace":" "}}`,
		`{"name":"c_count","collector":{"type":"summary","help":"\u0000"}}`, `"c"`, `null`, `[`, `{"name":"x","collector":{"type":"gauge","labels":["le","__name__"]}}`,
	} {
		for method := range byte(6) {
			f.Add(method, goridge.CodecJSON, []byte(arg))
		}
	}
	f.Add(byte(0), goridge.CodecMsgpack, []byte("\x83\xa4Name\xa1c\xa5Value\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa6Labels\xc0"))
	f.Fuzz(func(t *testing.T, method, codec byte, arg []byte) {
		registry := prometheus.NewRegistry()
		c := metrics.Config{Collect: map[string]*metrics.Declaration{
			"c": {Collector: metrics.Collector{Type: "counter"}}, "hl": {Collector: metrics.Collector{Type: "histogram", Labels: []string{"a"}}},
		}}
		s, err := metrics.New(c, registry, quiet)
		if err != nil {
			t.Fatal(err)
		}
		name := "metrics." + []string{"Add", "Sub", "Set", "Observe", "Declare", "Unregister"}[method%6]
		call(t, rpctest.Serve(t, rpc.Options{}, s.Register), name, codec, arg)
		families, err := registry.Gather()
		if err != nil {
			t.Logf("%v", err) // a suffix that collides; the page has the others
		}
		var page bytes.Buffer
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(&page, family); err != nil {
				t.Errorf("%v", err)
			}
		}
		var state bytes.Buffer
		if err := s.Save(&state); err != nil {
			t.Fatal(err)
		}
		again, err := metrics.New(metrics.Config{}, prometheus.NewRegistry(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Restore(&state); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// call sends one frame and reads its answer, if there is one.
func call(t *testing.T, dsn, method string, flags byte, arg []byte) {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(dsn, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frame := append(wire.AppendCall(nil, method), arg...)
	if err := wire.Seal(frame, flags, 1, len(method)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	if answer, err := wire.NewReader(conn, 0).Next(); err == nil {
		answer.Release()
	}
}
