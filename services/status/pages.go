package status

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// pages answers GET /health, /ready, /jobs and /state, and every other method
// too, as RoadRunner does.
type pages struct {
	Config
	source Source
}

// Pages makes the handler. The config is valid.
func Pages(c Config, source Source) http.Handler {
	p := &pages{c, source}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", p.health)
	mux.HandleFunc("/ready", p.ready)
	mux.HandleFunc("/jobs", p.jobs)
	mux.HandleFunc("/state", p.state)
	return mux
}

// health tells whether the process should live: also while it starts or stops.
func (p *pages) health(w http.ResponseWriter, r *http.Request) {
	switch p.source.State().Name {
	case "starting":
		http.Error(w, "service is starting", http.StatusOK)
	case "draining", "stopped":
		http.Error(w, "service is shutting down", http.StatusOK)
	default:
		p.report(w, r, alive)
	}
}

// ready tells whether requests should be sent here. While the daemon drains the
// answer is no, from before the first listener closes.
func (p *pages) ready(w http.ResponseWriter, r *http.Request) {
	switch p.source.State().Name {
	case "starting":
		http.Error(w, "service is starting", http.StatusServiceUnavailable)
	case "draining", "stopped":
		http.Error(w, "service is shutting down", http.StatusServiceUnavailable)
	default:
		p.report(w, r, ready)
	}
}

// entry is RoadRunner's record of a plugin.
type entry struct {
	Plugin string `json:"plugin_name"`
	Error  string `json:"error_message"`
	Code   int    `json:"status_code"`
}

// report lists the plugins that ?plugin= names, or all. One that does not exist
// is left out.
func (p *pages) report(w http.ResponseWriter, r *http.Request, well func(Plugin) bool) {
	named := r.URL.Query()["plugin"]
	list, code := []entry{}, http.StatusOK
	for _, plugin := range p.source.Plugins() {
		if len(named) > 0 && !slices.Contains(named, plugin.Name) {
			continue
		}
		e := entry{Plugin: plugin.Name, Code: http.StatusOK}
		if !well(plugin) {
			e.Error, e.Code, code = "internal server error, see logs", p.Unavailable, p.Unavailable
		}
		list = append(list, e)
	}
	answer(w, code, list)
}

func (p *pages) jobs(w http.ResponseWriter, r *http.Request) {
	switch p.source.State().Name {
	case "draining", "stopped":
		http.Error(w, "service is shutting down", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(p.Timeout))
	defer cancel()
	list, ok := p.source.Jobs(ctx)
	if !ok {
		http.Error(w, "jobs plugin not found", p.Unavailable)
		return
	}
	if list == nil {
		list = []Job{}
	}
	answer(w, http.StatusOK, list)
}

// state is the one honest answer: what the daemon does, and why it is degraded.
// Requests are served in every state that is answered with 200.
func (p *pages) state(w http.ResponseWriter, _ *http.Request) {
	s := p.source.State()
	code := http.StatusOK
	switch s.Name {
	case "starting", "draining", "stopped":
		code = p.Unavailable
	}
	answer(w, code, s)
}

// answer leaves the type to net/http, which says text/plain, as in RoadRunner.
func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
