package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What darwin and ios have otherwise than mmap_posix.go.

const (
	mapExactly   = 0
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	lockLimit  = unix.RLIMIT_MEMLOCK

	replacesInOneStep     = true
	failedFixedLeavesHole = false
)

// sync is fcntl(2) with F_FULLFSYNC: fsync(2) leaves the data in the disk's own
// cache. It is all there is on file systems that know nothing better.
func (h handle) sync() error {
	err := call("fcntl", func() error {
		_, err := unix.FcntlInt(uintptr(h), unix.F_FULLFSYNC, 0)
		return err
	})
	for _, cannot := range []error{unix.ENOTSUP, unix.ENOTTY, unix.EINVAL} {
		if errors.Is(err, cannot) {
			return h.fsync()
		}
	}
	return err
}
