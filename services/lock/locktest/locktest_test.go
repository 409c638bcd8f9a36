package locktest

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestModelRejects shows that the model would notice two writers.
func TestModelRejects(t *testing.T) {
	history := []porcupine.Operation{
		{Input: op{"lock", "r", "a"}, Output: true, Call: 0, Return: 1},
		{Input: op{"lock", "r", "b"}, Output: true, Call: 2, Return: 3},
	}
	if porcupine.CheckOperations(model, history) {
		t.Error("two writers are linearizable")
	}
}
