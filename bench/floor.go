package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// serveFloor answers as the PHP application does, without PHP: what Go's net/http
// costs alone, below which no server that stands on it can come.
func serveFloor(ctx context.Context, address string) error {
	big := strings.Repeat("0123456789abcdef", 10<<16)
	text := []string{"text/plain"}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = text
		_, _ = io.WriteString(w, hello)
	})
	mux.HandleFunc("/browser", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Vary", "Accept-Language, Cookie")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Language", r.Header.Get("Accept-Language")[:2])
		user, _ := r.Cookie("user")
		theme, _ := r.Cookie("theme")
		_, _ = io.WriteString(w, "<p>Hello, "+user.Value+", your theme is "+theme.Value+"</p>")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) })
	srv := http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
