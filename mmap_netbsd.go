package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What NetBSD has otherwise than mmap_posix.go. After its mmap(2), msync(2),
// fsync_range(2), madvise(2) and getrlimit(2), and sys/uvm/uvm_mmap.c and
// sys/kern/vfs_syscalls.c. MAP_TRYFIXED is a hint too, which the system heeds more
// often.

const (
	mapExactly   = unix.MAP_TRYFIXED // a stronger hint
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unlimited
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

// sync is fsync_range(2) with FDISKSYNC: fsync(2) leaves the data in the disk's own
// cache. It wants a file that is open for writing, and says EBADF of others.
func (h handle) sync() error {
	const wholeFile, diskToo = 0x20, 0x40 // FFILESYNC, FDISKSYNC of <unistd.h>
	err := call("fsync_range", func() error {
		_, _, errno := unix.Syscall6(unix.SYS_FSYNC_RANGE, uintptr(h), wholeFile|diskToo, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	if errors.Is(err, unix.EBADF) {
		return h.fsync()
	}
	return err
}

// allocate leaves it to touching the pages: a store to a hole takes its space at
// once. Few file systems have posix_fallocate(2).
func (h handle) allocate(off, n int64) error { return errors.ErrUnsupported }

func maxMappings() (name string, n int) { return "", manyMappings }
