package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"
)

// A mapping is what the system knows of a region: address space, file, mode. Here
// stand its state, its locks, and the order of its stores.
//
// # Fields
//
//   - Fixed before the mapping is published (inserted into the registry), and never
//     changed: base, slack, offset, name, kind, sized, request, sparse, locked,
//     undumped, lingers, untold, turn, shrinks.
//   - Stored under mu: space, reach, high, window, dir. The atomics len,
//     cap, mode, closed and taken are stored under mu too, and loaded anywhere. So is
//     race.
//   - Stored anywhere: exposed, exposedAll and storable, which are only ever set; changes, which
//     only counts up; synced, which follows it; follows and recent, guesses.
//   - node belongs to the registry, owner is fixed, file guards itself.
//
// # Locks
//
// From the outermost to the innermost:
//
//	turn         for the caller who changes or takes up the size of the file.
//	             The only lock that is held while a disk is waited for.
//	mu           of one mapping, short: held across stores, mmap and mprotect.
//	registry.mu, inodes, inode.mu, file.mu, quarantine.mu, grace.mu, mirrors.mu,
//	raceMemory.mu: leaves. Under them nothing else is locked, and no mapped byte is
//	             touched.
//
// A call that may wait for a disk is made without mu. Who makes one in order to
// change the mapping holds the turn, and afterwards takes mu, looks again whether
// the region is still open, and only then publishes. So Close, which takes mu and
// leaves, waits for nobody. Under mu no mapped byte is touched either: the fault
// would be explained, and the explanation takes mu.
//
// # Order of stores
//
// Who takes access away says so first (taken, closed), then changes mode or len,
// then the pages: an access that faults finds its reason. Who gives access changes
// the pages first, then mode or len: a method never finds a promise that the pages
// do not keep. Before pages beyond len are touched, high covers them: Close leaves
// no address free that somebody is about to touch.
type mapping struct {
	base     unsafe.Pointer // the region's first byte; nil if nothing is mapped
	offset   int64          // of base, in the file
	name     string
	kind     kind
	sized    bool   // what is mapped has a size
	sparse   bool   // see Config
	locked   bool   // see Config
	undumped bool   // core dumps leave out what lies beyond len
	lingers  bool   // see entombLater
	untold   bool   // see status
	window   bool   // when last looked at, the file went on beyond the region
	slack    uint32 // from the first page to base, in bytes
	shrinks  uint32 // of the inode, when it was mapped
	request  request
	turn     *sync.Mutex

	len        atomic.Int64 // accessible bytes; 0 once closed
	cap        atomic.Int64 // reserved bytes; only curtail changes it
	mode       atomic.Int32
	closed     atomic.Bool
	taken      atomicTakings // what this process took away
	exposed    atomic.Uint32 // 1: raw memory was handed out
	exposedAll atomic.Bool   // of the whole reservation
	storable   atomic.Bool   // somebody may have a view that can store
	race       raceMirrors   // what the race detector knows of the bytes
	changes    atomic.Uint32 // how often this region changed the file's size
	synced     atomic.Uint32 // up to which of them the size is durable
	follows    atomic.Int64  // where what is accessed in order goes on: see ahead
	recent     atomic.Pointer[recent]

	mu    sync.Mutex
	space space
	reach uintptr // bytes from the first page on that mode gives access to
	high  uintptr // bytes from the first page on that somebody may ever touch, and once closed the tombstone's
	dir   *nameIn // where the file's name is not durable yet

	file  file
	owner weak.Pointer[owner]
	node  node
}

// An owner is what a Region is a handle on, and what a view keeps. As long as one
// of them reaches it, the mapping stays. The registry leads to the mapping and not
// to the owner, or nothing would ever become unreachable.
type owner struct {
	*mapping
	handle *Region // the one that the constructor returned
}

// Takings count how often this process took access away, and say what it was the
// last time: four times the count, and the denial.
type takings uint32

// A denial is an access that was taken away.
type denial uint32

const (
	deniedNothing denial = iota
	deniedBySize
	deniedByMode
)

func (t takings) last() denial { return denial(t & 3) }

// take says that access goes. The caller holds mu.
func (m *mapping) take(d denial) {
	m.taken.Store((m.taken.Load()&^3 + 4) | takings(d))
}

// A counter of takings, loaded anywhere.
type atomicTakings struct{ n atomic.Uint32 }

func (a *atomicTakings) Load() takings   { return takings(a.n.Load()) }
func (a *atomicTakings) Store(t takings) { a.n.Store(uint32(t)) }

// publish makes the mapping known: from here on a fault finds it.
func (m *mapping) publish() *owner {
	o := &owner{mapping: m}
	o.handle = &Region{o}
	m.owner = weak.Make(o)
	if m.space.size > 0 {
		registry.insert(m)
	}
	return o
}

// watched has the collector say when nothing reaches the owner any more, and returns
// its handle.
func (o *owner) watched() *Region {
	runtime.AddCleanup(o, (*mapping).unreachable, o.mapping)
	return o.handle
}

// region returns a handle on the mapping, nil if nothing but raw memory is left
// of it: the one that the constructor returned, unless another was assigned to it.
func (o *owner) region() *Region {
	switch {
	case o == nil:
		return nil
	case o.handle.o == o:
		return o.handle
	}
	return &Region{o}
}

// expose notes that raw memory is handed out. It loads before it stores, so that
// goroutines that ask often share the cache line.
func (m *mapping) expose() {
	if m.exposed.Load() == 0 { // not a Bool, which costs the inliner more: see TestInlining
		m.exposed.Store(1)
	}
}

// at returns the address of byte off of the region.
func (m *mapping) at(off int) unsafe.Pointer { return unsafe.Add(m.base, off) }

// bytes is raw memory for use within a method, which keeps the owner meanwhile.
func (m *mapping) bytes(off, n int) []byte { return unsafe.Slice((*byte)(m.at(off)), n) }

// rights are what the mode means for pages.
func (m *mapping) rightsOf(mode Mode) rights {
	return rights{store: mode != ReadOnly, execute: m.request.rights.execute}
}

// page is the size in bytes of the pages that back the region.
func (m *mapping) page() uintptr { return m.request.page }

// pagesOf returns the bytes from the first page on, in whole pages, that the
// region has if it is n bytes long.
func (m *mapping) pagesOf(n int64) uintptr {
	if n == 0 {
		return 0
	}
	return roundUp(uintptr(m.slack)+uintptr(n), m.page())
}

// span returns the whole pages that hold the n bytes at off.
func (m *mapping) span(off, n int) (from, to uintptr) {
	from = (uintptr(m.slack) + uintptr(off)) &^ (m.page() - 1)
	return from, roundUp(uintptr(m.slack)+uintptr(off)+uintptr(n), m.page())
}

// pageStart returns the first byte of the region in the page of byte off.
func (m *mapping) pageStart(off int) int {
	return max(off-int((uintptr(m.slack)+uintptr(off))%m.page()), 0)
}

// filePage returns where in the file the page of byte off begins: it may be before the
// region.
func (m *mapping) filePage(off int) int64 {
	from, _ := m.span(off, 0)
	return m.offset - int64(m.slack) + int64(from)
}

func roundUp(n, page uintptr) uintptr { return (n + page - 1) &^ (page - 1) }

// describe names the file, and where in it the region begins, for messages.
func (m *mapping) describe() string {
	if m.offset == 0 {
		return m.name
	}
	return fmt.Sprintf("%s (from byte %d on)", m.name, m.offset)
}

// check returns ErrClosed if the region is closed.
func (m *mapping) check(op string) error {
	if m.closed.Load() {
		return failf(ErrClosed, "%s %s: region is closed", op, m.name)
	}
	return nil
}

// within checks the range of a method that takes one, n bytes at off, of which n
// may be ToEnd. It returns the number of bytes.
func (m *mapping) within(op string, off, n int) (int, error) {
	have := int(m.len.Load()) // before closed is looked at: Close sets it after
	if err := m.check(op); err != nil {
		return 0, err
	}
	if n == ToEnd && off >= 0 && off <= have {
		return have - off, nil
	}
	if off < 0 || n < 0 && n != ToEnd {
		return 0, failf(ErrRange, "%s %s at offset %d of %s: %s", op, byteCount(n), off, m.describe(), negative(off))
	}
	if off > have || n > have-off || n == ToEnd {
		return 0, failf(ErrRange, "%s %s at offset %d of %s: region has %d bytes", op, byteCount(n), off, m.describe(), have)
	}
	return n, nil
}

// negative says which of an offset and a number is, in words after a colon.
func negative(off int) string {
	if off == ToEnd {
		return "ToEnd is a number of bytes or elements, and no offset"
	}
	if off < 0 {
		return "the offset may not be negative"
	}
	return "the number may not be negative"
}

func byteCount(n int) string {
	if n == ToEnd {
		return "all bytes"
	}
	return fmt.Sprintf("%d bytes", n)
}

// useFile calls fn with the file's handle, and words what keeps it from that.
func (m *mapping) useFile(op string, fn func(h handle) error) error {
	err := m.file.use(fn)
	if errors.Is(err, fs.ErrClosed) {
		if closed := m.check(op); closed != nil {
			return closed
		}
		return failf(fs.ErrClosed, "%s %s: it needs the file that Map was given, which is closed", op, m.describe())
	}
	return err
}

// commitFile is commit where a mapping does not grow with its file. Another process
// may have truncated the file since its size was asked for. The caller has the turn,
// or is alone.
func (m *mapping) commitFile(op string, h handle, n int64) error {
	err := yielding(func() error { return m.commitFrom(op, h, n) })
	if err == nil || m.closed.Load() {
		return err
	}
	if size, e := h.size(); e == nil && size < m.offset+n && m.kind == regular {
		return because(pathError(m.name, err), ErrTruncated, "%s %s to %d bytes: file was truncated: it has %d bytes now", op, m.describe(), n, size)
	}
	return err
}

// commitFrom does what may wait without mu.
func (m *mapping) commitFrom(op string, h handle, n int64) error {
	m.mu.Lock()
	reach := m.reach
	m.mu.Unlock()
	if m.pagesOf(n) <= reach {
		return m.check(op)
	}
	src, err := h.source(m.pagesOf(n)-reach, &m.request)
	if err != nil {
		return err
	}
	defer src.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(op); err != nil {
		return err
	}
	return m.commit(src, n)
}

// The functions below change the pages. The caller holds mu, and has seen that the
// region is open.

// cover makes sure that Close leaves no address of the first n bytes free.
func (m *mapping) cover(n int64) { m.high = max(m.high, m.pagesOf(n)) }

// commit gives access to the pages of the first n bytes. Those of a shared file
// have it from the start, as a rule; where they do not, src has them.
func (m *mapping) commit(src source, n int64) error {
	m.cover(n)
	end := m.pagesOf(n)
	if end <= m.reach {
		return nil
	}
	if end > m.space.size { // see curtail
		return failf(ErrRange, "grow %s to %d bytes: only %d are still reserved", m.describe(), n, m.cap.Load())
	}
	if err := m.space.fill(m.reach, end, src, &m.request); err != nil {
		return err
	}
	if err := m.space.allow(m.reach, end, m.rightsOf(Mode(m.mode.Load()))); err != nil {
		return err
	}
	m.reach = end
	return nil
}

// fence takes access to the pages beyond the first end bytes of the space.
func (m *mapping) fence(end uintptr) error {
	if end >= m.reach {
		return nil
	}
	var err error
	if m.kind == memory {
		err = m.space.discard(end, &m.request)
		m.curtail()
	} else {
		err = m.space.forbid(end, m.reach)
	}
	if err != nil {
		return err
	}
	m.reach = end
	return nil
}

// curtail ends the reservation where the space ends, which is before its time if
// the system has given pages of it to others: see space.go. The caller holds mu.
func (m *mapping) curtail() {
	registry.shrink(m, m.space.size)
	m.cap.Store(min(m.cap.Load(), int64(m.space.size)-int64(min(uintptr(m.slack), m.space.size))))
}
