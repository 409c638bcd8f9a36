// Package servicepb holds the protobuf messages of the service plugin.
package servicepb

//go:generate protoc --go_out=. --go_opt=paths=source_relative service.proto
