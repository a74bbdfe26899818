//go:build !race

package api

// raceEnabled says that the race detector is on.
const raceEnabled = false
