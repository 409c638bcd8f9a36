// Package golden replays recordings of RoadRunner against the real rrd and rr
// binaries: what a worker, an HTTP client and an RPC client saw.
//
// The recordings are in data, their format is explained in data/README.md.
//
//	go test ./tests/golden                       everything, both codecs
//	go test ./tests/golden -v -golden.run '^http-stream'
//	go test ./tests/golden -golden.override http.codec=proto
//	go test ./tests/golden -golden.update        rewrite notyet.txt
package golden
