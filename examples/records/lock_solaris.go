//go:build !illumos

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A record lock belongs to the process, and goes with it. It goes too when the process
// closes any open file of the store: a writer must not read by a second Store.
func lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrTaken
	}
	return os.NewSyscallError("fcntl", err)
}
