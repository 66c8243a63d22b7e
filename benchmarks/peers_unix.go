//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func mapBare(f *os.File, writable bool) (mapped, error) {
	fi, err := f.Stat()
	if err != nil {
		return mapped{}, err
	}
	prot := unix.PROT_READ
	if writable {
		prot |= unix.PROT_WRITE
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), prot, unix.MAP_SHARED)
	return mapped{"bare mmap", b, func() error { return unix.Munmap(b) }}, err
}
