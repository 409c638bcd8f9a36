//go:build race

package golden_test

// raceEnabled: the programs under test are built as this test is.
const raceEnabled = true
