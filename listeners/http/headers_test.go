package http

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool"
)

func TestHeaders(t *testing.T) {
	var rec recorder
	c := Config{Middleware: []string{"headers"}, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{
		Request: map[string]string{"x-added": "1", "Accept": "b/b"}, Response: map[string]string{"X-Out": "conf"},
	}}}
	s, _ := serveWith(t, c, execFunc(func(ctx context.Context, p *ipc.Payload) (ipc.Stream, error) {
		_, _ = rec.exec()(ctx, p)
		return answering(msg(`{"status":200,"headers":{"X-Out":["php"]}}`, "ok"))(ctx, p)
	}))
	for range 3 { // the values are shared: nothing of one request may stay for the next
		res := s.get(t, "/", "Accept: a/a")
		if !reflect.DeepEqual(res.Header["X-Out"], []string{"conf", "php"}) {
			t.Errorf("%v", res.Header)
		}
		context := string(rec.last(t).Context)
		if !strings.Contains(context, `"X-Added":["1"]`) || !strings.Contains(context, `"Accept":["a/a","b/b"]`) {
			t.Errorf("%s", context)
		}
	}
}

func TestCORS(t *testing.T) {
	list := CORS{AllowedOrigin: "http://a.test , https://*.b.test", AllowedHeaders: "X-One, Content-Type", AllowedMethods: "GET, PUT",
		ExposedHeaders: "X-E1, x-e2", AllowCredentials: true, MaxAge: 600}
	preflight := []string{"Access-Control-Request-Method: PUT"}
	for _, tt := range []struct {
		name, origin string
		cors         CORS
		allowed      string
	}{
		{"listed", "http://a.test", list, "http://a.test"},
		{"wildcard", "https://x.b.test", list, "https://x.b.test"},
		{"another scheme", "http://x.b.test", list, ""},
		{"another host", "http://evil.test", list, ""},
		{"a host that begins like it", "http://a.test.evil.test", list, ""},
		{"regex", "https://x.test", CORS{AllowedOriginRegex: `^https://[xy]\.test$`, AllowedMethods: "PUT"}, "https://x.test"},
		{"regex refuses", "https://z.test", CORS{AllowedOriginRegex: `^https://[xy]\.test$`, AllowedMethods: "PUT"}, ""},
		{"all", "http://any.test", CORS{AllowedMethods: "PUT"}, "*"},
	} {
		s, _ := serveWith(t, Config{Middleware: []string{"headers"}, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{CORS: &tt.cors}}}, answering(msg(okContext, "php")))
		pre := s.ask(t, "OPTIONS", "/", append(preflight, "Origin: "+tt.origin)...)
		if pre.StatusCode != 200 || pre.text != "" || pre.Header.Get("Access-Control-Allow-Origin") != tt.allowed {
			t.Errorf("%s: preflight %d %q %v", tt.name, pre.StatusCode, pre.text, pre.Header)
		}
		res := s.ask(t, "PUT", "/", "Origin: "+tt.origin, "Content-Length: 0")
		if res.text != "php" || res.Header.Get("Access-Control-Allow-Origin") != tt.allowed || res.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %q %v", tt.name, res.text, res.Header)
		}
		if tt.name == "listed" && (res.Header.Get("Access-Control-Expose-Headers") != "X-E1, X-E2" || res.Header.Get("Access-Control-Allow-Credentials") != "true" ||
			pre.Header.Get("Access-Control-Max-Age") != "600") {
			t.Errorf("%v %v", pre.Header, res.Header)
		}
	}
}

// What lets strangers in is refused or warned about.
func TestCORSMistakes(t *testing.T) {
	for expr, ok := range map[string]bool{
		`^https://a\.test$`: true, `^https://a\.test`: false, `https://a\.test$`: false, `^a$|^b$`: true, `^a$|b$`: false,
		`^(a|b)$`: true, `(^a|^b)$`: true, `\Aa\z`: true, `.*`: false, `^a|b$`: false, `^$`: true,
	} {
		if anchored(expr) != ok {
			t.Errorf("%s: %t", expr, !ok)
		}
		c := CORS{AllowedOriginRegex: expr, AllowCredentials: true}
		if err := c.validate(); (err == nil) != ok {
			t.Errorf("%s with credentials: %v", expr, err)
		}
	}
	for _, tt := range []struct {
		cors CORS
		key  string
	}{
		{CORS{AllowCredentials: true}, "allowed_origin"},
		{CORS{AllowedOrigin: "http://a.test,*", AllowCredentials: true}, "allowed_origin"},
		{CORS{AllowedOriginRegex: "^http://a"}, "allowed_origin_regex"},
	} {
		_, log := serveWith(t, Config{Middleware: []string{"headers"}, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{CORS: &tt.cors}}}, answering())
		if log.count(`"key":"http.headers.cors.`+tt.key+`"`) != 1 {
			t.Errorf("no warning of %+v", tt.cors)
		}
	}
}

func TestCORSDebug(t *testing.T) {
	s, log := serveWith(t, Config{Middleware: []string{"headers"}, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{CORS: &CORS{Debug: true}}}}, answering(msg(okContext, "php")))
	s.get(t, "/", "Origin: http://a.test")
	if log.count("[cors] ") == 0 {
		t.Error("nothing is logged")
	}
}

// With a real worker: PHP sees what is added, the client what is set, and a
// preflight never reaches PHP.
func TestPHPHeaders(t *testing.T) {
	c := Config{Middleware: []string{"headers"}, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{
		Request: map[string]string{"X-Added": "from config"}, Response: map[string]string{"X-Frame-Options": "DENY"}, CORS: &CORS{AllowedOrigin: "http://a.test"},
	}}}
	middleware, err := NewMiddleware(c, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	s := servePHP(t, c, pool.Config{NumWorkers: 1}, func(o *Options) { o.Middleware = middleware })
	res := s.get(t, "/show", "Origin: http://a.test")
	if !strings.Contains(res.text, `"X-Added":["from config"]`) || res.Header.Get("X-Frame-Options") != "DENY" || res.Header.Get("Access-Control-Allow-Origin") != "http://a.test" {
		t.Errorf("%q %v", res.text, res.Header)
	}
	if res := s.ask(t, http.MethodOptions, "/die", "Origin: http://a.test", "Access-Control-Request-Method: GET"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}
