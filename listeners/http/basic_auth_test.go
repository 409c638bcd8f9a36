package http

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func hashed(t testing.TB, name, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(h) + "\n"
}

func credentials(text string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func TestBasicAuth(t *testing.T) {
	dir := tempFiles(t, map[string]string{"users": "# people\n\n" + hashed(t, "max", "geheim:1") + hashed(t, "eva", "pässword")})
	file := dir + "/users"
	c := Config{Middleware: []string{"basic_auth"}, MiddlewareConfig: MiddlewareConfig{BasicAuth: BasicAuth{File: file, Realm: "Back office", Paths: []string{"/admin/", "/x"}}}}
	s, log := serveWith(t, c, answering(msg(okContext, "php")))
	for _, tt := range []struct {
		path, header string
		status       int
	}{
		{"/", "", 200},
		{"/administrator", "", 200},
		{"/admin", "", 401},
		{"/admin/", "", 401},
		{"/admin/a/b", "", 401},
		{"//admin", "", 401},
		{"/./admin", "", 401},
		{"/a/../admin", "", 401},
		{"/%61dmin", "", 401},
		{"/admin%2fa", "", 401},
		{"/x/y", "", 401},
		{"/admin", credentials("max:geheim:1"), 200},
		{"/admin", credentials("max:geheim:1"), 200}, // remembered
		{"/admin", credentials("eva:pässword"), 200},
		{"/admin", credentials("max:wrong"), 401},
		{"/admin", credentials("eva:geheim:1"), 401},
		{"/admin", credentials("nobody:geheim:1"), 401},
		{"/admin", credentials("nobody:nobody"), 401},
		{"/admin", credentials(":"), 401},
		{"/admin", credentials("max"), 401},
		{"/admin", "Authorization: Bearer x", 401},
		{"/admin", "Authorization: Basic !!!", 401},
	} {
		res := s.get(t, tt.path, "X: 1\r\n"+tt.header+"\r\nY: 1")
		if tt.header == "" {
			res = s.get(t, tt.path)
		}
		if res.StatusCode != tt.status {
			t.Errorf("%s %s: %d", tt.path, tt.header, res.StatusCode)
		}
		if challenge := res.Header.Get("WWW-Authenticate"); (challenge == `Basic realm="Back office", charset="UTF-8"`) != (tt.status == 401) {
			t.Errorf("%s %s: %q", tt.path, tt.header, challenge)
		}
	}

	// The file is followed; a broken one changes nothing.
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hashed(t, "max", "new one"))
	if res := s.get(t, "/admin", credentials("max:geheim:1")); res.StatusCode != 401 {
		t.Errorf("the old password: %d", res.StatusCode)
	}
	write("max:plain text password\n")
	if res := s.get(t, "/admin", credentials("max:new one")); res.StatusCode != 200 {
		t.Errorf("the new password: %d", res.StatusCode)
	}
	if log.count("http.basic_auth.file") != 1 {
		t.Errorf("a broken file is reported %d times", log.count("http.basic_auth.file"))
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if res := s.get(t, "/admin", credentials("max:new one")); res.StatusCode != 200 {
		t.Errorf("without the file: %d", res.StatusCode)
	}
}

// The hashes of Apache's tool and of PHP are understood.
func TestHtpasswd(t *testing.T) {
	out, err := exec.Command("php", "-n", "-r", `echo "max:", password_hash("s", PASSWORD_BCRYPT, ["cost" => 4]), "\n";`).Output()
	if err != nil {
		t.Fatal(err)
	}
	users, err := parseHtpasswd(out)
	if err != nil {
		t.Fatal(err)
	}
	a := basicAuth{checks: make(chan struct{}, 1)}
	if !a.compare(context.Background(), users["max"], "s") || a.compare(context.Background(), users["max"], "t") {
		t.Error("the hash is not understood")
	}
	for _, text := range []string{"max", ":x", "max:{SHA}abc", "max:", "max:$2y$10$short"} {
		if _, err := parseHtpasswd([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func FuzzHtpasswd(f *testing.F) {
	f.Add([]byte("max:$2y$04$0123456789012345678901uuMgbzvXDvMwKLJmHDyhvQBGqzKAWFSq\n# x\n\n"))
	f.Add([]byte("a:b:c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		users, err := parseHtpasswd(text)
		if err != nil {
			return
		}
		for name, hash := range users {
			if _, err := bcrypt.Cost(hash); err != nil || name == "" {
				t.Errorf("%q: %q", name, hash)
			}
		}
	})
}
