package mmap

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// The seam as Windows has it, from 10 (1803) and Server 2019 on. What is done
// before those stands in mmap_windows_old.go.
//
// # Placeholders
//
// A view ends where its file ended when it was mapped, so a space is made of pieces:
// free placeholders, views and memory. Address space is reserved as one placeholder.
// To map a part of it, the part is split off (VirtualFree with
// MEM_PRESERVE_PLACEHOLDER) and replaced by a view (MapViewOfFile3 with
// MEM_REPLACE_PLACEHOLDER). That needs whole pages and nothing more: neither the
// address nor the offset has to be a multiple of the 64 KiB of granularity. A
// view becomes a placeholder again in one step, and no address is ever free for
// others in between.
//
// # The last page of a file, and the way to grow behind it
//
// A section has the bytes of its file, and a view must end with its section, or in
// whole pages before that. So the view of the last page is asked for "up to the
// end", and the system rounds up. When the file grows, that view stays: all views
// of a file have the same pages in memory, so the bytes behind the old end come to
// life in it. What the file has beyond that page is a view of its own, behind it,
// of a section that is as long as the file is by then.
//
// # Many small growths
//
// Every growth beyond the last page is one view more. They are not merged while the
// region is open: for a moment there would be no view, and an access that the
// program may make would fault. Nor can a section reach beyond the file's end: one
// that does makes the file grow. No limit to the number of views is documented; what
// walks through them finds the first by bisection. FlushViewOfFile, VirtualLock and
// VirtualProtect take one view at a time. Close puts the placeholders together, so
// that a tombstone is one.
//
// 10,000 growths by a page, under Wine 10: each takes 1.4 ms, as the first does.
// Afterwards Sync of all takes 45 ms, Protect 25 ms, a fault under Guard 50 µs, and
// Close 1.8 s. What that is on Windows is not measured.
//
// # Memory
//
// Memory is reserved in the place of a placeholder, at least as much as there is
// already, so that there are few pieces, and committed as the region grows. To
// decommit is to discard, and to bury.
//
// # What may wait for a disk
//
// CreateFileMapping and the question for a file's size may: handle.source makes both,
// without the lock that Close takes. To map and to unmap a view is taken for the work
// of memory, though unproven. VirtualLock reads pages in, and Windows may let an
// unmapping of the same process wait for it; that wait is the system's.
//
// # Core dumps
//
// A placeholder has no pages, and neither has memory that is reserved and not
// committed. So no dump has what lies beyond Len, and WerRegisterExcludedMemoryBlock
// is not needed.
//
// # Where the facts are from
//
// Placeholders, their splitting and replacing: Microsoft's pages of memoryapi.h,
// VirtualAlloc2, VirtualFree, MapViewOfFile3 and UnmapViewOfFile2. That a read-write
// section which is larger than its file makes the file grow: CreateFileMappingW. That
// a mapped file is not made shorter: SetEndOfFile. That views of one file are
// coherent: "File Mapping", and MapViewOfFile. All ran under Wine 10. Not documented,
// and proven under Wine only: that a view of the last page may be asked for with size
// 0 in the place of a placeholder, and that its bytes behind the file's old end come
// to life.
//
// # What Windows cannot do
//
// Nobody can shorten a file while a view of it is left, wherever: see handle.truncate.
// Close turns one view after the other into a placeholder, so a region that has
// grown is not buried in a single step; each page of it is.

const (
	growsWithFile    = false
	syncsWithoutFile = false
	unmapsNeighbours = false
)

// address returns the address of an offset.
func (s *space) address(off uintptr) uintptr { return uintptr(s.addr) + off }

// protection is what rights mean. Pages that are private to a view are copied when
// they are stored to.
func protection(r rights, private bool) uint32 {
	p := uint32(windows.PAGE_READONLY)
	switch {
	case r.store && private:
		p = windows.PAGE_WRITECOPY
	case r.store:
		p = windows.PAGE_READWRITE
	}
	if r.execute {
		p <<= 4 // PAGE_EXECUTE_READ and so on
	}
	return p
}

// mapSpace reserves address space. Files are mapped into it by fill, and memory is
// committed by allow.
func mapSpace(h handle, q *request) (space, error) {
	if q.pool > 0 {
		return space{}, q.refused(os.NewSyscallError("VirtualAlloc2", errors.ErrUnsupported))
	}
	if !placeholders() {
		return mapOld(h, q)
	}
	// An exact address need only be a multiple of the page: what is reserved
	// before it is given back.
	lead := q.addr % granularity()
	at, err := reserve(q.addr-lead, q.size+lead)
	if err != nil && q.addr != 0 && !q.exact {
		lead = 0
		at, err = reserve(0, q.size)
	}
	if err != nil {
		return space{}, q.refused(err)
	}
	if lead > 0 {
		if err := free(at, lead, windows.MEM_RELEASE|memPreservePlaceholder); err != nil {
			free(at, 0, windows.MEM_RELEASE)
			return space{}, q.refused(err)
		}
		free(at, 0, windows.MEM_RELEASE)
	}
	list := []spacePiece{{to: q.size}}
	return space{system{&pieces{memory: h == noFile, list: list}}, pointerTo(at + lead), q.size}, nil
}

// A source is a section of a file.
type source struct {
	section windows.Handle // 0: there is none
	size    int64          // of the file, just before
	wide    rights         // that a view of it may have
}

// source opens a section that allows as much as the file does: what Protect may ask
// for later, a view must have from the beginning. It asks the file system, so it may
// wait.
func (h handle) source(n uintptr, q *request) (source, error) {
	size, err := h.size()
	if err != nil {
		return source{}, err
	}
	src := source{size: size, wide: rights{store: true, execute: q.rights.execute}}
	src.section, err = h.section(protection(src.wide, q.private), 0)
	if isCode(err, windows.ERROR_ACCESS_DENIED) && !q.rights.store {
		src.wide.store = false
		src.section, err = h.section(protection(src.wide, q.private), 0)
	}
	return src, notOpened(limited(err, n))
}

func (src source) close() {
	call("CloseHandle", func() error { return windows.CloseHandle(src.section) })
}

func (s *space) fill(from, to uintptr, src source, q *request) error {
	if s.memory {
		return nil // allow does it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eachFree(from, to, func(i int, from, to uintptr) error {
		return s.mapView(i, from, to, src, q)
	})
}

// mapView replaces a part of the free piece i by the file's bytes.
func (s *space) mapView(i int, from, to uintptr, src source, q *request) error {
	off := q.off + int64(from)
	left := src.size - off // bytes of the file from there on
	if left <= int64(to-from-q.page) {
		return shorter(src.size, off+int64(to-from))
	}
	i, err := s.carve(i, from, to)
	if err != nil {
		return limited(err, to-from)
	}
	sizes := []uintptr{to - from}
	if left < int64(to-from) {
		// Up to the end of the section: see the head of this file. If the file
		// has grown meanwhile that is too much, and the bytes that were counted
		// are what is left to ask for.
		sizes = []uintptr{0, uintptr(left)}
	}
	access := protection(src.wide, q.private)
	for _, n := range sizes {
		if err = mapIn(src.section, s.address(from), off, n, access); err == nil {
			s.list[i] = spacePiece{from: from, to: to, what: viewPiece, store: src.wide.store, private: q.private, access: access}
			return nil
		}
	}
	return limited(err, to-from)
}

// reserveMemory replaces free pieces by memory, and more behind them, so that many
// small growths make few pieces.
func (s *space) reserveMemory(from, to uintptr) error {
	return s.eachFree(from, to, func(i int, from, to uintptr) error {
		to = min(max(to, from+from), s.list[i].to)
		i, err := s.carve(i, from, to)
		if err == nil {
			err = reserveIn(s.address(from), to-from)
		}
		if err == nil {
			s.list[i] = spacePiece{from: from, to: to, what: memoryPiece, committed: from}
		}
		return err
	})
}

func (s *space) allow(from, to uintptr, r rights) error {
	if from >= to {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory {
		if err := s.reserveMemory(from, to); err != nil {
			return limited(err, to-from)
		}
	}
	first, last := s.overlapping(from, to)
	for i := first; i < last; i++ {
		c := &s.list[i]
		if err := s.allowIn(c, max(c.from, from), min(c.to, to), r); err != nil {
			return limited(err, to-from)
		}
	}
	return nil
}

// allowIn gives access to a part of a piece.
func (s *space) allowIn(c *spacePiece, from, to uintptr, r rights) error {
	switch c.what {
	case viewPiece:
		if r.store && !c.store {
			return os.NewSyscallError("VirtualProtect", windows.ERROR_ACCESS_DENIED)
		}
		return s.protectView(c, from, to, protection(r, c.private))
	case memoryPiece:
		if from < c.committed {
			if err := protect(s.address(from), min(to, c.committed)-from, protection(r, false)); err != nil {
				return err
			}
		}
		if to > c.committed {
			at := max(from, c.committed)
			if _, err := alloc(s.address(at), to-at, windows.MEM_COMMIT, protection(r, false)); err != nil {
				return err
			}
			c.committed = to
		}
	}
	return nil
}

// protectView is VirtualProtect of a part of a view.
func (s *space) protectView(c *spacePiece, from, to uintptr, access uint32) error {
	if c.access == access {
		return nil
	}
	if err := protect(s.address(from), to-from, access); err != nil {
		return err
	}
	c.access = 0
	if from == c.from && to == c.to {
		c.access = access
	}
	return nil
}

// forbid gives whole views that share their stores back: the file keeps what they
// have, and may be made shorter when none is left. fill maps them again.
func (s *space) forbid(from, to uintptr) error {
	if from >= to {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := s.overlapping(from, to)
	for i := first; i < last; i++ {
		c := &s.list[i]
		a, b := max(c.from, from), min(c.to, to)
		var err error
		switch {
		case c.what == memoryPiece:
			if b = min(b, c.committed); a < b {
				err = protect(s.address(a), b-a, windows.PAGE_NOACCESS)
			}
		case c.what == viewPiece && a == c.from && b == c.to && !c.private && placeholders():
			if err = unmapTo(s.address(a)); err == nil {
				*c = spacePiece{from: a, to: b}
			}
		case c.what == viewPiece:
			err = s.protectView(c, a, b, windows.PAGE_NOACCESS)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *space) discard(from uintptr, q *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.decommit(from)
}

// decommit takes the memory away, but not its address space, from an offset on.
func (s *space) decommit(from uintptr) error {
	for i := range s.list {
		c := &s.list[i]
		if a := max(c.from, from); c.what == memoryPiece && a < c.committed {
			if err := free(s.address(a), c.committed-a, windows.MEM_DECOMMIT); err != nil {
				return err
			}
			c.committed = a
		}
	}
	return nil
}

func (s *space) bury(keep uintptr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.takeAll()
	s.coalesce()
	s.releaseFrom(keep)
	return err
}

func (s *space) deny() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeAll()
}

// takeAll takes the access to all pages, and what they have, but not their address
// space. What cannot be given back is made inaccessible.
func (s *space) takeAll() (failed error) {
	decommitted := s.decommit(0)
	for i := range s.list {
		c := &s.list[i]
		var err error
		switch {
		case c.what == memoryPiece && decommitted != nil && c.committed > c.from:
			err = protect(s.address(c.from), c.committed-c.from, windows.PAGE_NOACCESS)
		case c.what == viewPiece && placeholders() && unmapTo(s.address(c.from)) == nil:
			*c = spacePiece{from: c.from, to: c.to}
		case c.what == viewPiece:
			err = s.protectView(c, c.from, c.to, windows.PAGE_NOACCESS)
		}
		if err != nil {
			failed = err
		}
	}
	return failed
}

// unmap can be called again if it fails: what is released already is gone from the
// list.
func (s *space) unmap() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.list) - 1; n >= 0; n-- {
		if err := s.release(s.list[n]); err != nil {
			return err
		}
		s.list = s.list[:n]
	}
	return nil
}

func (s *space) sync(from, to uintptr) error {
	return s.each(from, to, func(addr, size uintptr) error {
		return call("FlushViewOfFile", func() error { return windows.FlushViewOfFile(addr, size) })
	})
}

// startSync does nothing: FlushViewOfFile waits.
func (s *space) startSync(from, to uintptr, h handle, off int64) error { return nil }

func (s *space) lock(from, to uintptr) error {
	err := s.each(from, to, func(addr, size uintptr) error {
		return call("VirtualLock", func() error { return windows.VirtualLock(addr, size) })
	})
	if err != nil {
		s.unlock(from, to) // a part may be
	}
	return ofLocks(err, to-from)
}

// unlock goes page by page where some are not locked: Windows would unlock none.
func (s *space) unlock(from, to uintptr) error {
	unlock := func(addr, size uintptr) error {
		return call("VirtualUnlock", func() error { return windows.VirtualUnlock(addr, size) })
	}
	return s.each(from, to, func(addr, size uintptr) error {
		err := unlock(addr, size)
		if !isCode(err, windows.ERROR_NOT_LOCKED) {
			return err
		}
		page := uintptr(os.Getpagesize())
		for at := addr; at < addr+size; at += page {
			if err := unlock(at, page); err != nil && !isCode(err, windows.ERROR_NOT_LOCKED) {
				return err
			}
		}
		return nil
	})
}

// populate begins to read, which makes the touches that follow faster.
func (s *space) populate(from, to uintptr, store bool) error {
	if !store {
		s.each(from, to, func(addr, size uintptr) error { prefetch(addr, size); return nil })
	}
	return errors.ErrUnsupported
}

func (s *space) hugeHint()                      {}
func (s *space) dump(from, to uintptr, on bool) {} // see the head of this file
