//go:build linux

package mmap

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What POSIX says of mapping, for systems that follow it. The functions below
// that take pages want them whole, as mapping.pages returns them.

// openFlags keeps Open from waiting for the other end of a pipe, and from
// making a terminal the process's own.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

// fileID is what stays the same of a file as long as it is open: device and
// inode.
type fileID struct{ dev, ino uint64 }

func identify(fi os.FileInfo) fileID {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}
}

func isBadAddress(err error) bool { return errors.Is(err, unix.EFAULT) }
func isNoMemory(err error) bool   { return errors.Is(err, unix.ENOMEM) }

// A handle is a descriptor. Its methods return the bare errno.
type handle int

// control calls fn with f's descriptor, which stays open meanwhile.
func control(f *os.File, fn func(h handle) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := c.Control(func(fd uintptr) { callErr = fn(handle(fd)) }); err != nil {
		return err
	}
	return callErr
}

// retry calls fn until no signal interrupts it.
func retry(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

// duplicate returns a second descriptor of f, closed on exec.
func duplicate(f *os.File) (dup handle, err error) {
	err = control(f, func(h handle) error {
		fd, err := unix.FcntlInt(uintptr(h), unix.F_DUPFD_CLOEXEC, 0)
		dup = handle(fd)
		return err
	})
	if err != nil {
		return 0, &os.PathError{Op: "fcntl", Path: f.Name(), Err: err}
	}
	return dup, nil
}

func (h handle) size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(h), &st); err != nil {
		return 0, err
	}
	return st.Size, nil
}

func (h handle) truncate(n int64) error {
	return retry(func() error { return unix.Ftruncate(int(h), n) })
}

func (h handle) sync() error { return retry(func() error { return unix.Fsync(int(h)) }) }

func (h handle) close() error { return unix.Close(int(h)) }

// syncDirectory makes the names in the directory durable.
func syncDirectory(d *os.File) error {
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: the file system cannot
		return err
	}
	return nil
}

func protection(mode Mode, exec bool) int {
	prot := unix.PROT_READ
	if mode != ReadOnly {
		prot |= unix.PROT_WRITE
	}
	if exec {
		prot |= unix.PROT_EXEC
	}
	return prot
}

// mapPages reserves the mapping's address space and maps f there, or memory if
// f is nil. The first length bytes of the region are accessible afterwards; so
// may be what a shared file grows into.
func (m *mapping) mapPages(f *os.File, length int64) error {
	prot := protection(m.config.Mode, m.config.Exec)
	flags := m.mapFlags(length < int64(m.cap))
	partly := m.private() && length < int64(m.cap)
	if partly {
		prot = unix.PROT_NONE
	}
	call := func(h handle) error {
		return retryAfterCollection(func() (err error) {
			m.addr, err = m.mmap(prot, flags, h)
			return err
		})
	}
	var err error
	if f == nil {
		err = call(-1)
	} else {
		err = control(f, call)
	}
	if err != nil {
		return m.pathError("mmap", err)
	}
	m.base = unsafe.Add(m.addr, m.slack)
	if !partly {
		m.reach = m.size
		return nil
	}
	if err := m.commit(length); err != nil {
		m.unmap()
		return err
	}
	return nil
}

// private reports whether the pages belong to this mapping only, and so count
// against the system's memory when they are writable.
func (m *mapping) private() bool {
	return m.kind == anonymous || m.config.Mode == CopyOnWrite || m.config.Flags&unix.MAP_TYPE == unix.MAP_PRIVATE
}

// mmap is mmap(2), at config.Addr exactly unless that is 0.
func (m *mapping) mmap(prot, flags int, h handle) (unsafe.Pointer, error) {
	var addr uintptr
	if m.config.Addr != 0 {
		addr = m.config.Addr - m.slack
		flags |= mapExactly
	}
	// Not a conversion: to the checks of pointer arithmetic, address space that
	// Go knows nothing of is no pointer.
	p, err := unix.MmapPtr(int(h), m.config.Offset-int64(m.slack), *(*unsafe.Pointer)(unsafe.Pointer(&addr)), m.size, prot, flags)
	if addr == 0 {
		return p, err
	}
	if err == nil && uintptr(p) != addr {
		// A kernel before Linux 4.17 takes the address for a hint.
		unix.MunmapPtr(p, m.size)
		err = unix.EEXIST
	}
	if err != nil {
		return nil, fmt.Errorf("%d bytes at address %#x: %w", m.size, addr, err)
	}
	return p, nil
}

// mprotect is mprotect(2) for the bytes from one offset to another, counted from
// addr in whole pages.
func (m *mapping) mprotect(from, to uintptr, prot int) error {
	if from >= to {
		return nil
	}
	if err := unix.Mprotect(unsafe.Slice((*byte)(unsafe.Add(m.addr, from)), to-from), prot); err != nil {
		return m.pathError("mprotect", err)
	}
	return nil
}

// commit gives access to the pages of the first n bytes. Pages of a shared file
// have it from the start, unless they were fenced.
func (m *mapping) commit(n int64) error {
	end := m.pagesOf(n)
	if end <= m.reach {
		return nil
	}
	if err := m.mprotect(m.reach, end, protection(Mode(m.mode.Load()), m.config.Exec)); err != nil {
		return err
	}
	if m.config.HugePages >= HugePages2M {
		// Reserved huge pages are not set aside for the mapping, so take them.
		b := unsafe.Slice((*byte)(unsafe.Add(m.addr, m.reach)), end-m.reach)
		if err := populatePages(b, true); err != nil {
			return m.pathError("madvise", err)
		}
	}
	m.reach = end
	return nil
}

// fence takes access to the pages beyond the first n bytes.
func (m *mapping) fence(n int64) error {
	end := m.pagesOf(n)
	if err := m.mprotect(end, m.reach, unix.PROT_NONE); err != nil {
		return err
	}
	m.reach = min(m.reach, end)
	return nil
}

// decommit gives the anonymous pages beyond the first n bytes back.
func (m *mapping) decommit(n int64) error {
	end := m.pagesOf(n)
	if end >= m.reach {
		return nil
	}
	if _, err := unix.MmapPtr(-1, 0, unsafe.Add(m.addr, end), m.size-end, unix.PROT_NONE, m.mapFlags(true)|unix.MAP_FIXED); err != nil {
		return m.pathError("mmap", err)
	}
	m.reach = end
	if m.config.HugePages == TransparentHugePages {
		adviseHuge(m) // a hint
	}
	return nil
}

// bury replaces the mapping by a tombstone, in one step. The address space is
// ours, so MAP_FIXED takes it from nobody.
func (m *mapping) bury() error {
	_, err := unix.MmapPtr(-1, 0, m.addr, m.size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED)
	return err
}

func (m *mapping) unmap() error { return unix.MunmapPtr(m.addr, m.size) }

// protect sets the access that mode means for all pages that have any.
func (m *mapping) protect(mode Mode) error {
	return m.mprotect(0, m.reach, protection(mode, m.config.Exec))
}

func syncPages(b []byte) error { return retry(func() error { return unix.Msync(b, unix.MS_SYNC) }) }

func lockPages(b []byte) error { return retry(func() error { return unix.Mlock(b) }) }
