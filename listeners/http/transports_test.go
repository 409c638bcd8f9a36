package http

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/listeners/http/fastcgi/fcgitest"
	"github.com/rr-systemd/rrd/pool"
)

// authority issues certificates of a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	a.key, a.cert = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	a.pool.AddCert(a.cert)
	a.write(t, "ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

// issue makes a certificate, of itself when a is nil.
func issue(t testing.TB, template *x509.Certificate, a *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (a *authority) write(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// server writes name.key and name.pem for localhost.
func (a *authority) server(t testing.TB, name string) (key, cert string) {
	t.Helper()
	return a.files(t, name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
}

func (a *authority) files(t testing.TB, name string, template *x509.Certificate) (key, cert string) {
	t.Helper()
	k, c := issue(t, template, a)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, name+".key", "PRIVATE KEY", der), a.write(t, name+".pem", "CERTIFICATE", c.Raw)
}

// client makes a certificate for a client.
func (a *authority) client(t testing.TB) tls.Certificate {
	t.Helper()
	key, cert := a.files(t, "client", &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// everything serves all protocols at once.
type everything struct {
	*testServer
	ca    *authority
	tls   string // host:port
	udp   string
	fcgi  string // path
	certs [2]string
}

func allSockets(t testing.TB, into *everything) func(*Options) {
	into.ca = newAuthority(t, "servers")
	key, cert := into.ca.server(t, "localhost")
	into.certs = [2]string{key, cert}
	return func(o *Options) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		into.fcgi = filepath.Join(t.TempDir(), "fcgi")
		f, err := net.Listen("unix", into.fcgi)
		if err != nil {
			t.Fatal(err)
		}
		into.tls, into.udp = l.Addr().String(), u.LocalAddr().String()
		o.TLS, o.QUIC, o.FastCGI = []net.Listener{l}, []net.PacketConn{u}, []net.Listener{f}
		if o.Config.SSL == nil {
			o.Config.SSL = new(SSL)
		}
		o.Config.SSL.Key, o.Config.SSL.Cert = key, cert
		o.Config.HTTP2.H2C = true
	}
}

func serveAll(t testing.TB, c Config, exec ipc.Executor, change ...func(*Options)) *everything {
	t.Helper()
	e := new(everything)
	e.testServer = serve(t, c, exec, append([]func(*Options){allSockets(t, e)}, change...)...)
	return e
}

func serveAllPHP(t testing.TB, c Config) *everything {
	t.Helper()
	e := new(everything)
	e.testServer = servePHP(t, c, pool.Config{NumWorkers: 2}, allSockets(t, e))
	return e
}

// via is one way to send a request.
type via struct {
	name  string
	proto string // as PHP sees it
	url   string
	do    func(*http.Request) (*http.Response, error)
}

// ways are all of them. FastCGI comes back without its trailers, hints and
// protocol.
func (e *everything) ways(t testing.TB, change ...func(*tls.Config)) []via {
	config := &tls.Config{RootCAs: e.ca.pool}
	for _, f := range change {
		f(config)
	}
	transport := func(h1, h2, h2c bool) *http.Transport {
		tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: config.Clone()}
		tr.Protocols.SetHTTP1(h1)
		tr.Protocols.SetHTTP2(h2)
		tr.Protocols.SetUnencryptedHTTP2(h2c)
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	h3 := &http3.Transport{TLSClientConfig: config.Clone()}
	t.Cleanup(func() { _ = h3.Close() })
	return []via{
		{"h1", "HTTP/1.1", "http://" + e.addr, transport(true, false, false).RoundTrip},
		{"h2c", "HTTP/2.0", "http://" + e.addr, transport(false, false, true).RoundTrip},
		{"h1 over TLS", "HTTP/1.1", "https://" + e.tls, transport(true, false, false).RoundTrip},
		{"h2", "HTTP/2.0", "https://" + e.tls, transport(false, true, false).RoundTrip},
		{"h3", "HTTP/3.0", "https://" + e.udp, h3.RoundTrip},
		{"FastCGI", "HTTP/1.1", "http://fcgi.test", e.fastCGI},
	}
}

// fastCGI is a web server's part for one request.
func (e *everything) fastCGI(r *http.Request) (*http.Response, error) {
	nc, err := net.Dial("unix", e.fcgi)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	params := fcgitest.Get(r.URL.Host, r.URL.RequestURI())
	params["REQUEST_METHOD"] = r.Method
	params["REMOTE_ADDR"] = "127.0.0.1"
	for name, values := range r.Header {
		params["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = strings.Join(values, ", ")
	}
	params["CONTENT_TYPE"] = r.Header.Get("Content-Type")
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		params["CONTENT_LENGTH"] = strconv.Itoa(len(body))
	}
	res, err := fcgitest.New(nc).Do(1, false, params, body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: res.Status, Header: res.Header, Body: io.NopCloser(strings.NewReader(res.Body)), Request: r}, nil
}

// reply is an answer with all that came before and after its body.
type reply struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	hints   []http.Header
	err     error // what ended the body early, or the whole request
}

func (v via) send(t testing.TB, method, path, contentType, body string) (got reply) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		got.hints = append(got.hints, http.Header(h))
		return nil
	}})
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, v.url+path, in)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	res, err := v.do(r)
	if err != nil {
		got.err = err
		return got
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	got.status, got.header, got.body, got.trailer, got.err = res.StatusCode, res.Header, string(b), res.Trailer, err
	return got
}

func (v via) is(name string) bool { return v.name == name }

// TestContextOfAllProtocols: what PHP sees of where a request came from.
func TestContextOfAllProtocols(t *testing.T) {
	e := serveAllPHP(t, Config{})
	for _, v := range e.ways(t) {
		got := v.send(t, "POST", "/show?a=1", "application/x-www-form-urlencoded", "x[y]=z")
		var ctx struct {
			RemoteAddr, Protocol, Method, URI string
			Body                              any
			Parsed                            bool
		}
		if err := json.Unmarshal([]byte(got.body), &ctx); err != nil || got.status != 201 {
			t.Errorf("%s: %+v %v", v.name, got, err)
			continue
		}
		if ctx.RemoteAddr != "127.0.0.1" || ctx.Protocol != v.proto || ctx.Method != "POST" || ctx.URI != v.url+"/show?a=1" ||
			!ctx.Parsed || !reflect.DeepEqual(ctx.Body, map[string]any{"x": map[string]any{"y": "z"}}) {
			t.Errorf("%s: %+v", v.name, ctx)
		}
		alt := got.header.Get("Alt-Svc")
		_, port, _ := net.SplitHostPort(e.udp)
		if want := `h3=":` + port + `"; ma=86400`; alt != want && strings.HasPrefix(v.url, "https") && v.proto != "HTTP/3.0" || alt != "" && !strings.HasPrefix(v.url, "https") {
			t.Errorf("%s: Alt-Svc %q", v.name, alt)
		}
	}
}

// TestAnswersOfAllProtocols: hints, trailers, bodyless answers.
func TestAnswersOfAllProtocols(t *testing.T) {
	withTrailer := `{"status":200,"headers":{"Trailer":["X-T, Content-Length"],"X-T":["1","2"],"Content-Length":["5"],"Connection":["keep-alive"],"X-Line":["a\r\nX-Evil: 1"]}}`
	e := serveAll(t, Config{}, execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		switch p.Detail {
		case "/hints":
			return &frames{list: []*ipc.Message{
				part(`{"status":103,"headers":{"Link":["</a>"]}}`, ""), part(`{"status":103,"headers":{"Link":["</b>"]}}`, ""),
				part(`{"status":404,"headers":{"X-F":["1"]}}`, "par"), msg("", "ts"),
			}}, nil
		case "/trailers":
			return &frames{list: []*ipc.Message{msg(withTrailer, "hello")}}, nil
		case "/304":
			return &frames{list: []*ipc.Message{msg(`{"status":304,"headers":{"Etag":["\"a\""]}}`, "body")}}, nil
		case "/204":
			return &frames{list: []*ipc.Message{msg(`{"status":204,"headers":{}}`, "body")}}, nil
		case "/big":
			return &frames{list: []*ipc.Message{msg(okContext, strings.Repeat("b", 3<<20))}}, nil
		}
		return &frames{list: []*ipc.Message{msg(okContext, "hello")}}, nil
	}))
	for _, v := range e.ways(t) {
		fcgi := v.is("FastCGI")
		got := v.send(t, "GET", "/hints", "", "")
		if got.status != 404 || got.body != "parts" || got.header.Get("X-F") != "1" || got.header.Get("Link") != "" || got.err != nil {
			t.Errorf("%s: %+v", v.name, got)
		}
		if n := len(got.hints); fcgi && n != 0 || !fcgi && (n != 2 || got.hints[0].Get("Link") != "</a>" || got.hints[1].Get("Link") != "</b>") {
			t.Errorf("%s: hints %v", v.name, got.hints)
		}
		got = v.send(t, "GET", "/trailers", "", "")
		if got.status != 200 || got.body != "hello" || got.err != nil || got.header.Get("X-Evil") != "" {
			t.Errorf("%s: %+v", v.name, got)
		}
		// net/http leaves a value with a line break out of HTTP/2.
		if line := got.header.Get("X-Line"); line != "a  X-Evil: 1" && (v.proto != "HTTP/2.0" || line != "") {
			t.Errorf("%s: %q", v.name, line)
		}
		if !fcgi && !reflect.DeepEqual(got.trailer, http.Header{"X-T": {"1", "2"}}) {
			t.Errorf("%s: trailers %v", v.name, got.trailer)
		}
		if strings.Contains(v.proto, "/3") && got.header.Get("Connection") != "" {
			t.Errorf("%s: a field of a connection", v.name)
		}
		for _, status := range []int{204, 304} {
			if got = v.send(t, "GET", fmt.Sprint("/", status), "", ""); got.status != status || got.body != "" || got.err != nil {
				t.Errorf("%s: %+v", v.name, got)
			}
		}
		if got = v.send(t, "HEAD", "/", "", ""); got.status != 200 || got.body != "" || got.err != nil {
			t.Errorf("%s: HEAD: %+v", v.name, got)
		}
		if got = v.send(t, "GET", "/big", "", ""); got.status != 200 || len(got.body) != 3<<20 || got.err != nil {
			t.Errorf("%s: %d bytes, %v", v.name, len(got.body), got.err)
		}
	}
}

// TestLimitsOfAllProtocols: max_request_size and a worker that dies in
// mid-stream.
func TestLimitsOfAllProtocols(t *testing.T) {
	e := serveAllPHP(t, Config{MaxRequestSize: 1})
	for _, v := range e.ways(t) {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded"} {
			got := v.send(t, "POST", "/echo", kind, strings.Repeat("x", 1<<20+1))
			if got.status != 413 || got.body != "serve_http: http: request body too large\n" {
				t.Errorf("%s: %+v", v.name, got)
			}
		}
		body := strings.Repeat("0123456789abcdef", 1<<16)
		if got := v.send(t, "POST", "/echo", "text/plain", body); got.status != 200 || got.body != body || got.err != nil {
			t.Errorf("%s: %d, %d bytes, %v", v.name, got.status, len(got.body), got.err)
		}
		if got := v.send(t, "GET", "/stream-die", "", ""); got.err == nil {
			t.Errorf("%s: half an answer looks whole: %+v", v.name, got)
		}
		if got := v.send(t, "GET", "/die", "", ""); got.status != 500 {
			t.Errorf("%s: %+v", v.name, got)
		}
		if got := v.send(t, "GET", "/hello", "", ""); got.body != "hello" || len(got.header["Set-Cookie"]) != 2 {
			t.Errorf("%s: %+v", v.name, got)
		}
	}
	waitFor(t, "connections to be counted", func() bool { return e.Stats().Conns >= 5 })
}

// TestMiddlewareOfAllProtocols: nothing goes past it.
func TestMiddlewareOfAllProtocols(t *testing.T) {
	e := serveAll(t, Config{}, answering(msg(okContext, "ok")), func(o *Options) {
		o.Middleware = []Middleware{func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no entry", 403) })
		}}
	})
	for i, v := range e.ways(t) {
		if got := v.send(t, "GET", "/", "", ""); got.status != 403 || got.body != "no entry\n" {
			t.Errorf("%s: %+v", v.name, got)
		}
		if n := e.Stats().Requests; n != uint64(i+1) {
			t.Errorf("%s: %d requests counted", v.name, n)
		}
	}
}

// TestSlowBodiesOfAllProtocols: a body that does not come is given up.
func TestSlowBodiesOfAllProtocols(t *testing.T) {
	e := serveAll(t, Config{Timeouts: Timeouts{Read: 50 * time.Millisecond}}, failing(ipc.ErrPoolClosed))
	for _, v := range e.ways(t)[:5] {
		pr, pw := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", v.url+"/", io.MultiReader(strings.NewReader("half"), pr))
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.do(r)
		_ = pw.CloseWithError(io.ErrClosedPipe)
		if err != nil || res.StatusCode != 408 {
			t.Errorf("%s: %+v %v", v.name, res, err)
			continue
		}
		_ = res.Body.Close()
	}
}

// TestRoutesOfAllProtocols: routes count for every protocol, and an answer that
// breaks off in the middle looks whole in none.
func TestRoutesOfAllProtocols(t *testing.T) {
	cut := execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		return &frames{list: []*ipc.Message{part(okContext, "one")}, err: ipc.ErrWorkerFailed}, nil
	})
	e := serveAll(t, Config{Routes: []Route{{Match: Match{Path: []string{"/cut"}}, Pool: "cut"}}}, answering(msg(okContext, "main")),
		func(o *Options) { o.Pools = map[string]ipc.Executor{"cut": cut} })
	for _, v := range e.ways(t) {
		if got := v.send(t, "GET", "/", "", ""); got.body != "main" || got.err != nil {
			t.Errorf("%s: %+v", v.name, got)
		}
		if got := v.send(t, "GET", "/cut", "", ""); got.err == nil {
			t.Errorf("%s: %+v", v.name, got)
		}
	}
}
