//go:build unix

package mmap

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestAMethodNeverFindsAnEmptyRegionInsteadOfAClosedOne closes while another
// goroutine asks for bytes that are there: what it may hear is that the region is
// closed, and not that it is too short.
func TestAMethodNeverFindsAnEmptyRegionInsteadOfAClosedOne(t *testing.T) {
	for range max(500, rounds(10_000)) {
		r, err := Anonymous(64)
		if err != nil {
			t.Fatal(err)
		}
		var begun atomic.Bool
		heard := make(chan error)
		go func() {
			for {
				if err := r.SyncRange(0, 64); err != nil {
					heard <- err
					return
				}
				begun.Store(true)
			}
		}()
		for !begun.Load() {
			runtime.Gosched()
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-heard; !errors.Is(err, ErrClosed) {
			t.Fatalf("a method during Close: %v", err)
		}
	}
}

// onCalls asks fn before every system call of the package, until the end of the
// test. It may refuse it, or wait.
func onCalls(t testing.TB, fn func(call string) error) {
	intercept.Store(&fn)
	t.Cleanup(func() { intercept.Store(nil) })
}

// refusing refuses the next n calls of a name, and then none any more.
func refusing(t testing.TB, name string, err error, n int) {
	onCalls(t, func(call string) error {
		if call != name || n == 0 {
			return nil
		}
		n--
		return err
	})
}
