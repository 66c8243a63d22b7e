package mmap

import (
	"math"

	"golang.org/x/sys/unix"
)

// What DragonFly has otherwise than mmap_posix.go. After its mmap(2), msync(2),
// fsync(2), madvise(2) and getrlimit(2), and sys/vm/vm_mmap.c. Its mmap(2) with
// MAP_FIXED takes the old pages away first, and another thread may then be given the
// range.

const (
	mapExactly   = unix.MAP_TRYFIXED
	takenIsVague = true // ENOMEM
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NOCORE
	adviseDump   = unix.MADV_CORE

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unlimited
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device"

	replacesInOneStep     = false
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }

// allocate writes zeros: there is no system call, and a store to a hole takes its
// space only when it is written back.
func (h handle) allocate(off, n int64) error { return h.writeZeros(off, n) }

// maxMappings is the sysctl(3) vm.max_proc_mmap, where 0 means no limit.
func maxMappings() (name string, n int) {
	const most = "vm.max_proc_mmap"
	if n, err := unix.SysctlUint32(most); err == nil && n > 0 {
		return most, int(min(n, math.MaxInt32))
	}
	return "", manyMappings
}

// blocks returns their size, how many there are, and how many are free.
func blocks(fs *unix.Statfs_t) (size, all, free uint64) {
	return uint64(fs.Bsize), uint64(fs.Blocks), uint64(fs.Bfree)
}
