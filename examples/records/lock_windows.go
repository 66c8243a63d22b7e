package main

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// A lock belongs to the open file, and goes with its process. The byte is beyond the
// end of any store: those before it can be read meanwhile.
func lock(f *os.File) error {
	const now = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	far := windows.Overlapped{OffsetHigh: math.MaxInt32}
	err := windows.LockFileEx(windows.Handle(f.Fd()), now, 0, 1, 0, &far)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrTaken
	}
	return os.NewSyscallError("LockFileEx", err)
}
