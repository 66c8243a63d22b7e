//go:build unix && !solaris && !illumos && !aix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func twoLock(f *os.File) error { return twoFlock(f, unix.LOCK_EX) }

func twoUnlock(f *os.File) error { return twoFlock(f, unix.LOCK_UN) }

func twoFlock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
