// Package api shows the state of the bridge over HTTP: metrics, health, and
// the route tables as metalbond's own HTTP server shows them. It only reads;
// what it shows is asked for when somebody asks.
package api
