package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is one contender: processes that together answer url.
type server struct {
	name     string
	url      string
	files    map[string]string // written before the start
	commands [][]string
	running  []*exec.Cmd
	results  []measurement
}

func (s *server) start(ctx context.Context) error {
	for name, text := range s.files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, argv := range s.commands {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		s.running = append(s.running, cmd)
	}
	return s.await(ctx)
}

// await polls until the server answers as all of them must.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		body, err := get(ctx, s.url)
		if err == nil && body == "Hello, World!" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %q, %w", s.url, body, err)
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func (s *server) stop() {
	for _, cmd := range s.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

func rrdServer(name, binary, dir, worker string, workers int) *server {
	config := filepath.Join(dir, "rr.yaml")
	return &server{
		name: name,
		url:  "http://127.0.0.1:18081/",
		files: map[string]string{config: fmt.Sprintf(`version: "3"
server: {command: "php %s"}
logs: {mode: production, level: error}
http: {address: "127.0.0.1:18081", pool: {num_workers: %d}}
`, worker, workers)},
		commands: [][]string{{binary, "--config", config}},
	}
}

// fpmServer is nginx with one process and php-fpm with a fixed number of
// children. fastcgi_keep_conn stays off: with few children kept connections
// starve all clients but as many as there are children.
func fpmServer(name, dir, docroot string, workers int) *server {
	nginx, fpm := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "fpm.conf")
	return &server{
		name: name,
		url:  "http://127.0.0.1:18082/",
		files: map[string]string{
			nginx: fmt.Sprintf(`worker_processes 1;
daemon off;
user root;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s;
	fastcgi_temp_path %[1]s;
	proxy_temp_path %[1]s;
	uwsgi_temp_path %[1]s;
	scgi_temp_path %[1]s;
	server {
		listen 127.0.0.1:18082;
		location / {
			include /etc/nginx/fastcgi_params;
			fastcgi_param SCRIPT_FILENAME %[2]s/fpm.php;
			fastcgi_pass unix:%[1]s/fpm.sock;
		}
	}
}
`, dir, docroot),
			fpm: fmt.Sprintf(`[global]
error_log = /dev/stderr
log_level = error
daemonize = no
[www]
user = root
listen = %[1]s/fpm.sock
listen.backlog = 4096
pm = static
pm.max_children = %[2]d
`, dir, workers),
		},
		commands: [][]string{
			{fpmBinary(), "-R", "-y", fpm, "-d", "opcache.enable=1"},
			{"/usr/sbin/nginx", "-c", nginx},
		},
	}
}

// fpmBinary finds php-fpm, whose name carries the version in Debian.
func fpmBinary() string {
	found, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(found) == 0 {
		return "php-fpm"
	}
	return found[len(found)-1]
}

var errNoRequests = errors.New("wrk counted no requests")
