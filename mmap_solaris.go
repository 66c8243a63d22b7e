package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What Solaris and illumos have otherwise than mmap_posix.go. After their mmap(2),
// msync(3C), fsync(3C), madvise(3C) and getrlimit(2), and illumos's
// usr/src/uts/common/os/grow.c (choose_addr, smmap_common). What MAP_FIXED takes away
// and puts there is under a lock that every mmap(2) takes.

const (
	mapExactly   = 0
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE // else swap is set aside

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unlimited
	lockLimit  = unlimited // but by privilege and project

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }

// allocate leaves it to touching the pages: a store to a hole takes its space at
// once. fcntl(2) with F_ALLOCSP would also set the size, whatever others made of it
// meanwhile.
func (h handle) allocate(off, n int64) error { return errors.ErrUnsupported }

func maxMappings() (name string, n int) { return "", manyMappings }
