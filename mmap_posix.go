//go:build unix && !aix && (!linux || mmap_posix)

package mmap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// The plain POSIX ways, which darwin, the BSDs, Solaris and illumos take. With the
// build tag mmap_posix Linux takes them too, so that its tests run them.
//
// What one of these systems has otherwise stands in mmap_GOOS.go:
//
//	mapExactly          flags that keep mmap(2) from choosing another address; 0 if there are none, and the address is a hint
//	takenIsVague        when the address is taken, its error is one that could mean something else
//	mapNoReserve        flags that keep it from setting swap aside
//	aDevice             what a character device is called
//	msyncAndWait        flags of msync(2) for writing back, with the errors
//	msyncToStart        flags of msync(2) that start to; 0 if it would wait
//	adviseNoDump, adviseDump    advice of madvise(2) on core dumps; the same if there is none
//	spaceLimit, dataLimit, lockLimit    resources of getrlimit(2) that bound mappings, or unlimited
//	maxMappings()       the name of the limit on their number, "" if there is none, and the number
//	replacesInOneStep   mmap(2) with MAP_FIXED never leaves its range free meanwhile
//	failedFixedLeavesHole       when that fails, the range may be free
//	handle.sync(), handle.allocate(off, n)      see space.go

// msync(2) brings pages to the file system. What the file system and the disk still
// hold is the affair of fsync(2), which needs the file.
const syncsWithoutFile = false

const hasPools = false // of huge pages

// hasOwnID is not known: st_dev and st_ino are what a file system makes of them.
func (h handle) hasOwnID() bool { return false }

// sharing are the flags of mmap(2) that say who sees a store.
const sharing = unix.MAP_SHARED | unix.MAP_PRIVATE

// refusesFlags finds flags that contradict the rest: they would take addresses by
// force, or share what is to be private. What else a system does not know, its
// mmap(2) refuses.
func refusesFlags(h handle, q *request) string {
	shared, private := q.flags&sharing == unix.MAP_SHARED, q.flags&sharing == unix.MAP_PRIVATE
	switch {
	case q.flags&(unix.MAP_FIXED|mapExactly) != 0:
		return "has MAP_FIXED, or what is like it: use Addr"
	case h == noFile:
		return ""
	case q.flags&unix.MAP_ANON != 0:
		return "has MAP_ANON: use Anonymous"
	case !q.private && q.rights.store && private:
		return "has MAP_PRIVATE: use Mode CopyOnWrite"
	case q.private && shared:
		return "has MAP_SHARED: use Mode ReadWrite"
	}
	return ""
}

// privateBy reports whether flags make a mapping private, or if they say nothing,
// what was meant otherwise.
func privateBy(flags int, otherwise bool) bool {
	return otherwise || flags&sharing == unix.MAP_PRIVATE
}

func (q *request) mapFlags(memory bool) int {
	flags := q.flags
	switch {
	case flags&sharing != 0:
		// The caller's choice, such as shared anonymous memory.
	case q.private:
		flags |= unix.MAP_PRIVATE
	default:
		flags |= unix.MAP_SHARED
	}
	if memory {
		flags |= unix.MAP_ANON
	}
	if q.hidden {
		flags |= mapNoReserve // set no swap aside for what may never be used
	}
	return flags
}

// blockDeviceSize is not known: each of these systems has its own way to ask.
func (h handle) blockDeviceSize() (int64, error) { return 0, nil }

func (s *space) lockWhenThere(from, to uintptr) bool { return false }

func (h handle) writesBack() error { return nil }

// status is fstat(2).
func (h handle) status() (status, error) {
	st, err := h.stat()
	return statusOf(&st), err
}

// lacks returns the part of n bytes at off that the file does not have yet. Bytes
// that it has are left alone: the ways to allocate that POSIX systems have would
// write them anew, and take back what somebody stores meanwhile.
func (h handle) lacks(off, n int64) (from, end int64, err error) {
	size, err := h.size()
	end = off + n
	return min(max(off, size), end), end, err
}

// fsync is fsync(2).
func (h handle) fsync() error {
	return call("fsync", func() error { return unix.Fsync(int(h)) })
}

// syncFileSystem cannot be done: sync(2) need not wait.
func (h handle) syncFileSystem() error {
	return withLimit(os.NewSyscallError("fsync", errors.ErrUnsupported), "the file's name cannot be made durable, because its directory cannot be read")
}

// sync is msync(2). EINVAL is the answer for what cannot be synced because nothing
// has to be, such as the memory of devices.
func (s *space) sync(from, to uintptr) error {
	err := s.msync(from, to, msyncAndWait)
	if errors.Is(err, unix.EBUSY) { // pages that are locked stay, with MS_INVALIDATE too
		err = s.msync(from, to, unix.MS_SYNC)
	}
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// startSync is msync(2) with MS_ASYNC.
func (s *space) startSync(from, to uintptr, h handle, off int64) error {
	if msyncToStart == 0 {
		return nil
	}
	return s.msync(from, to, msyncToStart)
}

func (s *space) msync(from, to uintptr, flags int) error {
	return call("msync", func() error { return unix.Msync(s.from(from, to), flags) })
}

// populate has no system call that reports a page that could not be had:
// posix_madvise(3) with POSIX_MADV_WILLNEED reports nothing.
func (s *space) populate(from, to uintptr, store bool) error { return errors.ErrUnsupported }

// hugeHint does nothing: these systems choose the size of pages by themselves.
func (s *space) hugeHint() {}

// dump is madvise(2), where it knows advice on core dumps.
func (s *space) dump(from, to uintptr, on bool) {
	advice := adviseNoDump
	if on {
		advice = adviseDump
	}
	if from < to && adviseNoDump != adviseDump {
		s.madvise(from, to, advice)
	}
}

// giveBack is madvise(2) with MADV_FREE, and for the pages of a file, which must not
// be lost, MADV_DONTNEED, which here keeps what they hold. The memory is the first
// to go when others want some.
func (s *space) giveBack() {
	s.unlock(0, s.size)
	if s.memory {
		s.madvise(0, s.size, unix.MADV_FREE)
	} else {
		s.madvise(0, s.size, unix.MADV_DONTNEED)
	}
}

// giveUp would do without a mapping more: only Linux can.
func (s *space) giveUp() error { return errors.ErrUnsupported }

func (s *space) madvise(from, to uintptr, advice int) error {
	return call("madvise", func() error { return unix.Madvise(s.from(from, to), advice) })
}

// unmappableDevice reports whether the error of mmap(2) says so of a device: EINVAL
// is what the BSDs say of private mappings of one, or of a driver that has none.
func unmappableDevice(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIO)
}
