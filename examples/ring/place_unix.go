//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A record lock belongs to the process, and goes with it (fcntl(2)).
func lock(f *os.File, at int64) error {
	err := record(f, unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrTaken
	}
	return os.NewSyscallError("fcntl", err)
}

// locked says whether another process has the lock.
func locked(f *os.File, at int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	err := record(f, unix.F_GETLK, &l)
	return l.Type != unix.F_UNLCK, os.NewSyscallError("fcntl", err)
}

func record(f *os.File, cmd int, l *unix.Flock_t) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if e := c.Control(func(fd uintptr) { err = unix.FcntlFlock(fd, cmd, l) }); e != nil {
		return e
	}
	return err
}
