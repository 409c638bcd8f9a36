package http

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/http/fastcgi"
)

// transports are the ways by which requests come. All of them end in the same
// handler, so middleware, limits and logs know no difference.
type transports struct {
	http   http.Server // HTTP/1 and 2, with and without TLS
	plain  []*listener
	secure []*tlsListener
	fcgi   fastcgi.Server
	web    []*listener  // those of fcgi
	h3     *http3Server // nil: no HTTP/3

	identities []*identity
	acme       *acmeManager // nil: certificates come from files
	// certificateCheck is how often the files are looked at.
	certificateCheck time.Duration
}

// serving is one Serve call and what it serves on.
type serving struct {
	addr  net.Addr
	serve func() error
}

// open makes everything that is configured ready to serve h.
func (s *Server) open(o *Options, h http.Handler) error {
	s.certificateCheck = 10 * time.Second
	if err := s.openTLS(o, h); err != nil {
		return err
	}
	t := o.Config.Timeouts
	s.http = http.Server{
		Handler:           guardFraming(s.tcpHandler(o, h)),
		ReadHeaderTimeout: limit(t.ReadHeader),
		IdleTimeout:       limit(t.Idle),
		ConnState:         s.connState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(serverLog{o.Log.Handler()}, slog.LevelError),
		Protocols:         new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: int(o.Config.HTTP2.MaxConcurrentStreams),
			WriteByteTimeout:     limit(t.Write),
		},
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(o.Config.HTTP2.H2C)
	if len(o.TLS) > 0 {
		s.http.TLSConfig = s.identities[0].config()
	}
	s.fcgi = fastcgi.Server{
		Handler:           h,
		ReadHeaderTimeout: limit(t.ReadHeader),
		IdleTimeout:       limit(t.Idle),
		ConnState:         s.connState,
		Log:               o.Log,
	}
	for _, l := range o.Listeners {
		s.plain = append(s.plain, newListener(l, &s.conns))
	}
	for _, l := range o.TLS {
		s.secure = append(s.secure, newTLSListener(newListener(l, &s.conns), s.http.TLSConfig, limit(t.ReadHeader), o.Log))
	}
	for _, l := range o.FastCGI {
		s.web = append(s.web, newListener(l, &s.conns))
	}
	return nil
}

// openTLS prepares the certificates and HTTP/3, which has its own only if it is
// told so.
func (s *Server) openTLS(o *Options, h http.Handler) error {
	c := &o.Config
	if len(o.TLS)+len(o.QUIC) == 0 {
		return nil
	}
	if c.SSL.Enabled() && c.SSL.ACME != nil {
		var err error
		if s.acme, err = newACME(*c.SSL.ACME, o.Log); err != nil {
			return err
		}
	}
	for _, files := range c.identityFiles(len(o.TLS) > 0, len(o.QUIC) > 0) {
		if files.cert == "" && s.acme == nil {
			return errNoIdentity
		}
		id, err := newIdentity(files.section, c.SSL, files.tlsFiles, s.acme, o.Log)
		if err != nil {
			return err
		}
		s.identities = append(s.identities, id)
	}
	if len(o.QUIC) == 0 {
		return nil
	}
	id := s.identities[len(s.identities)-1]
	key, err := id.resetKey()
	if err != nil {
		return err
	}
	s.h3, err = newHTTP3(http3Options{
		conns: o.QUIC, handler: h, tls: id.config(), timeouts: c.Timeouts,
		maxStreams: c.HTTP2.MaxConcurrentStreams, zeroRTT: c.HTTP3 != nil && c.HTTP3.ZeroRTT,
		resetKey: key, log: o.Log,
	})
	return err
}

// tcpHandler is h with what only connections over TCP need.
func (s *Server) tcpHandler(o *Options, h http.Handler) http.Handler {
	plain := h
	if len(o.TLS) > 0 && o.Config.SSL.Redirect {
		plain = newRedirect(o.Config.SSL, tlsPort(o))
	}
	plain = s.acme.wrap(plain)
	secure := h
	if s.h3 != nil {
		offer := altSvc(advertised(o))
		secure = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Alt-Svc"] = []string{offer}
			h.ServeHTTP(w, r)
		})
	}
	if len(o.TLS) == 0 {
		return plain
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			plain.ServeHTTP(w, r)
			return
		}
		secure.ServeHTTP(w, r)
	})
}

// tlsPort is the port of http.ssl.address: behind a port forwarding it is not
// that of the socket. Without an address it is the socket's.
func tlsPort(o *Options) int {
	if address := o.Config.SSL.Address; address != "" {
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "tcp://"))
		n, _ := strconv.Atoi(port) // checked by Validate
		return n
	}
	if a, ok := o.TLS[0].Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 443
}

func advertised(o *Options) (ports []int) {
	if c := o.Config.HTTP3; c != nil && c.AdvertisePort > 0 {
		return []int{c.AdvertisePort}
	}
	for _, c := range o.QUIC {
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok && !slices.Contains(ports, a.Port) {
			ports = append(ports, a.Port)
		}
	}
	return ports
}

// servings are the Serve calls of Run.
func (s *Server) servings() (list []serving) {
	for _, l := range s.plain {
		list = append(list, serving{l.Addr(), func() error { return s.http.Serve(l) }})
	}
	for _, l := range s.secure {
		list = append(list, serving{l.Addr(), func() error {
			var accepting sync.WaitGroup
			accepting.Go(l.run)
			defer accepting.Wait()
			return s.http.Serve(l) // it closes l, which ends run
		}})
	}
	for _, l := range s.web {
		list = append(list, serving{l.Addr(), func() error { return s.fcgi.Serve(l) }})
	}
	if s.h3 != nil {
		list = append(list, serving{s.h3.listeners[0].Addr(), s.h3.run})
	}
	return list
}

// background are the parts that run as long as the server does.
func (s *Server) background() (parts []func(context.Context) error) {
	if len(s.identities) > 0 {
		parts = append(parts, s.watchCertificates)
	}
	if s.acme != nil {
		parts = append(parts, s.acme.run)
	}
	if s.h3 != nil {
		parts = append(parts, func(ctx context.Context) error {
			<-ctx.Done()
			s.h3.wait()
			return nil
		})
	}
	return parts
}

// watchCertificates looks at the files now and then. Watching folders instead
// would miss a file behind a symbolic link.
func (s *Server) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(s.certificateCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.checkCertificates()
		}
	}
}

func (s *Server) checkCertificates() {
	for _, id := range s.identities {
		id.check()
	}
}

// PrepareCertificates reads the certificates that c names; commit puts all of
// them in force, for connections that begin from then on. Nothing changes when
// one of them cannot be used. Other keys of c are not looked at.
func (s *Server) PrepareCertificates(c Config) (commit func(), err error) {
	var commits []func()
	for _, files := range c.identityFiles(len(s.secure) > 0, s.h3 != nil) {
		for _, id := range s.identities {
			if id.section != files.section || (files.cert == "") != id.managed() {
				continue
			}
			commit, err := id.prepare(files.tlsFiles)
			if err != nil {
				return nil, err
			}
			commits = append(commits, commit)
		}
	}
	return func() {
		for _, commit := range commits {
			commit()
		}
	}, nil
}

// CheckCertificates reads the files of certificates and says what is wrong with
// them. Those that this user may not read are left to the daemon's.
func (c *Config) CheckCertificates() error {
	for _, files := range c.identityFiles(c.SSL.Enabled(), c.HTTP3 != nil && c.HasCertificate()) {
		id := identity{section: files.section, acme: new(acmeManager)}
		if _, err := id.prepare(files.tlsFiles); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// Problem says why the server is less than it should be, "" if it is not.
func (s *Server) Problem() string { return s.acme.problem() }

// stopAccepting ends the Serve calls.
func (s *Server) stopAccepting() {
	s.eachListener(func(l *listener) { l.stop() })
	if s.h3 != nil {
		s.h3.stop()
	}
}

func (s *Server) eachListener(f func(*listener)) {
	for _, l := range s.plain {
		f(l)
	}
	for _, l := range s.secure {
		f(l.listener)
	}
	for _, l := range s.web {
		f(l)
	}
}

func (s *Server) closeListeners() {
	s.eachListener(func(l *listener) { _ = l.Close() })
}

// closeTransports ends everything at once.
func (s *Server) closeTransports() {
	s.closeListeners()
	for _, l := range s.secure {
		_ = l.Close() // and its handshakes
	}
	// They report what is closed already, which is as it should be.
	_ = s.http.Close()
	_ = s.fcgi.Close()
	if s.h3 != nil {
		if err := s.h3.close(); err != nil {
			s.log.Debug("closing HTTP/3", logkey.Error, err)
		}
	}
}

// namedFiles are the files of an identity and the section that names them.
type namedFiles struct {
	section string
	tlsFiles
}

// identityFiles are those of TLS, and those of HTTP/3 if they differ. The last
// ones are HTTP/3's. Clients are let in by the rules of http.ssl in both.
func (c *Config) identityFiles(tcp, quic bool) (list []namedFiles) {
	var s SSL
	if c.SSL != nil {
		s = *c.SSL
	}
	main := namedFiles{"http.ssl", tlsFiles{rootCA: s.RootCA}}
	if s.ACME == nil {
		main.key, main.cert = s.Key, s.Cert
	}
	own := quic && c.HTTP3 != nil && c.HTTP3.Cert != ""
	if tcp || quic && !own {
		list = append(list, main)
	}
	if own {
		list = append(list, namedFiles{"http.http3", tlsFiles{key: c.HTTP3.Key, cert: c.HTTP3.Cert, rootCA: s.RootCA}})
	}
	return list
}

var errNoIdentity = errors.New("http.ssl: no certificate: set key and cert, or acme")
