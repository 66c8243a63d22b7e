//go:build mmap_posix

package mmap

import "golang.org/x/sys/unix"

// Linux as a plain POSIX system, for tests of mmap_posix.go.

const (
	mapExactly   = 0
	takenIsVague = true // so that the tests take this way
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unix.RLIMIT_DATA
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true // by the tests' help
)

func (h handle) sync() error { return h.fsync() }

func (h handle) allocate(off, n int64) error { return h.writeZeros(off, n) }

func maxMappings() (name string, n int) { return "", manyMappings }

// blocks returns their size, how many there are, and how many are free.
func blocks(fs *unix.Statfs_t) (size, all, free uint64) {
	return uint64(fs.Bsize), uint64(fs.Blocks), uint64(fs.Bfree)
}
