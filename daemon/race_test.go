//go:build race

package daemon

// raceEnabled: the programs under test are built as this test is.
const raceEnabled = true
