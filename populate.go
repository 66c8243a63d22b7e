package mmap

import (
	"errors"
	"math"
	"runtime"
	"sync/atomic"
)

// Populate brings the pages that hold the n bytes at off into memory, and returns
// when they are there. Where memory is short, some may have left again by then. n may be
// ToEnd. If a page cannot be supplied, because the file was truncated or the device
// failed, Populate returns a [*FaultError] with the offset of the first byte that is
// missing. After Close it is ErrClosed.
//
// It announces what is missing to the system, a MiB at a time, and waits in a
// system call where there is one (Linux 5.14: madvise(2), MADV_POPULATE_READ).
// Elsewhere it first reads through the file. Either way other goroutines run
// meanwhile. During a page fault that waits for a slow disk they may not.
//
// Pages of a file are loaded, and a later store to one may still take a short
// fault. Pages of memory are made ready to be stored to. The memory of devices is
// left alone: to load from it may have effects.
func (r *Region) Populate(off, n int) error {
	m, err := r.valid("populate")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	return m.populateRange(off, n)
}

func (m *mapping) populateRange(off, n int) error {
	n, err := m.within("populate", off, n)
	if err != nil {
		return err
	}
	return m.populate(off, n)
}

func (m *mapping) populate(off, n int) error {
	if n == 0 || m.kind == device {
		return m.check("populate")
	}
	a := aLoad
	if m.kind == memory && Mode(m.mode.Load()) != ReadOnly {
		a = aStore
	}
	return m.bringIn("populate", off, n, a)
}

// bringIn makes the pages that hold the n bytes at off ready for an access.
func (m *mapping) bringIn(op string, off, n int, a access) error {
	if f := m.ready(off, n, a); f != nil {
		return f.explain(a)
	}
	return m.check(op)
}

// ready is bringIn, and returns the fault that stopped it.
func (m *mapping) ready(off, n int, a access) *fault {
	done := false
	if a == aStore || m.kind == memory {
		from, to := m.span(off, n)
		err := m.space.populate(from, to, a == aStore)
		if errors.Is(err, errors.ErrUnsupported) {
			m.readThrough(off, n)
		}
		done = err == nil
	} else {
		pages := m.ahead(off, n, false)
		pages.left = math.MaxInt // those that are in memory are to be mapped
		for pages.at < pages.end && !pages.failed {
			pages.reach(pages.at + 1)
		}
		done = !pages.failed && !pages.partly
	}
	if done {
		return nil
	}
	return m.touch(off, n, a)
}

// readThrough reads n bytes of the file at off by ordinary reads, whose bytes
// nobody wants: the pages are in memory afterwards, and other goroutines ran
// meanwhile. It reports whether it could read all of them. The rest is left to the
// accesses that follow.
func (m *mapping) readThrough(off, n int) bool {
	if m.kind != regular && m.kind != block {
		return true
	}
	at := 0
	m.file.use(func(h handle) error {
		buf := make([]byte, min(n, 256<<10))
		for at < n {
			k, err := h.readAt(buf[:min(len(buf), n-at)], m.offset+int64(off+at))
			if k <= 0 || err != nil {
				return err
			}
			at += k
		}
		return nil
	})
	return at == n
}

// touch makes every page of the n bytes at off accessible: loads from it, or makes
// it ready to be stored to without a change of its bytes, whatever others store
// meanwhile. It returns the fault where that is not possible. The caller has made
// sure that nothing minds: the bytes of devices do.
func (m *mapping) touch(off, n int, a access) *fault {
	if from, to := m.span(off, n); a == aStore && m.space.populate(from, to, true) == nil {
		return nil
	}
	at := off
	f, err := catch(func() error {
		for ; at < off+n; at = m.pageStart(at) + m.pageLeft(m.pageStart(at)) {
			if a == aLoad {
				touched.Store(uint32(*(*byte)(m.at(at))))
				continue
			}
			from, to := m.span(at, 1)
			err := m.space.populate(from, to, true)
			if errors.Is(err, errors.ErrUnsupported) {
				// An atomic addition of nothing to the first word of the page.
				add32((*uint32)(m.space.at(from)), 0)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if f == nil && err == nil {
		return nil
	}
	return &fault{m: m, o: m.owner.Value(), off: at}
}

// pageLeft returns the number of bytes from byte off to the end of its page.
func (m *mapping) pageLeft(off int) int {
	return int(m.page() - (uintptr(m.slack)+uintptr(off))%m.page())
}

// touched makes the compiler keep the loads of touch.
var touched atomic.Uint32
