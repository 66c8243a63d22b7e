package mmap

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// What FreeBSD has otherwise than mmap_posix.go. After its mmap(2), msync(2), fsync(2),
// madvise(2), posix_fallocate(2) and getrlimit(2), and sys/vm/vm_mmap.c and vm_map.c
// (vm_mmap_object, vm_map_fixed).

const (
	mapExactly   = unix.MAP_FIXED | unix.MAP_EXCL
	takenIsVague = true // EINVAL or ENOMEM
	mapNoReserve = 0    // what has no access is charged to nobody

	msyncAndWait = unix.MS_SYNC
	msyncToStart = unix.MS_ASYNC

	adviseNoDump = unix.MADV_NOCORE
	adviseDump   = unix.MADV_CORE

	spaceLimit = unix.RLIMIT_AS
	dataLimit  = unlimited
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

func (h handle) sync() error { return h.fsync() }

// allocate is posix_fallocate(2), whose result is the error. On file systems without
// a way of their own it writes the bytes that are there anew: see lacks. ZFS has
// nothing to promise, and says EINVAL.
func (h handle) allocate(off, n int64) error {
	from, end, err := h.lacks(off, n)
	if err != nil || from == end {
		return err
	}
	err = call("posix_fallocate", func() error {
		a := fallocateWords(h, from, end-from, runtime.GOARCH)
		result, _, errno := unix.Syscall6(unix.SYS_POSIX_FALLOCATE, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno == 0 {
			errno = unix.Errno(result)
		}
		if errno != 0 {
			return errno
		}
		return nil
	})
	for _, cannot := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.ENODEV, unix.EINTR} {
		if errors.Is(err, cannot) {
			return errors.ErrUnsupported
		}
	}
	return err
}

// fallocateWords are the arguments of posix_fallocate(2). On 32-bit machines each
// 64-bit number takes two, the lower first; on arm it begins with an even one.
func fallocateWords(h handle, off, n int64, arch string) [6]uintptr {
	fd := uintptr(h)
	switch arch {
	case "386":
		return [6]uintptr{fd, uintptr(off), uintptr(off >> 32), uintptr(n), uintptr(n >> 32)}
	case "arm":
		return [6]uintptr{fd, 0, uintptr(off), uintptr(off >> 32), uintptr(n), uintptr(n >> 32)}
	}
	return [6]uintptr{fd, uintptr(off), uintptr(n)}
}

func maxMappings() (name string, n int) { return "", manyMappings }
