package daemon

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/services/kv/kvv1"
	"github.com/rr-systemd/rrd/services/tracing/tracingtest"
)

// A trace goes from the client through the daemon into PHP; what is not exported
// yet goes out with the stop.
func TestTrace(t *testing.T) {
	r := tracingtest.GRPC(t)
	a := newSite(t, strings.Replace(plain, "  pool:", "  middleware: [otel]\n  pool:", 1)+
		"otel: {client: grpc, endpoint: '"+r.Address+"', insecure: true, resource: {service_name: shop}}\nkv: {cache: {driver: memory, config: {}}}\n")
	a.change("worker.php", "case '/dir':", "case '/trace':\n            return Response::text((string) $request->header('traceparent'));\n        case '/dir':")
	a.serve()
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://app/trace", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	res, err := a.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	php, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	a.kv("Has", "cache", &kvv1.Item{Key: "a"})
	a.stop()

	for _, name := range []string{"/trace", "http", "pool:wait", "worker:exec"} {
		if s := r.Span(name); s == nil || fmt.Sprintf("%x", s.TraceId) != id {
			t.Fatalf("%s: %v", name, s)
		}
	}
	if want := fmt.Sprintf("00-%s-%x-01", id, r.Span("http").SpanId); string(php) != want {
		t.Errorf("PHP got %q, want %q", php, want)
	}
	if string(r.Span("worker:exec").ParentSpanId) != string(r.Span("http").SpanId) {
		t.Error("worker:exec is not below http")
	}
	if r.Span("kv:has") == nil {
		t.Error("no span of kv")
	}
}

// A collector that takes connections and never answers holds the stop no longer than
// lastSpans: the exporter's own limit of 10 s would not say that spans are lost.
func TestCollectorThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts; the kernel does
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, client := range []string{"http", "grpc"} {
		a := newSite(t, kvOnly+"otel: {client: "+client+", endpoint: '"+l.Addr().String()+"', insecure: true}\n")
		a.serve()
		a.kv("Has", "cache", &kvv1.Item{Key: "a"})
		a.stop()
		if !a.output.has("the last spans are lost") {
			t.Errorf("%s: the log does not say so", client)
		}
	}
}

// A start that fails has no spans to lose.
func TestNoSpansAreLost(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	a := newSite(t, "version: \"3\"\notel: {exporter: stderr}\nmetrics: {address: '"+busy.Addr().String()+"'}\nrpc: {listen: 'unix://rpc.sock'}\n")
	a.start()
	if code := a.wait(); code != 1 || a.output.has("are lost") || !a.output.has("in use") {
		t.Errorf("exit status %d", code)
	}
}

func TestOtelAlone(t *testing.T) {
	a := newSite(t, "version: \"3\"\notel: {exporter: jaeger}\n")
	a.start()
	if code := a.wait(); code != 1 || !a.output.has("otel.exporter: ") || !a.output.has("use otlp") {
		t.Errorf("exit status %d", code)
	}
}
