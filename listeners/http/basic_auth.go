package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// BasicAuth is the section http.basic_auth, an extension to RoadRunner.
type BasicAuth struct {
	// File has lines NAME:BCRYPT, as `htpasswd -B` writes them. A change is
	// noticed by itself.
	File string `cfg:"file"`
	// Realm is what browsers show. Default "Restricted".
	Realm string `cfg:"realm"`
	// Paths that need a password, with all that is below them. Empty means all.
	Paths []string `cfg:"paths"`
}

func (c *BasicAuth) validate() error {
	if strings.ContainsAny(c.Realm, "\"\\\r\n") {
		return fmt.Errorf("http.basic_auth.realm: %q cannot be sent: leave out quotes, backslashes and line breaks", c.Realm)
	}
	for _, p := range c.Paths {
		if !strings.HasPrefix(p, "/") {
			return fmt.Errorf("http.basic_auth.paths: %q is no path: begin it with /", p)
		}
	}
	return nil
}

// basicAuth asks for a name and a password (RFC 7617).
type basicAuth struct {
	file      string
	challenge []string
	paths     []string
	log       *slog.Logger

	mu     sync.Mutex
	users  map[string][]byte // bcrypt hashes
	state  fileState         // of the file that users comes from
	key    [32]byte          // of the digests
	proven map[[32]byte]bool // digests of names and passwords that were right

	checks chan struct{} // bounds how many processors bcrypt takes
}

// fileState tells whether a file was changed.
type fileState struct {
	modified time.Time
	size     int64
}

// maxProven bounds the remembered passwords. bcrypt is slow on purpose, and a
// browser sends its password with every request.
const maxProven = 1000

func newBasicAuth(c Config, env Environment) (Middleware, error) {
	if c.BasicAuth.File == "" {
		return nil, errors.New("http.basic_auth.file: the middleware basic_auth needs a file with names and passwords: make one with htpasswd -B -c FILE NAME")
	}
	realm := c.BasicAuth.Realm
	if realm == "" {
		realm = "Restricted"
	}
	a := &basicAuth{
		file: c.BasicAuth.File, challenge: []string{`Basic realm="` + realm + `", charset="UTF-8"`}, log: env.Log,
		checks: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	for _, p := range c.BasicAuth.Paths {
		a.paths = append(a.paths, path.Clean(p))
	}
	_, _ = rand.Read(a.key[:]) // never fails
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("http.basic_auth.file: %w", err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !a.covers(r.URL.Path) || a.allows(r) {
				next.ServeHTTP(w, r)
				return
			}
			w.Header()["Www-Authenticate"] = a.challenge
			http.Error(w, "a name and a password are needed", http.StatusUnauthorized)
		})
	}, nil
}

// covers tells whether a path needs a password.
func (a *basicAuth) covers(p string) bool {
	if len(a.paths) == 0 {
		return true
	}
	p = path.Clean("/" + p)
	for _, prefix := range a.paths {
		if p == prefix || prefix == "/" || strings.HasPrefix(p, prefix) && p[len(prefix)] == '/' {
			return true
		}
	}
	return false
}

func (a *basicAuth) allows(r *http.Request) bool {
	name, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	hash, known := a.hash(name)
	mac := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(mac, "%d:%s:%s:%s", len(name), name, hash, password)
	digest := [32]byte(mac.Sum(nil))
	a.mu.Lock()
	proven := a.proven[digest]
	a.mu.Unlock()
	if proven {
		return true
	}
	if !a.compare(r.Context(), hash, password) || !known {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.proven) >= maxProven {
		clear(a.proven)
	}
	a.proven[digest] = true
	return true
}

// nobody is compared with when the name is unknown, so that it takes as long as
// for one that is known.
var nobody = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost)
	if err != nil {
		panic(err) // the password is a constant
	}
	return hash
})

// compare runs bcrypt, on no more than half of the processors: guesses must not
// keep the others from being served.
func (a *basicAuth) compare(ctx context.Context, hash []byte, password string) bool {
	select {
	case a.checks <- struct{}{}:
		defer func() { <-a.checks }()
	case <-ctx.Done():
		return false
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
}

// hash returns the hash of a user, or some hash.
func (a *basicAuth) hash(name string) (hash []byte, known bool) {
	if err := a.load(); err != nil {
		a.log.Error("the file of passwords cannot be read, the former ones hold on", logkey.Key, "http.basic_auth.file", logkey.Error, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if hash, known = a.users[name]; known {
		return hash, true
	}
	for _, other := range a.users {
		return other, false // of the same cost, most likely
	}
	return nobody(), false
}

// load reads the file if it was changed.
func (a *basicAuth) load() error {
	info, err := os.Stat(a.file)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := fileState{info.ModTime(), info.Size()}
	if a.users != nil && a.state == now {
		return nil
	}
	a.state = now // a broken file is reported once
	text, err := os.ReadFile(a.file)
	if err != nil {
		return err
	}
	users, err := parseHtpasswd(text)
	if err != nil {
		return fmt.Errorf("%s: %w", a.file, err)
	}
	a.users, a.proven = users, make(map[[32]byte]bool)
	return nil
}

// parseHtpasswd reads lines NAME:HASH. Blank ones and those that begin with "#"
// are left out.
func parseHtpasswd(text []byte) (map[string][]byte, error) {
	users := make(map[string][]byte)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d is not NAME:HASH", n)
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("line %d: the password of %q is not hashed with bcrypt: set it with htpasswd -B", n, name)
		}
		users[name] = []byte(hash)
	}
	return users, lines.Err()
}
