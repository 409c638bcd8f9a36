//go:build conformance

package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTLS asks for a page with openssl and sees whether it comes.
func TestTLS(t *testing.T) {
	t.Parallel()
	const section = "TLS: openssl s_client"
	note(section, "| configuration | client | served |", "|---|---|---|")
	for _, c := range []struct {
		config, ssl string
		clients     map[string]bool // arguments: served
	}{
		{"default", "", map[string]bool{
			"-tls1 -cipher DEFAULT@SECLEVEL=0": false, "-tls1_1 -cipher DEFAULT@SECLEVEL=0": false, "-tls1_2": true, "-tls1_3": true,
			"-tls1_2 -cipher AES128-SHA@SECLEVEL=0": false, "-tls1_2 -cipher NULL@SECLEVEL=0": false, "-tls1_2 -cipher aNULL@SECLEVEL=0": false,
			"-alpn http/1.1": true, "-alpn nonsense": false,
		}},
		{"min_version 1.3", `, min_version: "1.3"`, map[string]bool{"-tls1_2": false, "-tls1_3": true}},
		{"require_and_verify_client_cert", `, root_ca: own-ca.pem, client_auth_type: require_and_verify_client_cert`, map[string]bool{
			"": false, "-tls1_2": false,
			"-cert own-client.pem -key own-client.key": true, "-tls1_2 -cert own-client.pem -key own-client.key": true,
			"-cert foreign-client.pem -key foreign-client.key": false, "-tls1_2 -cert foreign-client.pem -key foreign-client.key": false,
		}},
	} {
		s := newSite(t, c.ssl)
		for args, want := range c.clients {
			out := command(t, s.dir, "GET /page HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n", "openssl",
				append(strings.Fields("s_client -quiet -verify_quiet -ign_eof -CAfile own-ca.pem -connect "+s.tls), strings.Fields(args)...)...)
			if got := strings.Contains(out, "HTTP/1.1 200 OK"); got != want {
				t.Errorf("%s: %q: served %t\n%s", c.config, args, got, out)
			}
		}
		for _, line := range sortedClients(c.clients) {
			note(section, fmt.Sprintf("| %s | %s |", c.config, line))
		}
	}
}

// sortedClients are cells of the table.
func sortedClients(clients map[string]bool) (list []string) {
	for args, served := range clients {
		word := "refused"
		if served {
			word = "yes"
		}
		if args == "" {
			args = "no certificate"
		}
		list = append(list, fmt.Sprintf("`%s` | %s", args, word))
	}
	slices.Sort(list)
	return list
}
