//go:build (unix && !aix) || windows

package mmap

import (
	"errors"
	"os"
)

// What the systems that can map share of the seam.

func control(f *os.File, fn func(h handle) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	called := false
	controlErr := c.Control(func(fd uintptr) {
		called = true
		err = fn(handle(fd))
	})
	if !called && controlErr != nil { // f is closed; the error says so in other words
		return os.ErrClosed
	}
	return err
}

// lacking says that the error of a system call means that the system has no such
// thing.
func lacking(err error, why string) error {
	var call *os.SyscallError
	if !errors.As(err, &call) {
		return err
	}
	return os.NewSyscallError(call.Syscall, &limitError{call.Err, why, true})
}
