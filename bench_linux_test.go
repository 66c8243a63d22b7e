package mmap_test

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the file's data durable, as msync does: fdatasync(2).
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
