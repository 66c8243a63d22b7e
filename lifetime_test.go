//go:build linux

package mmap

import (
	"runtime"
	"testing"
	"time"
)

// collectUntil runs the garbage collector until done. Its cleanups run on
// goroutines of the runtime, at no promised time.
func collectUntil(t testing.TB, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); runtime.Gosched() {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the garbage collector did not do it within 20 seconds")
		}
		runtime.GC()
	}
}
