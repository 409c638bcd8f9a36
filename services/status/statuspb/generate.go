// Package statuspb holds the protobuf messages of the status service.
package statuspb

//go:generate protoc --go_out=. --go_opt=paths=source_relative status.proto
