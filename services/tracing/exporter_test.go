package tracing

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// export ends one span with the exporter of c.
func export(t *testing.T, c Config) {
	t.Helper()
	c.Resource.Name = "shop"
	p := open(t, c, slog.New(slog.DiscardHandler))
	_, span := p.Tracer("test").Start(t.Context(), "work")
	span.End()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A span is a line of JSON on the daemon's own output.
func TestStandardStreams(t *testing.T) {
	for exporter, stream := range map[string]**os.File{Stdout: &os.Stdout, Stderr: &os.Stderr} {
		t.Run(exporter, func(t *testing.T) {
			file, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			before := *stream
			*stream = file
			defer func() { *stream = before }()
			export(t, Config{Exporter: exporter})
			text, err := os.ReadFile(file.Name())
			var span struct {
				Name     string
				Resource []struct {
					Key   string
					Value struct{ Value any }
				}
			}
			if err != nil || json.Unmarshal(text, &span) != nil || span.Name != "work" {
				t.Errorf("%v: %s", err, text)
			}
			found := false
			for _, a := range span.Resource {
				found = found || a.Key == "service.name" && a.Value.Value == "shop"
			}
			if !found {
				t.Errorf("no service.name in %s", text)
			}
		})
	}
}

// Zipkin gets its own format of spans, with the headers that are configured.
func TestZipkin(t *testing.T) {
	got := make(chan []byte, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.URL.Path != "/api/v2/spans" || r.Header.Get("Api-Key") != "geheim" {
			t.Errorf("%s %s, %v, %v", r.Method, r.URL, r.Header, err)
		}
		w.WriteHeader(http.StatusAccepted)
		got <- body
	}))
	defer s.Close()
	export(t, Config{Exporter: Zipkin, Endpoint: s.URL + "/api/v2/spans", Headers: map[string]string{"api-key": "geheim"}})
	text := <-got
	var spans []struct {
		Name          string
		TraceID, ID   string
		LocalEndpoint struct{ ServiceName string }
	}
	if err := json.Unmarshal(text, &spans); err != nil || len(spans) != 1 || spans[0].Name != "work" || spans[0].LocalEndpoint.ServiceName != "shop" || len(spans[0].TraceID) != 32 {
		t.Errorf("%v: %s", err, text)
	}
}
