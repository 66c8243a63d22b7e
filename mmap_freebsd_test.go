package mmap

import (
	"runtime"
	"testing"
)

func TestPosixFallocateTakesLongNumbersInTwoWords(t *testing.T) {
	const off, n = 0x1_2345_6789, 0x3_0000_0002
	words := map[string][6]uintptr{
		"386": {7, 0x2345_6789, 1, 2, 3},
		"arm": {7, 0, 0x2345_6789, 1, 2, 3},
	}
	if is64 == 1 {
		wide := [6]uintptr{7}
		wide[1], wide[2] = shifted(off), shifted(n)
		words[runtime.GOARCH] = wide
	}
	for arch, want := range words {
		got := fallocateWords(7, off, n, arch)
		if arch != runtime.GOARCH && is64 == 1 { // there the lower word keeps what does not fit into one of 32 bits
			for i := range got {
				got[i] = uintptr(uint32(got[i]))
			}
		}
		if got != want {
			t.Errorf("%s: %#x, want %#x", arch, got, want)
		}
	}
}

// shifted is a constant that need not fit into a word of this machine.
func shifted(n int64) uintptr { return uintptr(n) }
