package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

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
	dataLimit  = unlimited
	lockLimit  = unlimited // but by privilege and project

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }

// allocate leaves it to touching the pages: a store to a hole takes its space at
// once. fcntl(2) with F_ALLOCSP also sets the size,
// whatever others made of it meanwhile.
func (h handle) allocate(off, n int64) error { return errors.ErrUnsupported }

func maxMappings() (name string, n int) { return "", manyMappings }
