// Package pb holds generated protobuf code of the MetalBond v1 messages. Only
// tests use it: they hold the codec of package wire against it.
package pb

//go:generate protoc --go_out=. --go_opt=paths=source_relative metalbond.proto
