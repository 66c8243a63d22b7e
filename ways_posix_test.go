//go:build !linux || mmap_posix

package mmap

import "testing"

const linuxWays = false

// needLinuxWays skips a test of what the plain POSIX ways do not have.
func needLinuxWays(t testing.TB, what string) {
	t.Helper()
	t.Skipf("only Linux's own ways have %s", what)
}
