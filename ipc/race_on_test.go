//go:build race

package ipc

// raceEnabled: under the race detector sync.Pool drops objects at random.
const raceEnabled = true
