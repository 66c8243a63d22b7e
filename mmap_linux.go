//go:build linux && !mmap_posix

package mmap

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Linux has beyond POSIX, or does otherwise.

// mapExactly makes mmap(2) take the address or fail.
const mapExactly = unix.MAP_FIXED_NOREPLACE

const mapNoReserve = 0 // what has no access is charged to nobody

// msync(2) with MS_SYNC makes durable by itself, size included: it is
// fdatasync(2) of the file that was mapped, closed or not.
const syncsWithoutFile = true

const hasPools = true // of huge pages

// What mmap(2) with MAP_FIXED does.
const (
	replacesInOneStep     = true
	failedFixedLeavesHole = false
)

const takenIsVague = false // EEXIST it is

const aDevice = "a device"

// refusesFlags finds flags that contradict the rest: they would take addresses by
// force, share what is to be private, or do nothing.
func refusesFlags(h handle, q *request) string {
	sharing := q.flags & unix.MAP_TYPE
	private, shared := sharing == unix.MAP_PRIVATE, sharing == unix.MAP_SHARED || sharing == unix.MAP_SHARED_VALIDATE
	has := func(flags int) bool { return q.flags&flags != 0 }
	switch {
	case has(unix.MAP_FIXED | unix.MAP_FIXED_NOREPLACE):
		return "has MAP_FIXED or MAP_FIXED_NOREPLACE: use Addr"
	case has(unix.MAP_HUGETLB), uint32(q.flags)>>unix.MAP_HUGE_SHIFT != 0:
		return "has MAP_HUGETLB, or a size of huge pages: use HugePages"
	case has(unix.MAP_GROWSDOWN):
		return "has MAP_GROWSDOWN, and a region grows upwards: use Reserve"
	case has(mapSync) && (h == noFile || q.private || sharing != 0 && sharing != unix.MAP_SHARED_VALIDATE):
		return "has MAP_SYNC, which is for shared mappings of files: leave out MAP_SHARED, MAP_PRIVATE and CopyOnWrite"
	case h == noFile:
		return ""
	case has(unix.MAP_ANONYMOUS):
		return "has MAP_ANONYMOUS: use Anonymous"
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
	return otherwise || flags&unix.MAP_TYPE == unix.MAP_PRIVATE
}

func (q *request) mapFlags(memory bool) int {
	flags := q.flags
	switch {
	case flags&unix.MAP_TYPE != 0:
		// The caller's choice, such as shared anonymous memory.
	case q.private:
		flags |= unix.MAP_PRIVATE
	case flags != 0:
		flags |= unix.MAP_SHARED_VALIDATE // refuses flags it does not know; MAP_SYNC needs it
	default:
		flags |= unix.MAP_SHARED
	}
	if memory {
		flags |= unix.MAP_ANONYMOUS
	}
	if q.pool > 0 {
		flags |= unix.MAP_HUGETLB | bits.TrailingZeros(uint(q.pool))<<unix.MAP_HUGE_SHIFT
	}
	if (q.spare || q.sparse) && q.page > uintptr(os.Getpagesize()) {
		flags |= unix.MAP_NORESERVE // set no huge pages aside for what may never be used
	}
	return flags
}

// status is fstat(2), and fstatfs(2) where that can make a difference: on the file
// systems that are no disk's, which have 0 for a major device number.
func (h handle) status() (status, error) {
	st, err := h.stat()
	s := statusOf(&st)
	user := os.Geteuid()
	s.untold = user != 0 && uint32(user) != st.Uid // mincore(2) tells the owner, and who may write
	if err != nil || s.kind != regular || unix.Major(uint64(st.Dev)) != 0 {
		return s, err
	}
	var fs unix.Statfs_t
	if call("fstatfs", func() error { return unix.Fstatfs(int(h), &fs) }) != nil {
		s.lingers = true // then it is a file like others, or FUSE's
		return s, nil
	}
	switch uint32(fs.Type) {
	case unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC:
		s.lingers = true
	case unix.HUGETLBFS_MAGIC:
		s.page = uintptr(fs.Bsize) // it calls its huge pages blocks
		s.pooled = true            // see hugetlbfs_file_mmap and hugetlbfs_setattr in fs/hugetlbfs/inode.c
	case unix.PROC_SUPER_MAGIC:
		s.kind, s.what = device, "a file of procfs (most can only be read, with os.ReadFile)"
	case unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC:
		s.kind, s.what = device, "a file of the kernel's own"
	}
	return s, nil
}

// hasOwnID is fstatfs(2). These file systems number their files themselves, each file
// once. overlayfs has one number for a file and the copy that a store makes of it; what
// FUSE, NFS and 9p have for one, a server says.
func (h handle) hasOwnID() bool {
	var fs unix.Statfs_t
	if call("fstatfs", func() error { return unix.Fstatfs(int(h), &fs) }) != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.HUGETLBFS_MAGIC:
		return true
	}
	return false
}

// blockDeviceSize is ioctl(2) with BLKGETSIZE64.
func (h handle) blockDeviceSize() (int64, error) {
	var n uint64
	err := call("ioctl", func() error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(h), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&n)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	return int64(n), err
}

// allocate is fallocate(2). It starts anew when a signal interrupts it, so where
// signals keep coming it gets nowhere: then it counts as what the file system
// cannot do.
func (h handle) allocate(off, n int64) error {
	err := call("fallocate", func() error { return unix.Fallocate(int(h), 0, off, n) })
	for _, cannot := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EINTR} {
		if errors.Is(err, cannot) {
			return errors.ErrUnsupported
		}
	}
	if err == nil {
		return nil
	}
	if pool, is := h.hugetlbfs(); is {
		h.giveBack(off, n, pool.page)
		return withLimit(err, pool.String())
	}
	return err
}

// giveBack returns the huge pages that allocate got before there were no more:
// hugetlbfs keeps them in the file, behind its end. Nothing else is there, but in the
// page in which the file ends.
func (h handle) giveBack(off, n, page int64) {
	size, err := h.size()
	if err != nil {
		return
	}
	up := func(n int64) int64 { return (n + page - 1) / page * page }
	if from, to := up(max(off, size)), up(off+n); from < to {
		call("fallocate", func() error {
			return unix.Fallocate(int(h), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
		})
	}
}

// A hugetlbfs is a file system whose files have pages of a pool.
type hugetlbfs struct {
	page       int64
	most, free uint64 // pages that this mount may have; 0 if all that there are
}

func (h handle) hugetlbfs() (f hugetlbfs, is bool) {
	var fs unix.Statfs_t
	err := call("fstatfs", func() error { return unix.Fstatfs(int(h), &fs) })
	return hugetlbfs{int64(fs.Bsize), uint64(fs.Blocks), uint64(fs.Bfree)}, err == nil && uint32(fs.Type) == unix.HUGETLBFS_MAGIC
}

// String says why there may be no page to be had.
func (f hugetlbfs) String() string {
	text := poolState(uintptr(f.page))
	if f.most > 0 {
		text += fmt.Sprintf("; the file system was mounted to have at most %d, of which %d are free", f.most, f.free)
	}
	return text
}

func (h handle) sync() error { return call("fsync", func() error { return unix.Fsync(int(h)) }) }

// writesBack is fstatfs(2) on a disk. When ext4 is forced to be read-only (SysRq-U), it
// takes stores, leaves them unwritten, and msync(2) reports success.
func (h handle) writesBack() error {
	st, err := h.stat()
	if err != nil || unix.Major(uint64(st.Dev)) == 0 {
		return nil
	}
	var fs unix.Statfs_t
	err = call("fstatfs", func() error { return unix.Fstatfs(int(h), &fs) })
	if err != nil || fs.Flags&unix.ST_RDONLY == 0 {
		return nil
	}
	return os.NewSyscallError("msync", unix.EROFS)
}

func (h handle) syncFileSystem() error {
	return call("syncfs", func() error { return unix.Syncfs(int(h)) })
}

// sync is msync(2). EINVAL is the answer for what cannot be synced because nothing
// has to be, such as the memory of devices.
func (s *space) sync(from, to uintptr) error {
	err := call("msync", func() error { return unix.Msync(s.from(from, to), unix.MS_SYNC) })
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

const mlockOnFault = 1 // MLOCK_ONFAULT, which x/sys/unix lacks

// lockWhenThere is mlock2(2) with MLOCK_ONFAULT, since Linux 4.4. mlock(2) tries again
// without end to read a page that the disk cannot supply.
func (s *space) lockWhenThere(from, to uintptr) bool {
	return call("mlock2", func() error {
		_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(s.addr)+from, to-from, mlockOnFault)
		if errno != 0 {
			return errno
		}
		return nil
	}) == nil
}

// startSync is sync_file_range(2): msync(2) with MS_ASYNC does nothing on Linux.
func (s *space) startSync(from, to uintptr, h handle, off int64) error {
	return call("sync_file_range", func() error {
		return unix.SyncFileRange(int(h), off, int64(to-from), unix.SYNC_FILE_RANGE_WRITE)
	})
}

// populate is madvise(2) with MADV_POPULATE_READ or MADV_POPULATE_WRITE, since
// Linux 5.14. Unlike MAP_POPULATE they report what they could not do. Where signals
// keep coming, it counts as what the system cannot do: see allocate.
func (s *space) populate(from, to uintptr, store bool) error {
	advice := unix.MADV_POPULATE_READ
	if store {
		advice = unix.MADV_POPULATE_WRITE
	}
	err := s.madvise(from, to, advice)
	for _, cannot := range []error{unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.EINTR} {
		if errors.Is(err, cannot) {
			return errors.ErrUnsupported
		}
	}
	return err
}

func (s *space) hugeHint() { s.madvise(0, s.size, unix.MADV_HUGEPAGE) }

func (s *space) dump(from, to uintptr, on bool) {
	advice := unix.MADV_DONTDUMP
	if on {
		advice = unix.MADV_DODUMP
	}
	if from < to {
		s.madvise(from, to, advice)
	}
}

// giveBack gives the memory of private pages back, and lets go of those of a file.
// What is locked is not given back.
func (s *space) giveBack() {
	s.unlock(0, s.size)
	s.madvise(0, s.size, unix.MADV_DONTNEED)
}

// giveUp is giveBack, and makes the pages inaccessible within whatever mapping they
// are in (MADV_GUARD_INSTALL, since Linux 6.13, and 6.15 for files).
func (s *space) giveUp() error {
	s.unlock(0, s.size)
	return s.madvise(0, s.size, unix.MADV_GUARD_INSTALL)
}

func (s *space) madvise(from, to uintptr, advice int) error {
	return call("madvise", func() error { return unix.Madvise(s.from(from, to), advice) })
}

// unmappableDevice reports whether the error of mmap(2) says so of a device.
func unmappableDevice(err error) bool { return errors.Is(err, unix.EIO) }
