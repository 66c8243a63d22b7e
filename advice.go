package mmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// What a program tells the system of the memory that it uses: how it will use it,
// and what has to stay. And what the system says of it.

// An Advice says how a program is going to use memory. See [Region.Advise].
//
// Below stands what each one means on Linux (madvise(2)). Private memory is that of
// Anonymous, and the pages of a CopyOnWrite region that were stored to. Most advice
// is a hint, which changes no byte. Where bytes are lost, it says so.
//
// Other systems have less. Unixes have Normal, Sequential, Random, WillNeed, DontNeed
// and Free. FreeBSD and DragonFly have DontDump and DoDump too. Windows has Normal
// and WillNeed.
type Advice int

const (
	// Normal takes back Sequential and Random.
	Normal Advice = iota
	// Sequential: the bytes will be read in order. The system reads further ahead in
	// a file, and gives pages up soon after they were read.
	Sequential
	// Random: the bytes will be read in no order. The system does not read ahead in a
	// file: each fault brings in one page.
	Random
	// WillNeed: the bytes will be read soon. The system begins to read those of a
	// file, and swapped memory, and does not wait for it. See [Region.Populate],
	// which does.
	WillNeed
	// DontNeed: the bytes are not needed soon. On Linux, private memory loses its
	// contents: Anonymous reads as zero afterwards, CopyOnWrite as the file.
	// Shared pages keep their bytes. On other systems all pages do.
	DontNeed
	// Cold: the pages are the first to go when memory is short. Linux 5.4.
	Cold
	// PageOut: the pages go now, to the file or to swap space. Linux 5.4.
	PageOut
	// Free: private memory may lose its contents at any time, until the next store
	// to a page. It reads as before or as zero. Linux 4.5; not for files.
	Free
	// Remove loses the bytes for everybody: it makes a hole in the file. A hole reads
	// as zero and takes no space on the disk. The region must be ReadWrite. It is for
	// shared memory, and for files whose file system can do it. Linux 2.6.16.
	Remove
	// HugePage: use transparent huge pages. It is for memory, for a tmpfs whose mount
	// allows it, and for files as far as the file system does. Linux 2.6.38.
	HugePage
	// NoHugePage: use none. Linux 2.6.38.
	NoHugePage
	// Collapse puts huge pages in the place of small ones now, and returns when
	// it is done. The range must hold a whole huge page. Linux 6.1.
	Collapse
	// PopulateRead brings the pages in, ready to be loaded from, as
	// [Region.Populate] does, on every system.
	PopulateRead
	// PopulateWrite brings the pages in, ready to be stored to: a file takes disk
	// space for its holes. The region must not be ReadOnly. On every system.
	PopulateWrite
	// DontDump: core dumps leave the pages out. Linux 3.4.
	DontDump
	// DoDump takes back DontDump. Linux 3.4.
	DoDump
	// WipeOnFork: a child of fork(2) finds zeros. For private memory. Linux 4.14.
	// A program that Go starts begins without any of these pages.
	WipeOnFork
	// KeepOnFork takes back WipeOnFork. Linux 4.14.
	KeepOnFork
	// Mergeable: pages of private memory with the same contents may become one, until
	// somebody stores to them (KSM). Linux 2.6.32.
	Mergeable
	// Unmergeable takes back Mergeable, and makes the pages several again. Linux 2.6.32.
	Unmergeable
)

var adviceNames = [...]string{"Normal", "Sequential", "Random", "WillNeed", "DontNeed", "Cold", "PageOut", "Free", "Remove", "HugePage", "NoHugePage", "Collapse", "PopulateRead", "PopulateWrite", "DontDump", "DoDump", "WipeOnFork", "KeepOnFork", "Mergeable", "Unmergeable"}

func (a Advice) known() bool { return a >= 0 && int(a) < len(adviceNames) }

// String returns the name of the constant.
func (a Advice) String() string {
	if a.known() {
		return adviceNames[a]
	}
	return fmt.Sprintf("Advice(%d)", int(a))
}

// Advise tells the system how the n bytes at off are going to be used. n may be
// ToEnd. Advice is for whole pages: it goes to every page that holds one of the
// bytes. But advice that loses bytes goes only to pages that lie wholly within
// the range and the region.
//
// It holds for the pages that are there now: what Resize adds has no advice. Advice
// that the system does not have, or not for this kind of memory, is
// errors.ErrUnsupported. The error says which version has it. The mapping goes on
// working without it.
//
// Devices are not touched: WillNeed, PopulateRead and PopulateWrite do nothing to
// them. Remove is ErrReadOnly unless the region is ReadWrite, and so is
// PopulateWrite of a ReadOnly region. If PopulateRead or PopulateWrite cannot
// bring a page in, the error is a [*FaultError], as it is for [Region.Populate].
// After Close, or if it happens meanwhile, the error is ErrClosed.
func (r *Region) Advise(off, n int, advice Advice) error {
	m, err := r.valid("advise")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	if n, err = m.within("advise", off, n); err != nil {
		return err
	}
	const what = "advise %v for %d bytes at offset %d of %s"
	populates := advice == PopulateRead || advice == PopulateWrite
	must := "ReadWrite"
	if populates {
		must = "ReadWrite or CopyOnWrite"
	}
	switch mode := Mode(m.mode.Load()); {
	case !advice.known():
		return failf(errors.ErrUnsupported, what+": there is no such advice", advice, n, off, m.describe())
	case advice == Remove && mode != ReadWrite, advice == PopulateWrite && mode == ReadOnly:
		return failf(ErrReadOnly, what+": region is %v, and must be %s", advice, n, off, m.describe(), mode, must)
	case advice == Free && m.kind != memory:
		return failf(errors.ErrUnsupported, what+": Free is for memory, not for files", advice, n, off, m.describe())
	case n == 0, m.kind == device && (populates || advice == WillNeed):
		return m.check("advise")
	case populates:
		a := aLoad
		if advice == PopulateWrite {
			a = aStore
		}
		return m.bringIn("advise", off, n, a)
	}
	from, to := m.span(off, n)
	if m.loses(advice) {
		if from, to = m.wholePages(off, n); from >= to {
			return m.check("advise")
		}
	}
	err = m.space.advise(from, to, advice)
	if closed := m.check("advise"); closed != nil {
		return closed
	}
	return asked(m.name, err, what, advice, n, off, m.describe())
}

// loses reports whether bytes are lost by the advice.
func (m *mapping) loses(a Advice) bool {
	return a == Remove || m.request.private && (a == DontNeed || a == Free)
}

// wholePages returns the pages all of whose bytes are within the n bytes at off. In
// private memory nothing of the last page lies behind the region's end.
func (m *mapping) wholePages(off, n int) (from, to uintptr) {
	begin, end := uintptr(m.slack)+uintptr(off), uintptr(m.slack)+uintptr(off)+uintptr(n)
	from, to = roundUp(begin, m.page()), end&^(m.page()-1)
	if m.request.private && int64(off+n) == m.len.Load() {
		to = roundUp(end, m.page())
	}
	if m.request.private && off == 0 {
		from = 0
	}
	return from, to
}

// Lock keeps the pages that hold the n bytes at off in memory, and returns when
// they are there. They are then neither written to swap space nor given up
// (mlock(2), VirtualLock). n may be ToEnd. What Resize adds is not locked, unless
// [Config].Lock was set.
//
// Locks do not nest: one Unlock undoes any number of them. Two ranges of a region
// that share a page share its lock; two regions do not. Close undoes all locks.
//
// If Lock fails, no page of the range is locked. The error names the limit, or is a
// [*FaultError] for a page that cannot be had. After Close, or if it happens
// meanwhile, it is ErrClosed.
func (r *Region) Lock(off, n int) error {
	m, err := r.valid("lock")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	if n, err = m.within("lock", off, n); err != nil {
		return err
	}
	err = m.lockPages(off, n)
	if closed := m.check("lock"); closed != nil {
		return closed
	}
	if err != nil {
		from, to := m.span(off, n)
		m.space.unlock(from, to)
		if _, told := err.(*FaultError); !told && m.kind != device {
			if f := m.touch(off, n, aLoad); f != nil {
				return f.explain(aLoad)
			}
		}
	}
	return err
}

// Unlock undoes [Region.Lock] for the pages that hold the n bytes at off. n may be
// ToEnd. It is not an error if some are not locked. After Close, or if it happens
// meanwhile, the error is ErrClosed.
func (r *Region) Unlock(off, n int) error {
	m, err := r.valid("unlock")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	if n, err = m.within("unlock", off, n); err != nil {
		return err
	}
	if n > 0 {
		from, to := m.span(off, n)
		err = m.space.unlock(from, to)
	}
	if closed := m.check("unlock"); closed != nil {
		return closed
	}
	return pathError(m.name, err)
}

// lockPages keeps the pages of the n bytes at off in memory. If that fails, some may
// be locked.
func (m *mapping) lockPages(off, n int) error {
	if n == 0 {
		return nil
	}
	from, to := m.span(off, n)
	var err error
	if (m.kind == regular || m.kind == block) && m.space.lockWhenThere(from, to) {
		if f := m.ready(off, n, aLoad); f != nil {
			err = f.explainFresh(aLoad)
		}
	}
	if err == nil {
		err = m.space.lock(from, to)
	}
	if m.closed.Load() { // a tombstone must not use the limit up
		m.space.unlock(from, to)
	}
	return pathError(m.name, err)
}

// Resident says which of the pages that hold the n bytes at off are in memory. It
// returns one bool for each page of PageSize bytes, beginning with the page that
// holds byte off. n may be ToEnd. The answer may be out of date when it arrives.
//
// For a page of a file, Linux says whether anybody has brought it into memory
// (mincore(2)). It tells that only for files that the process owns or may write.
// For others it says true (since 5.2). Windows says whether the page is in this
// process's working set (QueryWorkingSetEx). On a system that does not tell, such
// as OpenBSD or Solaris, the error is errors.ErrUnsupported. After Close, or if
// it happens meanwhile, the error is ErrClosed.
func (r *Region) Resident(off, n int) ([]bool, error) {
	m, err := r.valid("ask for residency")
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(r.o)
	if n, err = m.within("ask for residency of", off, n); err != nil {
		return nil, err
	}
	if n == 0 {
		return []bool{}, m.check("ask for residency of")
	}
	from, to := m.span(off, n)
	small := uintptr(os.Getpagesize())
	pages := make([]bool, (to-from)/small)
	err = m.space.resident(from, to, pages)
	if closed := m.check("ask for residency of"); closed != nil {
		return nil, closed
	}
	if err != nil {
		return nil, asked(m.name, err, "ask for residency of %d bytes at offset %d of %s", n, off, m.describe())
	}
	each := int(m.page() / small) // a huge page is there whole, or not at all
	for i := range len(pages) / each {
		pages[i] = pages[i*each]
	}
	return pages[:len(pages)/each], nil
}
