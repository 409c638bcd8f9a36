// Package applogger holds the protobuf messages of the app logger.
package applogger

//go:generate protoc --go_out=. --go_opt=paths=source_relative applogger.proto
