package mmap

import (
	"errors"
	"fmt"
	"runtime"
)

// How a region and its file grow and shrink together. What may wait for a disk is
// done without mu, by the one who has the turn. See the head of mapping.go.

// Resize grows or shrinks the region to n bytes, in place, and the file with it.
// Views and slices made before stay valid and keep their length. After shrinking,
// an access through them beyond the end is a fault with ErrTruncated, from the next
// page on.
//
// Growing makes the file at least Offset+n bytes long, and allocates its disk
// blocks as Create does: on a full disk nothing changes and the error says so. It
// does not truncate a file that another process made longer before the call: what
// that process wrote can then be read. Other new bytes read as zero, except those
// that somebody had stored beyond the file's end in its last page. Processes that
// grow a file at the same time must take turns, as with ftruncate(2). Regions of
// one process do so by themselves. If growing fails, region and file are as
// before, except that on Windows the file may stay longer.
//
// Shrinking truncates the file to Offset+n bytes. But if the file went on beyond
// the region's end when the region was mapped, or last refreshed or grown, the
// file stays as it is. Memory grows and shrinks in the same way, and what it
// loses is given back to the system. Windows does not shorten a file while
// anyone has it mapped: there only the region shrinks, and the error is
// errors.ErrUnsupported.
//
// If n is negative or beyond Cap, the error is ErrRange. If the region is not
// ReadWrite, it is ErrReadOnly. For a device it is errors.ErrUnsupported. If the
// region is closed meanwhile, Resize returns ErrClosed. A file that it had grown
// then gets its old size back, if nobody else has grown it. If Map borrowed the
// file and it is closed by now, the error is fs.ErrClosed.
func (r *Region) Resize(n int64) error {
	m, err := r.valid("resize")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	switch {
	case m.closed.Load():
		return m.check("resize")
	case n < 0:
		return failf(ErrRange, "resize %s to %d bytes: the size may not be negative", m.describe(), n)
	case n > m.cap.Load():
		return failf(ErrRange, "resize %s to %d bytes: %d are reserved: set Config.Reserve when it is mapped", m.describe(), n, m.cap.Load())
	case Mode(m.mode.Load()) != ReadWrite:
		return failf(ErrReadOnly, "resize %s to %d bytes: region is %v, and must be ReadWrite", m.describe(), n, Mode(m.mode.Load()))
	case m.kind != regular && m.kind != memory:
		return failf(errors.ErrUnsupported, "resize %s: only regular files and memory can grow", m.describe())
	}
	return m.inTurn("resize", func(h handle) error { return m.resize(h, n) })
}

// inTurn calls fn, which changes the size of the region or of its file, when it is
// its turn. Memory has no file.
func (m *mapping) inTurn(op string, fn func(h handle) error) error {
	if m.kind == memory {
		m.turn.Lock()
		defer m.turn.Unlock()
		return fn(noFile)
	}
	return m.useFile(op, func(h handle) error {
		m.turn.Lock()
		defer m.turn.Unlock()
		return fn(h)
	})
}

// resize brings region and file to n bytes. The caller has the turn.
func (m *mapping) resize(h handle, n int64) error {
	old := m.len.Load()
	if h == noFile {
		if n < old {
			return m.shrinkMemory(old, n)
		}
		return m.extend("resize", h, n, func() (int64, error) { return 0, nil }, func() error { return nil })
	}
	// Before, for who syncs what he sees of it, and after: a Sync meanwhile may
	// have come too early.
	m.changes.Add(1)
	defer m.changes.Add(1)
	if n < old {
		return m.shrinkFile(h, old, n)
	}
	return m.growFile(h, old, n)
}

func (m *mapping) shrinkFile(h handle, old, n int64) error {
	m.mu.Lock()
	err := m.check("resize")
	window := m.window
	if err == nil && !window {
		err = m.request.whole("resize", m.describe(), m.offset+n)
	}
	if err == nil {
		m.take(deniedBySize)
		m.len.Store(n)
		if window || !growsWithFile {
			err = pathError(m.name, m.fence(m.pagesOf(n)))
		}
		if err != nil {
			m.len.Store(old)
		}
	}
	m.mu.Unlock()
	if err != nil || window {
		return err
	}
	if err = m.file.inode.shorten(h, m.offset+n); err == nil {
		return m.check("resize")
	}
	m.file.inode.shrinks.Add(^uint32(0))
	kept := !growsWithFile && errors.Is(err, errors.ErrUnsupported)
	back := growsWithFile || !kept && m.commitFile("resize", h, old) == nil
	m.mu.Lock()
	defer m.mu.Unlock()
	if closed := m.check("resize"); closed != nil {
		return closed
	}
	if kept {
		return because(pathError(m.name, err), errors.ErrUnsupported, "resize %s to %d bytes: the region has them, and the file keeps its size", m.describe(), n)
	}
	if back {
		m.len.Store(old)
	}
	return pathError(m.name, err)
}

// shrinkMemory gives back the pages beyond n bytes. Grown into again, they must
// read as zero: whole pages because they are new ones, the bytes that share a page
// with the new end because they are cleared here, when nothing can fail any more.
func (m *mapping) shrinkMemory(old, n int64) error {
	m.mu.Lock()
	err := m.check("resize")
	if err == nil {
		m.take(deniedBySize)
		m.len.Store(n)
		if err = pathError(m.name, m.fence(m.pagesOf(n))); err != nil {
			m.len.Store(old)
		} else if m.request.hugeHint {
			m.space.hugeHint()
		}
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	rest := min(int64(m.pagesOf(n))-int64(m.slack), old) - n
	if rest > 0 {
		catch(func() error { clear(m.bytes(int(n), int(rest))); return nil }) // closed meanwhile: then they are gone
	}
	return m.check("resize")
}

// growFile makes sure that the file has the bytes from old to n of the region,
// with disk blocks unless it is sparse, and then takes them up. If that fails, the
// file gets its size back.
func (m *mapping) growFile(h handle, old, n int64) error {
	size, err := h.size()
	if err != nil {
		return pathError(m.name, err)
	}
	end, allocated := m.offset+n, true
	if end > size {
		if err := m.request.whole("resize", m.describe(), end); err != nil {
			return err
		}
	}
	err = m.extend("resize", h, n, func() (int64, error) {
		if m.sparse || n == old {
			return size, lengthen(h, size, end)
		}
		err := h.allocate(m.offset+old, n-old)
		if allocated = !errors.Is(err, errors.ErrUnsupported); !allocated {
			err = lengthen(h, size, end)
		}
		return size, err
	}, func() error {
		if allocated {
			return nil
		}
		return m.touchFresh("resize", old, n)
	})
	if err == nil {
		return nil
	}
	// A file system may even have taken what there was to have.
	if now, e := h.size(); e == nil && size < now && now <= end {
		if e := m.file.inode.shorten(h, size); e != nil {
			return fmt.Errorf("%w; and the file keeps its new size of %d bytes: %v", err, now, pathError(m.name, e))
		}
	}
	return err
}

// touchFresh makes the file system allocate the bytes from old to n by touching
// them, where it cannot allocate otherwise.
func (m *mapping) touchFresh(op string, old, n int64) error {
	if old == n {
		return nil
	}
	f := m.touch(int(old), int(n-old), aStore)
	if f == nil {
		return nil
	}
	switch cause := f.examineFresh(aStore).cause(); cause {
	case ErrClosed:
		return m.check(op)
	case ErrIO:
		return failf(ErrIO, "%s %s to %d bytes: no space for the page at offset %d", op, m.describe(), n, f.off)
	default:
		return because(cause, cause, "%s %s to %d bytes: the page at offset %d", op, m.describe(), n, f.off)
	}
}

// examineFresh is examine for a byte that Len may not reach yet.
func (f *fault) examineFresh(a access) findings {
	found := f.m.examine(f.off, a)
	found.within = true
	return found
}

// explainFresh is explain for a byte that Len may not reach yet.
func (f *fault) explainFresh(a access) *FaultError { return f.because(f.examineFresh(a)) }

// lengthen gives a file of size bytes at least n.
func lengthen(h handle, size, n int64) error {
	if size >= n {
		return nil
	}
	return h.truncate(n)
}

// extend takes up the bytes of the region up to n, more than it has or as many,
// after ready has made sure that they are there, and touch that they can be
// accessed. Both may wait. ready returns how long the file is, if it goes on beyond
// them. Afterwards the region is n bytes long, or as before.
func (m *mapping) extend(op string, h handle, n int64, ready func() (size int64, err error), touch func() error) error {
	var old int64
	var reach uintptr
	err := yielding(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.check(op); err != nil {
			return err
		}
		old, reach = m.len.Load(), m.reach
		m.cover(n)
		if !growsWithFile && h != noFile {
			return nil
		}
		return m.commit(source{}, n)
	})
	if err != nil {
		return pathError(m.name, err)
	}
	size, err := ready()
	if err == nil && !growsWithFile && h != noFile {
		err = m.commitFile(op, h, n)
	}
	if err == nil {
		err = touch()
	}
	if err == nil && h == noFile && m.request.pool > 0 && n > old {
		err = m.fromPool(op, int(old), int(n-old))
	}
	if err == nil && m.locked && n > old {
		err = m.lockPages(int(old), int(n-old))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if closed := m.check(op); closed != nil {
		return closed
	}
	if err == nil && h != noFile {
		err = m.follow(size > m.offset+n, n)
	}
	if err != nil {
		m.undo(old, reach)
		return pathError(m.name, err)
	}
	if m.undumped {
		m.space.dump(m.pagesOf(old), m.pagesOf(n), true)
	}
	m.len.Store(n)
	return nil
}

// follow gives access to what the file may grow into beyond the n bytes that the
// region is to have, or takes it if the file goes on beyond them. The caller holds
// mu.
func (m *mapping) follow(window bool, n int64) error {
	var err error
	switch {
	case m.request.private || !growsWithFile:
	case window:
		err = m.fence(m.pagesOf(n))
	case m.reach < m.space.size:
		// Only Reserved shows it. If it cannot be had now, the next change tries again.
		if m.space.allow(m.reach, m.space.size, m.rightsOf(Mode(m.mode.Load()))) == nil {
			m.reach = m.space.size
		}
	}
	if err == nil {
		m.window = window
	}
	return err
}

// undo takes back what extend gave. The caller holds mu.
func (m *mapping) undo(old int64, reach uintptr) {
	if from := m.pagesOf(old); m.locked && m.kind != memory && from < m.high {
		m.space.unlock(from, m.high)
	}
	m.fence(reach)
}

// fromPool takes huge pages for n bytes at off. Where address space is reserved,
// the system has not set any aside.
func (m *mapping) fromPool(op string, off, n int) error {
	if f := m.touch(off, n, aStore); f != nil {
		if err := m.check(op); err != nil {
			return err
		}
		return failf(ErrIO, "%s %s: no huge page for offset %d: %s", op, m.describe(), f.off, poolState(m.request.pool))
	}
	return nil
}

// Refresh takes up the size that another process, or another region, gave the file:
// Len becomes the number of bytes that the file has from Offset on, at most Cap. Without
// [Config].Reserve, Cap is what Len was at first, so a file that became longer changes
// nothing. If Len is Cap, the file may have more bytes. Only another mapping, with a
// larger Reserve, can reach those. Memory and devices have no other size to take up,
// except block devices on Linux.
//
// The file is the one that was mapped, whatever its name leads to by now. Before
// Len changes, Refresh touches the last new page. If the mapping cannot reach
// it, that is an error, and Len stays as it was. If Map borrowed the file and it
// is closed by now, the error is fs.ErrClosed.
//
// On OpenBSD, Refresh takes up the size; to see what was written into pages that the
// mapping has already, call Sync.
func (r *Region) Refresh() error {
	m, err := r.valid("refresh")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	if !m.sized {
		return m.check("refresh")
	}
	return m.inTurn("refresh", m.refresh)
}

func (m *mapping) refresh(h handle) error {
	size, err := h.size()
	if err != nil {
		return pathError(m.name, err)
	}
	n := min(max(size-m.offset, 0), m.cap.Load())
	if n < m.len.Load() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.check("refresh"); err != nil {
			return err
		}
		m.take(deniedBySize)
		m.len.Store(n)
		return pathError(m.name, m.follow(false, n))
	}
	fresh := n > m.len.Load()
	return m.extend("refresh", h, n, func() (int64, error) {
		if fresh && Mode(m.mode.Load()) == ReadWrite {
			h.awaitSize()
		}
		return size, nil
	}, func() error {
		if !fresh {
			return nil
		}
		f := m.touch(int(n-1), 1, aLoad)
		if f == nil {
			return nil
		}
		switch cause := f.examineFresh(aLoad).cause(); cause {
		case ErrTruncated: // by another process, just now: an access will say so
			return nil
		case ErrClosed:
			return m.check("refresh")
		default:
			return failf(cause, "refresh %s: the file has %d bytes, and the mapping cannot reach the byte at offset %d", m.describe(), size, n-1)
		}
	})
}
