// Package probes has the tests that need hardware which vmtest's jobs add to a
// machine: disks that fail, persistent memory, device registers. Elsewhere they are
// skipped.
package probes

import (
	"os"
	"testing"

	"github.com/seed-498deeca/mmap"
	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// needs skips a test where vmtest has not added its hardware.
func needs(t *testing.T, hardware string) {
	t.Helper()
	if os.Getenv(plan.Hardware) != hardware {
		t.Skipf(plan.Elsewhere+" `go run ./internal/vmtest -job %s` adds to an emulated machine", hardware)
	}
}

// mapped stops the test if err is not nil, and otherwise closes r at its end.
func mapped(t *testing.T, r *mmap.Region, err error) *mmap.Region {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	kept := r // the list of cleanups may outlive them
	t.Cleanup(func() {
		kept.Close()
		kept = nil
	})
	return r
}
