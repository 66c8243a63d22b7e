package mmap

import (
	"errors"
	"math"
	"sync"
)

// How a Config becomes a mapping: what no file could satisfy is refused before any
// system call, then the file is looked at, then it is mapped.
//
// One mapping covers the whole reservation from the start, where the system allows
// that. A shared mapping of a file may lie beyond the file's end: its pages come to
// life when the file grows (mmap(2), NOTES), so growth needs no call but the one
// that extends the file. Private pages count against the system's memory as soon
// as they are writable, so those beyond Len stay inaccessible until then. So do
// those of a shared file that goes on beyond the region.

// readWrite is c for what is always ReadWrite.
func (c Config) readWrite(op, name string) (Config, error) {
	if c.Mode == CopyOnWrite {
		return c, failf(errors.ErrUnsupported, "%s %s: Mode is %v, and must be ReadWrite, or left out", op, name, c.Mode)
	}
	if c.Mode == ReadOnly {
		c.Mode = ReadWrite
	}
	return c, nil
}

// check refuses what no file could satisfy.
func (c Config) check(op, name string, k kind) error {
	switch {
	case c.Mode < ReadOnly || c.Mode > CopyOnWrite:
		return failf(errors.ErrUnsupported, "%s %s: there is no %v: %s", op, name, c.Mode, theModes)
	case c.HugePages < NoHugePages || c.HugePages > HugePages1G:
		return failf(errors.ErrUnsupported, "%s %s: there is no %v: use one of the constants", op, name, c.HugePages)
	case c.HugePages > TransparentHugePages && k != memory:
		return failf(errors.ErrUnsupported, "%s %s: HugePages of a fixed size are for Anonymous: a file has them if it is on hugetlbfs", op, name)
	case c.Offset < 0 || c.Length < 0 || c.Reserve < 0:
		return failf(ErrRange, "%s %s: Offset is %d, Length %d, Reserve %d: none may be negative", op, name, c.Offset, c.Length, c.Reserve)
	case c.Length > math.MaxInt64-c.Offset:
		return failf(ErrRange, "%s %d bytes at offset %d of %s: the sum overflows", op, c.Length, c.Offset, name)
	case c.Length > maxSpace || c.Reserve > maxSpace:
		return failf(ErrRange, "%s %s: Length is %d, Reserve %d: a region has at most %d bytes of address space", op, name, c.Length, c.Reserve, int64(maxSpace))
	}
	h := handle(0) // of whatever file
	if k == memory {
		h = noFile
	}
	if why := refusesFlags(h, c.request()); why != "" {
		return failf(errors.ErrUnsupported, "%s %s: Flags %#x %s", op, name, c.Flags, why)
	}
	return nil
}

// request is what c asks of the system, as far as c knows.
func (c Config) request() *request {
	return &request{
		rights:   rights{store: c.Mode != ReadOnly, execute: c.Exec},
		private:  c.Mode == CopyOnWrite,
		flags:    c.Flags,
		hugeHint: c.HugePages == TransparentHugePages,
		pool:     [...]uintptr{HugePages2M: 2 << 20, HugePages1G: 1 << 30}[c.HugePages],
	}
}

// extent decides how many bytes of a file of the given size to map, and how many
// to reserve.
func (c Config) extent(name string, size int64) (length, reserve int64, err error) {
	length = c.Length
	if length == 0 {
		length = size - c.Offset
	}
	if c.Offset > size && c.Length == 0 {
		return 0, 0, failf(ErrRange, "map %s from offset %d on: the file has %d bytes", name, c.Offset, size)
	}
	if c.Offset > size || length > size-c.Offset {
		return 0, 0, failf(ErrRange, "map %d bytes at offset %d of %s: the file has %d bytes", c.Length, c.Offset, name, size)
	}
	if length > maxSpace {
		return 0, 0, failf(ErrRange, "map %d bytes at offset %d of %s: a region has at most %d bytes of address space", length, c.Offset, name, int64(maxSpace))
	}
	return length, max(length, c.Reserve), nil
}

// place maps the file h, and makes the Region.
func (c Config) place(m *mapping, h handle) (*Region, error) {
	before := shortenings.Load()
	st, err := h.status()
	if err == nil {
		m.join(st.id)
		switch {
		case st.kind == regular && shortenings.Load() != before: // then the size is older than what join knows
			st.size, err = h.size()
		case st.kind == block:
			st.size, _ = h.size() // 0 if it has no medium, or does not tell
		}
	}
	if err != nil {
		return nil, unfitToMap(m.name, st, err)
	}
	o, err := c.placeAs(m, h, st)
	if err != nil {
		return nil, err
	}
	return o.watched(), nil
}

// join makes the mapping one of those of an inode, which its file gives back.
func (m *mapping) join(id fileID) {
	n := holdInode(id)
	m.file.inode, m.turn, m.shrinks = n, &n.turn, n.shrinks.Load()
}

// placeAs maps h, of which st is known, and whose inode m has joined. Until it is
// watched, the mapping can be abandoned. If it fails, the file is still to be
// released.
func (c Config) placeAs(m *mapping, h handle, st status) (*owner, error) {
	size := st.size
	m.sized = st.kind == regular || st.kind == block && size > 0
	if !m.sized && st.kind != memory {
		if c.Length == 0 && st.size == 0 && !st.asks {
			return nil, failf(ErrRange, "map %s: it is %s, whose size is not known: set Config.Length", m.name, st.what)
		}
		if c.Length == 0 && st.size == 0 {
			c.Length = 1 // the system will say what is wrong
		}
		if c.Length > 0 {
			size = math.MaxInt64
		}
	}
	length, reserve, err := c.extent(m.name, size)
	if err != nil {
		return nil, err
	}
	if reserve > length && st.kind != regular && st.kind != memory {
		return nil, failf(errors.ErrUnsupported, "map %s with %d bytes reserved: only regular files and memory can grow: leave Reserve out", m.name, c.Reserve)
	}
	q := c.request()
	q.private = st.kind == memory || privateBy(c.Flags, q.private)
	q.sparse = c.Sparse && st.kind == regular
	q.page, q.pooled = max(st.page, q.pool), st.pooled
	m.kind, m.offset = st.kind, c.Offset
	m.cap.Store(reserve)
	m.sparse, m.locked = c.Sparse, c.Lock
	m.slack = uint32(c.Offset % int64(q.page))
	m.request = *q
	if err := m.address(c.Addr, reserve); err != nil {
		return nil, err
	}
	if h == noFile {
		m.turn = new(sync.Mutex) // memory shares its size with nobody
	}
	if st.kind == regular && c.Mode == ReadWrite {
		h.awaitSize()
	}
	m.mode.Store(int32(c.Mode))
	m.storable.Store(c.Mode != ReadOnly)
	m.window = m.sized && size > c.Offset+length
	m.lingers = st.lingers && !q.private
	m.untold = st.untold && c.Mode != ReadWrite
	m.undumped = reserve > length && (st.nameless || st.kind == memory && c.Flags != 0)
	if err := m.mapPages(h, length); err != nil {
		return nil, unfitToMap(m.name, st, err)
	}
	m.len.Store(length)
	if raceEnabled && m.space.size > 0 {
		m.race.join(m, m.kind == regular && h.hasOwnID())
	}
	o := m.publish()
	if err := m.settle(c); err != nil {
		m.abandon()
		return nil, err
	}
	return o, nil
}

// whole refuses a size for a file whose pages come from a pool, if it is no number of
// whole pages. Linux does not truncate to it, and before 6.1 nothing could be mapped of
// a last page that the file has in part.
func (q *request) whole(op, name string, size int64) error {
	if !q.pooled || size%int64(q.page) == 0 {
		return nil
	}
	return failf(errors.ErrUnsupported, "%s %s: it would have %d bytes, and its file system has whole pages of %d bytes", op, name, size, q.page)
}

// address works out where the pages are to be, and how many.
func (m *mapping) address(addr uintptr, reserve int64) error {
	page := m.page()
	switch {
	case reserve > maxSpace-int64(m.slack)-int64(page):
		return failf(ErrRange, "map %d bytes at offset %d of %s: a region has at most %d bytes of address space", reserve, m.offset, m.name, int64(maxSpace))
	case addr != 0 && addr%page != uintptr(m.slack):
		return failf(ErrAlignment, "map offset %d of %s at address %#x: offset and address must have the same remainder by the page size of %d bytes", m.offset, m.name, addr, page)
	case addr != 0 && addr == uintptr(m.slack):
		return failf(ErrRange, "map %s at address %#x: nothing can be mapped in page 0, where nil points", m.name, addr)
	}
	m.request.off = m.offset - int64(m.slack)
	m.request.size = m.pagesOf(reserve)
	if addr != 0 {
		m.request.addr, m.request.exact = addr-uintptr(m.slack), true
	}
	return nil
}

// mapPages makes the first length bytes accessible, and reserves the rest.
func (m *mapping) mapPages(h handle, length int64) error {
	q := &m.request
	m.cover(length)
	if q.size == 0 {
		if h == noFile {
			return nil
		}
		return h.permits(rights{store: q.rights.store && !q.private})
	}
	q.spare = q.size > m.pagesOf(length)
	q.hidden = q.private && q.spare
	if q.spare && q.addr == 0 && q.pool == 0 {
		q.addr = vacant.find(q.size)
	}
	err := withSpace(q.size, func() (err error) {
		m.space, err = mapSpace(h, q)
		return err
	})
	if err != nil {
		return err
	}
	m.base = m.space.at(uintptr(m.slack))
	switch {
	case !growsWithFile && h != noFile:
		err = m.commitFile("map", h, length)
	case q.hidden, !growsWithFile:
		err = yielding(func() error { return m.commit(source{}, length) })
	case m.window:
		m.reach = q.size
		err = m.fence(m.pagesOf(length))
	default:
		m.reach = q.size
	}
	if err != nil {
		unmapped.release(m.space)
	}
	return err
}

// settle does what is asked of fresh pages.
func (m *mapping) settle(c Config) error {
	n := int(m.len.Load())
	if m.request.hugeHint && m.space.size > 0 {
		m.space.hugeHint()
	}
	if m.undumped {
		m.space.dump(m.pagesOf(int64(n)), m.space.size, false)
	}
	if m.request.pool > 0 && m.request.hidden && n > 0 {
		if err := m.fromPool("map", 0, n); err != nil {
			return err
		}
	}
	if c.Populate {
		if err := m.populate(0, n); err != nil {
			return err
		}
	}
	if c.Lock {
		return m.lockPages(0, n)
	}
	return nil
}

// abandon takes back a mapping that nobody has seen. The file is the caller's.
func (m *mapping) abandon() {
	m.mu.Lock()
	m.closed.Store(true)
	m.len.Store(0)
	if raceEnabled {
		m.race.leave()
	}
	m.mu.Unlock()
	if m.space.size > 0 {
		registry.remove(m)
		unmapped.release(m.space)
	}
}

// unfitToOpen words the error of an open.
func unfitToOpen(name string, err error) error {
	err = pathError(name, err)
	if what := unmappable(err); what != "" {
		return because(err, errors.ErrUnsupported, "map %s: %s cannot be mapped", name, what)
	}
	return err
}

// unfitToMap words the error of mapping a file.
func unfitToMap(name string, st status, err error) error {
	what := unmappable(err)
	if what == "" && (st.kind == device && unmappableDevice(err) || st.asks && !wantsSpace(err)) {
		what = "it"
	}
	if what == "" {
		return asked(name, err, "map %s", name)
	}
	if st.what != "" {
		what = st.what
	}
	return because(pathError(name, err), errors.ErrUnsupported, "map %s: %s cannot be mapped", name, what)
}
