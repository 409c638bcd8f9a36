// Package lockpb holds the protobuf messages of the lock service.
package lockpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative lock.proto
