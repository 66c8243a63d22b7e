package mmap

import "golang.org/x/sys/unix"

// What NetBSD has otherwise than mmap_posix.go. MAP_TRYFIXED is a hint too, which
// the system heeds more often; see mmap(2).

const (
	mapExactly   = unix.MAP_TRYFIXED // a stronger hint
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	lockLimit  = unix.RLIMIT_MEMLOCK

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }
