package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// forget drops what is in memory of a file that nobody has mapped (posix_fadvise(3)).
// As root it drops what the system has of all files if need be.
func forget(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	left, err := residentPages(f)
	if err != nil || left == 0 {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		return fmt.Errorf("%w: %d pages stay in memory, and only root drops the caches of the system: %v", errNotCold, left, err)
	}
	if left, err = residentPages(f); left > 0 && err == nil {
		err = fmt.Errorf("%w: %d pages stay in memory", errNotCold, left)
	}
	return err
}
