package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What darwin and ios have otherwise than mmap_posix.go. After macOS's mmap(2),
// msync(2), fcntl(2) and getrlimit(2), and bsd/kern/kern_mman.c, kern_descrip.c and
// osfmk/vm/vm_map.c of xnu. mmap(2) with MAP_FIXED keeps the old pages if it fails.

const (
	mapExactly   = 0
	takenIsVague = false
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unix.RLIMIT_DATA
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device (macOS maps none)"

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

// allocate is fcntl(2) with F_PREALLOCATE: in one piece if that can be had. It takes
// the blocks behind the last, without making the file longer. Holes stay.
func (h handle) allocate(off, n int64) error {
	from, end, err := h.lacks(off, n)
	if err != nil || from == end {
		return err
	}
	if from == off { // there may be a hole before it, which would be allocated too
		if size, err := h.size(); err != nil || size < off {
			return errors.ErrUnsupported
		}
	}
	for _, flags := range []uint32{unix.F_ALLOCATECONTIG | unix.F_ALLOCATEALL, unix.F_ALLOCATEALL} {
		err = call("fcntl", func() error {
			return unix.FcntlFstore(uintptr(h), unix.F_PREALLOCATE, preallocation(flags, from, end))
		})
		if err == nil {
			break
		}
	}
	for _, cannot := range []error{unix.ENOTSUP, unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL} {
		if errors.Is(err, cannot) {
			return errors.ErrUnsupported
		}
	}
	if err != nil {
		return err
	}
	size, err := h.size()
	if err != nil {
		return err
	}
	return lengthen(h, size, end)
}

// preallocation asks for the bytes from size, the end of the file, to end. They are
// counted from the end of what is allocated, which is at least there: so a little
// more may be taken, which goes back when the file is closed.
func preallocation(flags uint32, size, end int64) *unix.Fstore_t {
	return &unix.Fstore_t{Flags: flags, Posmode: unix.F_PEOFPOSMODE, Length: end - size}
}

func maxMappings() (name string, n int) { return "", manyMappings }
