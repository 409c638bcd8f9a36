package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/daemon/config"
)

// Every key that is an address is checked before anything starts: the error names the
// key, the line, the value and what to do.
func TestAddressesAreChecked(t *testing.T) {
	const head = "version: \"3\"\nserver: {command: php a.php}\n"
	certificate := filepath.Join(t.TempDir(), "any.pem")
	if err := os.WriteFile(certificate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for key, text := range map[string]string{
		"http.address":       head + "http: {address: VALUE}\n",
		"http.fcgi.address":  head + "http: {fcgi: {address: VALUE}}\n",
		"http.ssl.address":   head + "http: {ssl: {address: VALUE, key: FILE, cert: FILE}}\n",
		"http.http3.address": head + "http: {http3: {address: VALUE, key: FILE, cert: FILE}}\n",
		"fileserver.address": head + "fileserver: {address: VALUE, serve: [{prefix: /}]}\n",
		"rpc.listen":         head + "rpc: {listen: TCP}\n",
		"server.relay":       strings.Replace(head, "}", ", relay: TCP}", 1) + "http: {address: \":80\"}\n",
		"metrics.address":    head + "metrics: {address: VALUE}\n",
		"status.address":     head + "status: {address: VALUE}\n",
		"otel.endpoint":      head + "otel: {endpoint: VALUE}\n",
		"kv.a.config.addrs":  head + "kv: {a: {driver: redis, config: {addrs: [VALUE]}}}\n",
		"kv.a.config.addr":   head + "kv: {a: {driver: memcached, config: {addr: [VALUE]}}}\n",
		"lock.config.addrs":  head + "lock: {driver: redis, config: {addrs: [VALUE]}}\n",
	} {
		for _, value := range []string{"127.0.0.1:99999", ":::", "127.0.0.256:80", "a b:80"} {
			file := filepath.Join(t.TempDir(), "app.yaml")
			written := strings.NewReplacer("VALUE", strconv.Quote(value), "TCP", strconv.Quote("tcp://"+value), "FILE", certificate).Replace(text)
			if err := os.WriteFile(file, []byte(written), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := load(config.Options{File: file, Environ: []string{}})
			if err == nil {
				t.Errorf("%s: %s is accepted", key, value)
				continue
			}
			for _, want := range []string{file + ": line ", key + ": ", value, "; "} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s: the error %q does not say %q", key, value, err, want)
				}
			}
		}
	}
}
