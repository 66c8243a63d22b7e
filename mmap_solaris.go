package mmap

import "golang.org/x/sys/unix"

// What Solaris and illumos have otherwise than mmap_posix.go.

const (
	mapExactly   = 0
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE // else swap is set aside

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	lockLimit  = unlimited // but by privilege and project

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }
