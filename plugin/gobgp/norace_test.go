//go:build !race

package gobgp

// raceEnabled says that the race detector is on.
const raceEnabled = false
