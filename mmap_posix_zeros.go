//go:build openbsd || dragonfly || mmap_posix

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Disk space where no system call takes it ahead.

// writeZeros allocates by writing. What cannot come to a good end is not begun: it
// would fill the disk, for everybody, only to find that out.
func (h handle) writeZeros(off, n int64) error {
	from, end, err := h.lacks(off, n)
	if err != nil || from == end {
		return err
	}
	var fs unix.Statfs_t
	err = call("fstatfs", func() error { return unix.Fstatfs(int(h), &fs) })
	if size, all, free := blocks(&fs); err == nil && size > 0 && all > 0 && uint64(end-from-1)/size > free {
		return os.NewSyscallError("pwrite", unix.ENOSPC)
	}
	zeros := make([]byte, min(64<<10, end-from))
	for from < end {
		var written int
		err := call("pwrite", func() (err error) {
			written, err = unix.Pwrite(int(h), zeros[:min(int64(len(zeros)), end-from)], from)
			return err
		})
		if err != nil {
			return err
		}
		from += int64(written)
	}
	return nil
}
