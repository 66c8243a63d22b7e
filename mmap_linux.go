package mmap

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// What Linux has beyond POSIX.

// mapExactly makes mmap(2) take the address or fail.
const mapExactly = unix.MAP_FIXED_NOREPLACE

// maxSpace bounds the bytes of one mapping, so that sums with offsets and page
// sizes cannot overflow; the system may allow less.
//
// On 64-bit machines that is 2^47 bytes: no more is handed out without asking
// for a high address, which only some have.
const maxSpace = math.MaxInt>>(16*is64) - 1<<21 + 1

// checkFlags refuses flags that contradict the rest: they would take addresses
// by force, or share what Mode says is private.
func (c Config) checkFlags(name string, k kind) error {
	sharing := c.Flags & unix.MAP_TYPE
	private, shared := sharing == unix.MAP_PRIVATE, sharing == unix.MAP_SHARED || sharing == unix.MAP_SHARED_VALIDATE
	switch {
	case c.Flags&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) != 0:
		return failf(errors.ErrUnsupported, "map %s: Flags %#x has MAP_FIXED or MAP_FIXED_NOREPLACE: use Addr", name, c.Flags)
	case k == anonymous:
	case c.Flags&unix.MAP_ANONYMOUS != 0:
		return failf(errors.ErrUnsupported, "map %s: Flags %#x has MAP_ANONYMOUS: use Anonymous", name, c.Flags)
	case c.Mode == ReadWrite && private, c.Mode == CopyOnWrite && shared:
		return failf(errors.ErrUnsupported, "map %s: Flags %#x contradicts Mode %v", name, c.Flags, c.Mode)
	}
	return nil
}

// checkAccess says what mmap(2) would of a file that is not open for what mode
// needs: an empty file is not mapped.
func (h handle) checkAccess(mode Mode) error {
	flags, err := unix.FcntlInt(uintptr(h), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	access := flags & unix.O_ACCMODE
	if access == unix.O_WRONLY || access == unix.O_RDONLY && mode == ReadWrite {
		return unix.EACCES
	}
	return nil
}

// mapFlags returns the flags of mmap(2) for the mapping. partly says that
// there is address space beyond what is asked for now.
func (m *mapping) mapFlags(partly bool) int {
	flags := m.config.Flags
	switch {
	case flags&unix.MAP_TYPE != 0:
		// The caller's choice, such as shared anonymous memory.
	case m.private():
		flags |= unix.MAP_PRIVATE
	case flags != 0:
		flags |= unix.MAP_SHARED_VALIDATE // refuses flags it does not know; MAP_SYNC needs it
	default:
		flags |= unix.MAP_SHARED
	}
	if m.kind == anonymous {
		flags |= unix.MAP_ANONYMOUS
	}
	switch m.config.HugePages {
	case HugePages2M:
		flags |= unix.MAP_HUGETLB | 21<<unix.MAP_HUGE_SHIFT
	case HugePages1G:
		flags |= unix.MAP_HUGETLB | 30<<unix.MAP_HUGE_SHIFT
	}
	if partly && m.page > uintptr(os.Getpagesize()) {
		flags |= unix.MAP_NORESERVE // set no huge pages aside for what may never be used
	}
	return flags
}

// filePageSize returns the size of the pages that back a mapping of f: those of
// hugetlbfs are huge, and it calls them blocks.
func filePageSize(f *os.File) (int64, error) {
	page := int64(os.Getpagesize())
	var st unix.Statfs_t
	err := control(f, func(h handle) error {
		return retry(func() error { return unix.Fstatfs(int(h), &st) })
	})
	if err != nil {
		return 0, &os.PathError{Op: "fstatfs", Path: f.Name(), Err: err}
	}
	if uint32(st.Type) == unix.HUGETLBFS_MAGIC {
		page = int64(st.Bsize)
	}
	return page, nil
}

// adviseHuge is madvise(2) with MADV_HUGEPAGE.
func adviseHuge(m *mapping) error {
	if err := unix.Madvise(m.pages(0, m.cap), unix.MADV_HUGEPAGE); err != nil {
		return m.pathError("madvise", err)
	}
	return nil
}

// populatePages is madvise(2) with MADV_POPULATE_READ or MADV_POPULATE_WRITE,
// which unlike MAP_POPULATE report what they could not do. They are
// errors.ErrUnsupported before Linux 5.14, and for the memory of devices.
func populatePages(b []byte, store bool) error {
	advice := unix.MADV_POPULATE_READ
	if store {
		advice = unix.MADV_POPULATE_WRITE
	}
	err := retry(func() error { return unix.Madvise(b, advice) })
	if err == unix.EINVAL {
		return errors.ErrUnsupported
	}
	return err
}

// allocate is fallocate(2): it gives the file disk blocks for n bytes at off,
// extending it if need be, or returns errors.ErrUnsupported where the file
// system cannot.
func (h handle) allocate(off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(h), 0, off, n) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return errors.ErrUnsupported
	}
	return err
}

func (h handle) syncFileSystem() error {
	return retry(func() error { return unix.Syncfs(int(h)) })
}

// startWriteback is sync_file_range(2) with SYNC_FILE_RANGE_WRITE.
func (h handle) startWriteback(off, n int64) error {
	return retry(func() error { return unix.SyncFileRange(int(h), off, n, unix.SYNC_FILE_RANGE_WRITE) })
}
