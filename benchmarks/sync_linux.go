package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync makes a file's bytes durable, and of the rest what is needed to read them.
func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
