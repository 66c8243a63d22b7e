package mmap

import "golang.org/x/sys/unix"

// What FreeBSD has otherwise than mmap_posix.go.

const (
	mapExactly   = unix.MAP_FIXED | unix.MAP_EXCL
	takenIsVague = true // EINVAL or ENOMEM
	mapNoReserve = 0    // what has no access is charged to nobody

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NOCORE
	adviseDump   = unix.MADV_CORE

	spaceLimit = unix.RLIMIT_AS
	lockLimit  = unix.RLIMIT_MEMLOCK

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }
