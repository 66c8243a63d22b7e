package mmap

import (
	"errors"
	"io/fs"
	"runtime"
)

// What makes stores durable.

// Sync makes the whole region durable. When it returns nil, every store before the
// call and the file's size survive a loss of power, as far as the disk keeps its
// promises (msync(2) with MS_SYNC, fsync(2)). If Create or
// OpenOrCreate made the region, the file's name survives too, in the directory where
// they opened it. A program that renames the file, or made it in another way, has to
// make the name durable by itself.
//
// The system reports a failed write-back only once, but the package never forgets
// it. From then on Sync returns that first error, for every region of the file in
// this process, until all of them are closed. What was stored since the last Sync
// that returned nil may be lost. Close the regions, look at what the file has, and
// store again what is missing.
//
// If the file is now shorter than the region, Sync returns ErrTruncated, although the
// system reports success: stores were lost, and what was read may have been zeros. That
// holds for a ReadOnly region, too. Sync does not notice that a file was truncated and
// extended again. If the disk's file system was
// forced to be read-only meanwhile, Sync of a region that could be stored to is an
// error too.
//
// If Map borrowed the file and it is closed by now, Sync still works on Linux. It
// then notices a truncation only if whole pages are missing, and does not notice that
// the file system is read-only. On other systems it returns an error.
//
// On persistent memory (DAX), stores are in the processor's caches until Sync, even
// with unix.MAP_SYNC in [Config].Flags. That flag makes the file's size and blocks
// durable before a page can be stored to. So a program that writes back the caches
// by itself, with instructions that Go has no name for, needs no Sync.
//
// For CopyOnWrite regions, memory and most devices there is nothing to do, and Sync
// returns nil. If Close happens meanwhile, the error is ErrClosed, and durability
// is unknown.
//
// On OpenBSD, Sync also makes stores visible to read(2), and makes visible in the
// mapping what another program wrote. So a ReadOnly region needs it too. The
// pages leave memory and are read again.
func (r *Region) Sync() error { return r.sync("sync", 0, ToEnd) }

// SyncRange is [Region.Sync] for the n bytes at off; n may be ToEnd. The pages that
// hold them are written whole.
func (r *Region) SyncRange(off, n int) error { return r.sync("sync", off, n) }

func (r *Region) sync(op string, off, n int) error {
	if _, err := r.valid(op); err != nil {
		return err
	}
	return r.o.syncRange(op, off, n)
}

func (m *owner) syncRange(op string, off, n int) (err error) {
	defer runtime.KeepAlive(m)
	if n, err = m.within(op, off, n); err != nil {
		return err
	}
	if m.kind == memory || m.request.private {
		return nil
	}
	if !m.file.enter() {
		return m.check(op)
	}
	defer m.file.leave()
	err = m.file.inode.writeBack(func() error { return m.writeBack(op, off, n) })
	if err == nil {
		err = m.stillThere(op, off, n)
	}
	if err == nil && m.kind == regular && m.storable.Load() {
		if e := m.file.use(handle.writesBack); e != fs.ErrClosed {
			err = e // nothing is lost yet
		}
	}
	if closed := m.check(op); closed != nil {
		return closed
	}
	return pathError(m.name, err)
}

// writeBack makes n bytes at off durable, and the size and the name of the file if
// they are not.
func (m *mapping) writeBack(op string, off, n int) error {
	if n > 0 {
		from, to := m.span(off, n)
		if err := m.space.sync(from, to); err != nil {
			return err
		}
	}
	changes := m.changes.Load()
	m.mu.Lock()
	dir := m.dir
	m.mu.Unlock()
	if m.kind == device || syncsWithoutFile && changes == m.synced.Load() && dir == nil {
		return nil
	}
	err := m.useFile(op, func(h handle) error {
		if err := h.sync(); err != nil || dir == nil {
			return err
		}
		err := dir.use(func(handle) error { return dir.sync(h) })
		if err == fs.ErrClosed { // by another Sync, which has done it
			return nil
		}
		return err
	})
	if errors.Is(err, fs.ErrClosed) && syncsWithoutFile {
		return nil
	}
	if err != nil {
		return err
	}
	m.synced.Store(changes)
	m.mu.Lock()
	if m.dir != dir {
		dir = nil // another Sync, or Close, has released it
	} else {
		m.dir = nil
	}
	m.mu.Unlock()
	dir.release()
	return nil
}

// stillThere returns ErrTruncated if the file lacks any of the n bytes at off that
// the region still has.
func (m *mapping) stillThere(op string, off, n int) error {
	end := int(min(int64(off+n), m.len.Load()))
	if !m.sized {
		return nil
	}
	size, err := m.file.size()
	switch {
	case err == nil && size >= m.offset+int64(end):
		return nil
	case err == nil:
		return failf(ErrTruncated, "%s %d bytes at offset %d of %s: file was truncated: it has %d bytes now", op, n, off, m.describe(), size)
	case end <= off || m.touch(end-1, 1, aLoad) == nil:
		return nil
	case !errors.Is(err, fs.ErrClosed):
		return err // the file system fails
	default:
		return failf(ErrTruncated, "%s %d bytes at offset %d of %s: file was truncated: the page at offset %d is missing", op, n, off, m.describe(), m.pageStart(end-1))
	}
}

// Flush starts writing back the pages that hold the n bytes at off, and does not
// wait for it (Linux: sync_file_range(2)). n may be ToEnd. It makes nothing
// durable: only [Region.Sync] does. If there is nothing to write back, it
// returns nil.
func (r *Region) Flush(off, n int) error {
	m, err := r.valid("flush")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	if n, err = m.within("flush", off, n); err != nil {
		return err
	}
	if n == 0 || m.kind != regular && m.kind != block || m.request.private || !m.storable.Load() {
		return m.check("flush")
	}
	from, to := m.span(off, n)
	err = m.useFile("flush", func(h handle) error {
		return m.space.startSync(from, to, h, m.filePage(off))
	})
	m.file.inode.note(err)
	if closed := m.check("flush"); closed != nil {
		return closed
	}
	return pathError(m.name, err)
}
