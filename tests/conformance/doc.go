// Package conformance runs conformance and attack suites against bin/rrd with real
// PHP workers: h2spec, corpora of request smuggling and of malformed HTTP/1.1,
// slowhttptest, clients of HTTP/3, openssl. `make conformance` runs it and writes
// docs/conformance.md. It is behind the build tag conformance, because it takes
// minutes and needs programs that no other test needs.
package conformance
