// Package logkey names the slog keys that the whole project uses, so that one
// journal query finds a request in the lines of every layer.
//
// The journald handler turns a key K of this list into the field RR_K
// (RR_POOL, RR_WORKER, RR_REQUEST_ID, ...).
package logkey

const (
	Logger     = "logger"     // channel name as in RoadRunner's logs.channels: http, server, rpc, app, ...
	Pool       = "pool"       // pool name
	Worker     = "worker"     // pid of the worker process
	Generation = "generation" // generation number of the pool
	RequestID  = "request_id" // id of the request that the worker was serving
	Cause      = "cause"      // why a worker ended
	Error      = "error"      // error text
	Elapsed    = "elapsed"    // milliseconds
	Socket     = "socket"     // name of a listening socket
	Key        = "key"        // configuration key
	File       = "file"       // file name
	Service    = "service"    // service of the section service, or of the daemon
)
