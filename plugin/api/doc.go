// Package api shows the state of the bridge over HTTP: a status page, metrics,
// health, and the route tables as metalbond's own HTTP server shows them. That
// only reads. Management is gRPC (v1). What is shown is asked for when somebody
// asks.
package api
