//go:build linux && !mmap_posix

package mmap

import "testing"

// linuxWays says that the library uses what Linux has beyond POSIX.
const linuxWays = true

func needLinuxWays(t testing.TB, what string) {}
