// Package probes has the tests that need hardware which vmtest's jobs add to a
// machine: disks that fail, persistent memory, device registers. Elsewhere they are
// skipped.
package probes

import (
	"os"
	"testing"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// needs skips a test where vmtest has not added its hardware.
func needs(t *testing.T, hardware string) {
	t.Helper()
	if os.Getenv(plan.Hardware) != hardware {
		t.Skipf("needs hardware that `go run ./internal/vmtest -job %s` adds to an emulated machine", hardware)
	}
}
