package mmap

import (
	"errors"
	"runtime"
	"sync/atomic"
)

// Populate faults in the pages that hold the n bytes at off, so that later
// accesses find them in memory, and returns when they are there. If one cannot
// be supplied, because the file was cut or the device failed, it returns a
// *FaultError with the offset of the first such byte.
//
// Pages of a file are read, and a later store to one may still take a short
// fault; pages of anonymous memory are made ready to be stored to.
func (r *Region) Populate(off, n int) error {
	defer runtime.KeepAlive(r)
	if err := r.m.within("populate", off, n); err != nil {
		return err
	}
	return r.m.populate(off, n)
}

// populate is madvise(2) with MADV_POPULATE where the kernel has it (Linux
// 5.14). Where it does not, or reports a failure without saying where, the
// pages are touched one by one. Devices are not touched: reading their memory
// may have effects, and their drivers make the pages when they map.
func (m *mapping) populate(off, n int) error {
	store := m.kind == anonymous && Mode(m.mode.Load()) != ReadOnly
	if n == 0 || populatePages(m.pages(off, n), store) == nil || m.kind == device {
		return m.closedErr("populate")
	}
	if at, ok := m.touch(off, n, store); !ok {
		a := aLoad
		if store {
			a = aStore
		}
		return (&fault{m: m, r: m.handle.Value(), off: at}).err(a)
	}
	return m.closedErr("populate")
}

// touch makes every page of the n bytes at off accessible: loads from it, or
// makes it ready to be stored to without a change of its bytes, whatever others
// store meanwhile. If that fails, it returns the offset of the first byte that
// cannot be accessed.
func (m *mapping) touch(off, n int, store bool) (at int, ok bool) {
	if store && populatePages(m.pages(off, n), true) == nil {
		return off + n, true
	}
	page := int(m.page)
	f, err := catch(func() error {
		for at = off; at < off+n; at = (at+int(m.slack))/page*page + page - int(m.slack) {
			first := (at+int(m.slack))/page*page - int(m.slack) // aligned, for the atomic addition
			if !store {
				touched.Store(uint32(*(*byte)(m.at(first))))
				continue
			}
			err := populatePages(m.pages(at, 1), true)
			if errors.Is(err, errors.ErrUnsupported) {
				add32((*uint32)(m.at(first)), 0)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return at, f == nil && err == nil
}

// touched makes the compiler keep the loads of touch.
var touched atomic.Uint32

// lock keeps the pages of the n bytes at off in memory.
func (m *mapping) lock(off, n int) error {
	if n == 0 {
		return nil
	}
	if err := lockPages(m.pages(off, n)); err != nil {
		return m.pathError("mlock", err)
	}
	return nil
}
