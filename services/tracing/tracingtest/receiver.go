// Package tracingtest is a small receiver of OTLP for tests.
package tracingtest

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what clients send
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Receiver keeps the spans that it gets.
type Receiver struct {
	coltrace.UnimplementedTraceServiceServer
	Address string // host:port

	mu     sync.Mutex
	spans  []*tracev1.Span
	names  []string // values of service.name
	keys   []string // values of the field api-key
	gzip   bool
	refuse bool
}

// HTTP serves at path until the test ends.
func HTTP(t testing.TB, path string) *Receiver {
	r := new(Receiver)
	mux := http.NewServeMux()
	mux.Handle("POST "+path, r)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	r.Address = s.Listener.Addr().String()
	return r
}

// GRPC serves until the test ends.
func GRPC(t testing.TB) *Receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{Address: l.Addr().String()}
	s := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(s, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return r
}

// Export implements the service of OTLP over gRPC.
func (r *Receiver) Export(ctx context.Context, in *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r.add(in, md.Get("api-key"), false)
	return new(coltrace.ExportTraceServiceResponse), nil
}

// ServeHTTP is OTLP over HTTP.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	refuse := r.refuse
	r.mu.Unlock()
	if refuse {
		http.Error(w, "refused", http.StatusBadRequest)
		return
	}
	var body io.Reader = req.Body
	zipped := req.Header.Get("Content-Encoding") == "gzip"
	if zipped {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	in := new(coltrace.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(b, in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.add(in, req.Header.Values("Api-Key"), zipped)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) add(in *coltrace.ExportTraceServiceRequest, keys []string, zipped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.gzip = append(r.keys, keys...), r.gzip || zipped
	for _, res := range in.ResourceSpans {
		for _, a := range res.Resource.Attributes {
			if a.Key == "service.name" {
				r.names = append(r.names, a.Value.GetStringValue())
			}
		}
		for _, scope := range res.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
}

// Refuse answers with an error from now on, or not any more.
func (r *Receiver) Refuse(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = on
}

// Span of a name, nil if there is none yet.
func (r *Receiver) Span(name string) *tracev1.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Seen returns the services that sent, the fields api-key, and whether anything
// was compressed.
func (r *Receiver) Seen() (services, keys []string, zipped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names, r.keys, r.gzip
}
