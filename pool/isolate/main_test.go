package isolate

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Run()
	goleak.VerifyTestMain(m)
}
