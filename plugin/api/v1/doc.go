// Package mbbgpv1 holds the generated code of the gRPC API mbbgp.v1. It is made
// with Debian's protobuf-compiler and libprotobuf-dev.
package mbbgpv1

//go:generate ./generate
