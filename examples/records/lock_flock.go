//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package main

import (
	"errors"
	"os"
	"syscall"
)

// A lock of flock(2) belongs to the open file: it goes when that is closed, or with its
// process. Unlike one of fcntl(2), it stays when another open file of the store is
// closed.
func lock(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if e := c.Control(func(fd uintptr) { err = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) }); e != nil {
		return e
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrTaken
	}
	return os.NewSyscallError("flock", err)
}
