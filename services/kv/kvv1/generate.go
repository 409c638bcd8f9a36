// Package kvv1 holds the protobuf messages of the key-value storages.
package kvv1

//go:generate protoc --go_out=. --go_opt=paths=source_relative kv.proto
