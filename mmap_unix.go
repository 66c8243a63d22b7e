//go:build unix && !aix

package mmap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The seam as POSIX has it. What a system does better stands in its own file.

// A space knows what it has of.
type system struct {
	memory bool // pages of no file
}

const (
	growsWithFile    = true
	unmapsNeighbours = true // munmap(2)
)

// A handle is a file descriptor.
type handle int

const noFile handle = -1

// Interrupted calls are made again, so many times.
const maxTries = 100

// call makes a system call, again if a signal interrupted it, and says in the
// error which call it was.
func call(name string, fn func() error) error {
	err := intercepted(name, fn)
	for try := 1; err == unix.EINTR && try < maxTries; try++ {
		err = intercepted(name, fn)
	}
	return os.NewSyscallError(name, err)
}

// openFlags keep an open from waiting for the other end of a pipe, and from
// making a terminal the process's own.
const openFlags = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

func openFile(name string, store bool) (handle, error) {
	flags := unix.O_RDONLY
	if store {
		flags = unix.O_RDWR
	}
	return openAt(unix.AT_FDCWD, name, flags, 0)
}

// openAt is openat(2). A file under a lease of fcntl(2) does not open without
// waiting: then it waits.
func openAt(dir int, name string, flags int, perm uint32) (handle, error) {
	var fd int
	open := func(flags int) error {
		return call("open", func() (err error) {
			fd, err = unix.Openat(dir, name, flags, perm)
			return err
		})
	}
	err := open(flags | openFlags)
	if errors.Is(err, unix.EAGAIN) {
		err = open(flags | openFlags&^unix.O_NONBLOCK)
	}
	if err != nil {
		return noFile, ofDescriptors(err)
	}
	return handle(fd), nil
}

// createFile finds the directory in which the file will have its name, symbolic
// links followed, opens it, and opens or makes the file there.
func createFile(name string, perm fs.FileMode) (c created, err error) {
	name = followed(name)
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	d := &directory{h: noFile, name: base}
	d.h, err = openAt(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil { // it may be one that can be entered, not read
		d.h, d.name = unix.AT_FDCWD, name
	}
	c.h, c.made, err = openOrMake(int(d.h), d.name, permissions(perm))
	if err != nil {
		d.close()
		return created{}, err
	}
	c.dir = d
	return c, nil
}

// openOrMake opens a file or makes it, and follows no symbolic link.
func openOrMake(dir int, name string, perm uint32) (h handle, made bool, err error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW
	for range maxTries { // while others make the file and remove it
		h, err = openAt(dir, name, flags, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return h, false, err
		}
		h, err = openAt(dir, name, flags|unix.O_CREAT|unix.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) {
			return h, true, err
		}
	}
	return noFile, false, err
}

// followed returns the name that the symbolic link of this name leads to, which
// need not be there.
func followed(name string) string {
	for range 40 { // as many as Linux follows
		to, err := os.Readlink(name)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			dir, _ := filepath.Split(name)
			to = dir + to // not cleaned: a ".." may follow another symbolic link
		}
		name = to
	}
	return name
}

func permissions(perm fs.FileMode) uint32 {
	bits := uint32(perm.Perm())
	for from, to := range map[fs.FileMode]uint32{fs.ModeSetuid: unix.S_ISUID, fs.ModeSetgid: unix.S_ISGID, fs.ModeSticky: unix.S_ISVTX} {
		if perm&from != 0 {
			bits |= to
		}
	}
	return bits
}

// A directory is where a file has its name.
type directory struct {
	h    handle // AT_FDCWD if it cannot be read
	name string // the file's, in it
}

// sync makes the file's name durable.
func (d *directory) sync(h handle) error {
	if d.h == unix.AT_FDCWD {
		return h.syncFileSystem()
	}
	err := call("fsync", func() error { return unix.Fsync(int(d.h)) })
	if errors.Is(err, unix.EINVAL) { // a file system that keeps names durable by itself, or not at all
		return nil
	}
	return err
}

// remove removes the file's name, unless it is another file's by now.
func (d *directory) remove(h handle, id fileID) {
	if id == (fileID{}) { // its status could not be asked for
		st, err := h.stat()
		if err != nil {
			return
		}
		id = statusOf(&st).id
	}
	var now unix.Stat_t
	err := call("fstatat", func() error { return unix.Fstatat(int(d.h), d.name, &now, unix.AT_SYMLINK_NOFOLLOW) })
	if err == nil && statusOf(&now).id == id {
		call("unlinkat", func() error { return unix.Unlinkat(int(d.h), d.name, 0) })
	}
}

func (d *directory) close() { d.h.close() }

func (h handle) stat() (st unix.Stat_t, err error) {
	err = call("fstat", func() error { return unix.Fstat(int(h), &st) })
	return st, err
}

// statusOf is what fstat(2) tells.
func statusOf(st *unix.Stat_t) status {
	s := status{
		id:       fileID{device: uint64(st.Dev), number: [2]uint64{uint64(st.Ino)}},
		size:     int64(st.Size),
		page:     uintptr(os.Getpagesize()),
		nameless: st.Nlink == 0,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.kind = regular
	case unix.S_IFBLK:
		s.kind, s.what = block, "a block device"
	case unix.S_IFDIR:
		s.kind, s.what, s.asks = other, "a directory", true
	case unix.S_IFIFO:
		s.kind, s.what, s.asks = other, "a pipe", true
	case unix.S_IFSOCK:
		s.kind, s.what, s.asks = device, "a socket", true
	case unix.S_IFCHR:
		s.kind, s.what = device, aDevice
	default:
		s.kind, s.what = device, "a file without a type"
	}
	return s
}

func (h handle) size() (int64, error) {
	st, err := h.stat()
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return h.blockDeviceSize()
	}
	return int64(st.Size), err
}

// permits says what mmap(2) would: an empty file is not mapped, and must not
// seem to be more than it is.
func (h handle) permits(r rights) error {
	var flags int
	err := call("fcntl", func() (err error) {
		flags, err = unix.FcntlInt(uintptr(h), unix.F_GETFL, 0)
		return err
	})
	access := flags & unix.O_ACCMODE
	if err == nil && (access == unix.O_WRONLY || access == unix.O_RDONLY && r.store) {
		err = notOpened(os.NewSyscallError("mmap", unix.EACCES))
	}
	return err
}

// notOpened says what EACCES of mmap(2) means.
func notOpened(err error) error {
	return withLimit(err, "the file must be open to read, and for ReadWrite to read and write (os.O_RDWR)")
}

// awaitSize makes two calls that change nothing and take the file's lock, under
// which its size changes. Linux stores a new size first and then zeroes the rest of
// the page in which the old one ended (pagecache_isize_extended in mm/truncate.c,
// 6.12 and later): a store of another process in between would be lost. ext4 and
// btrfs take the lock for a write of no bytes, xfs for such a read.
func (h handle) awaitSize() {
	call("pwrite", func() error { _, err := unix.Pwrite(int(h), nil, 0); return err })
	h.readAt(nil, 0)
}

func (h handle) truncate(n int64) error {
	return h.ofSeals(call("ftruncate", func() error { return unix.Ftruncate(int(h), n) }))
}

func (h handle) readAt(p []byte, off int64) (n int, err error) {
	err = call("pread", func() error {
		n, err = unix.Pread(int(h), p, off)
		return err
	})
	return n, err
}

func (h handle) close() error {
	if h < 0 || h == unix.AT_FDCWD { // which is not negative everywhere
		return nil
	}
	err := intercepted("close", func() error { return unix.Close(int(h)) })
	if err == unix.EINTR { // closed all the same; a second try could hit another's descriptor
		err = nil
	}
	return os.NewSyscallError("close", err)
}

func protection(r rights) int {
	prot := unix.PROT_READ
	if r.store {
		prot |= unix.PROT_WRITE
	}
	if r.execute {
		prot |= unix.PROT_EXEC
	}
	return prot
}

func mapSpace(h handle, q *request) (space, error) {
	if q.pool > 0 && !hasPools {
		return space{}, q.refused(os.NewSyscallError("mmap", errors.ErrUnsupported))
	}
	prot, flags := protection(q.rights), q.mapFlags(h == noFile)
	if q.hidden || q.pooled {
		prot = unix.PROT_NONE
	}
	how := mapAt
	if q.exact {
		how = mapThere
	}
	p, err := how(h, q.off, q.addr, q.size, prot, flags)
	if err != nil {
		return space{}, q.refused(h.ofSeals(err))
	}
	s := space{system{memory: h == noFile}, p, q.size}
	if q.pooled && !q.hidden {
		if err := s.allow(0, s.size, q.rights); err != nil {
			s.unmap()
			return space{}, err
		}
	}
	return s, nil
}

// mapThere is mapAt, at this address or not at all: EEXIST.
func mapThere(h handle, off int64, addr, size uintptr, prot, flags int) (unsafe.Pointer, error) {
	p, err := mapAt(h, off, addr, size, prot, flags|mapExactly)
	switch {
	case err == nil && uintptr(p) == addr:
		return p, nil
	case err == nil: // to this system the address is only a hint
		munmap(p, size)
	case takenIsVague && !errors.Is(err, unix.EEXIST):
		p, elsewhere := mapAt(h, off, 0, size, prot, flags)
		if elsewhere != nil { // it was not the address
			return nil, err
		}
		munmap(p, size)
	default:
		return nil, err
	}
	return nil, os.NewSyscallError("mmap", unix.EEXIST)
}

func mapAt(h handle, off int64, addr, size uintptr, prot, flags int) (p unsafe.Pointer, err error) {
	err = call("mmap", func() (err error) {
		// Not a conversion: to the checks of pointer arithmetic, address space
		// that Go knows nothing of is no pointer.
		p, err = unix.MmapPtr(int(h), off, *(*unsafe.Pointer)(unsafe.Pointer(&addr)), size, prot, flags)
		return err
	})
	return p, err
}

func munmap(p unsafe.Pointer, size uintptr) error {
	return call("munmap", func() error { return unix.MunmapPtr(p, size) })
}

func (s *space) mprotect(from, to uintptr, prot int) error {
	if from >= to {
		return nil
	}
	return call("mprotect", func() error { return unix.Mprotect(s.from(from, to), prot) })
}

// Where a mapping grows with its file there is nothing to fill, and nothing to fill
// it from.
type source struct{}

func (h handle) source(n uintptr, q *request) (source, error)        { return source{}, nil }
func (source) close()                                                {}
func (s *space) fill(from, to uintptr, src source, q *request) error { return nil }

func (s *space) allow(from, to uintptr, r rights) error {
	return limited(s.mprotect(from, to, protection(r)), to-from)
}

func (s *space) forbid(from, to uintptr) error { return s.mprotect(from, to, unix.PROT_NONE) }

// renew maps memory over the pages up to the end. They are ours, so MAP_FIXED takes
// them from nobody.
func (s *space) renew(from uintptr, flags int) error {
	_, err := mapAt(noFile, 0, uintptr(s.addr)+from, s.size-from, unix.PROT_NONE, flags|unix.MAP_FIXED)
	if err != nil && failedFixedLeavesHole {
		return s.mend(from, flags, err)
	}
	return err
}

// mend is for systems whose mmap(2) takes the old pages away before it finds that it
// has no new ones. It maps those into the hole. Where somebody else was faster, the
// pages are theirs: the space ends before them. But limits are looked at first, so
// when one of them stood in the way, nothing has changed.
func (s *space) mend(from uintptr, flags int, err error) error {
	_, again := mapThere(noFile, 0, uintptr(s.addr)+from, s.size-from, unix.PROT_NONE, flags)
	switch {
	case again == nil:
		return nil
	case !errors.Is(again, unix.EEXIST) || usedUp():
		return err
	}
	s.size = from
	return nil
}

func (s *space) discard(from uintptr, q *request) error {
	return limited(s.renew(from, q.mapFlags(true)), s.size-from)
}

func (s *space) bury(keep uintptr) error {
	if keep < s.size && munmap(unsafe.Add(s.addr, keep), s.size-keep) == nil {
		s.size = keep
	}
	if s.size == 0 {
		return nil
	}
	if failedFixedLeavesHole { // what may be forgotten is inaccessible before
		s.forbid(0, s.size)
	}
	if replacesInOneStep && s.renew(0, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve) == nil {
		return nil
	}
	return s.deny() // no mapping more is to be had, or others could come between
}

// deny splits no mapping as long as the system has not put the space together with
// its neighbours.
func (s *space) deny() error {
	err := s.forbid(0, s.size)
	if err != nil && s.giveUp() == nil {
		return nil
	}
	s.giveBack()
	return err
}

func (s *space) unmap() error { return munmap(s.addr, s.size) }

func (s *space) lock(from, to uintptr) error {
	err := call("mlock", func() error { return unix.Mlock(s.from(from, to)) })
	return ofLocks(err, to-from)
}

func (s *space) unlock(from, to uintptr) error {
	return call("munlock", func() error { return unix.Munlock(s.from(from, to)) })
}

// unmappable says what cannot be mapped, as far as the error of open(2) or mmap(2)
// tells.
func unmappable(err error) string {
	switch {
	case errors.Is(err, unix.EISDIR):
		return "a directory"
	case errors.Is(err, unix.ENXIO):
		return "a socket, or a device that is not there,"
	case errors.Is(err, unix.ENODEV):
		return "a file whose driver or file system has no mmap(2)"
	}
	return ""
}

func isBadAddress(err error) bool { return errors.Is(err, unix.EFAULT) }

// wantsSpace reports whether a call failed for want of address space or mappings.
func wantsSpace(err error) bool { return errors.Is(err, unix.ENOMEM) }

// lostWriteback reports whether an error of sync means that data is lost. The
// others mean that nothing was tried.
func lostWriteback(err error) bool {
	for _, harmless := range []error{unix.EINTR, unix.EINVAL, unix.ENOSYS, unix.EPERM, fs.ErrClosed, errors.ErrUnsupported} {
		if errors.Is(err, harmless) {
			return false
		}
	}
	return err != nil
}
