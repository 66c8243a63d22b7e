package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// A lock belongs to the open file, and goes with its process.
func lock(f *os.File, at int64) error {
	const now = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), now, 0, 1, 0, offset(at))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrTaken
	}
	return os.NewSyscallError("LockFileEx", err)
}

// locked says whether somebody has the lock. It can only try: who wants the place just
// then finds it taken.
func locked(f *os.File, at int64) (bool, error) {
	err := lock(f, at)
	if err == nil {
		err = os.NewSyscallError("UnlockFileEx", windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, offset(at)))
		return false, err
	}
	if errors.Is(err, ErrTaken) {
		return true, nil
	}
	return false, err
}

func offset(at int64) *windows.Overlapped {
	return &windows.Overlapped{Offset: uint32(at), OffsetHigh: uint32(at >> 32)}
}
