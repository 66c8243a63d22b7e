package mmap

import (
	"errors"
	"io/fs"
	"os"
)

// The cause of a fault. The processor says where it was and no more. What can be
// found out about the byte now is found out once, in one pass, and a table says
// what that means.

// An access is what is known of one that faulted.
type access uint8

const (
	aLoad access = 1 << iota
	aStore
	either = aLoad | aStore
)

// explain finds out why, and makes the error of it. The FaultError keeps the
// owner meanwhile.
func (f *fault) explain(a access) *FaultError {
	return f.because(f.m.examine(f.off, a))
}

func (f *fault) because(found findings) *FaultError {
	cause := found.cause()
	e := &FaultError{Region: f.o.region(), Offset: f.off, Err: cause, name: f.m.describe()}
	if cause == ErrIO && f.m.page() > uintptr(os.Getpagesize()) {
		e.pool = poolState(f.m.page())
	}
	if n := f.m.len.Load(); cause == ErrTruncated && !found.within && int64(f.off) >= n { // and it has not grown since
		e.ends, e.size = "region", n
	} else if cause == ErrTruncated && found.missing && found.known {
		e.ends, e.size = "file", found.size
	}
	return e
}

// findings are what is known of a fault.
type findings struct {
	access  access // what it may have been
	closed  bool   // the region is, by now
	within  bool   // the page of the byte is within Len, and was all the time
	regular bool   // what is mapped is a regular file
	missing bool   // what is mapped has a size, and no page for the byte
	known   bool   // the size of what is mapped is
	size    int64
	changed bool   // two looks at the size found different ones
	touch   bool   // it is harmless to try the access again
	loads   bool   // a load passes now
	mode    Mode   // of the region; ReadOnly if it was at any time
	stores  bool   // a store passes now
	denied  denial // what this process took away last
	shrunk  bool   // this process shortened what is mapped, through whatever region, since it was mapped
}

// examine looks at the file and at the byte, and at both again. It takes no lock
// that is held while a disk is waited for, but may wait as long as the access
// itself would have.
func (m *mapping) examine(off int, a access) (f findings) {
	if f.closed = m.closed.Load(); f.closed { // that says it all, and the file is not asked
		return f
	}
	f.access = a
	if a == either && !m.storable.Load() && m.exposed.Load() == 0 {
		f.access = aLoad
	}
	f.regular = m.kind == regular
	f.touch = m.kind != device
	takes := m.taken.Load()
	f.within, f.mode = m.holds(off), Mode(m.mode.Load())
	before, errBefore := m.fileSize()
	f.loads, f.stores = m.try(off, f)
	after, errAfter := m.fileSize()
	// Or the file lacks the byte for moments between the looks, and has it at each.
	if !f.passes() {
		f.loads, f.stores = m.try(off, f)
	}
	for n := 0; n < flickers && f.regular && !f.passes() && errAfter == nil && before == after && !m.beyond(off, after) && m.readable(off); n++ {
		f.loads, f.stores = m.try(off, f)
		after, errAfter = m.fileSize()
	}
	switch {
	case errBefore == nil && errAfter == nil:
		f.changed = before != after
		f.known, f.size = true, after
		f.missing = m.beyond(off, after)
	case errors.Is(errBefore, fs.ErrClosed) || errors.Is(errAfter, fs.ErrClosed):
		f.missing = !f.loads // a borrowed file that was closed
	} // else the file system fails, and nothing is known to be missing
	f.within = f.within && m.holds(off)
	f.mode = min(f.mode, Mode(m.mode.Load()))
	now := m.taken.Load()
	f.denied = now.last()
	if now != takes { // and perhaps given back meanwhile
		f.within = f.within && f.denied != deniedBySize
		if f.denied == deniedByMode {
			f.mode = ReadOnly
		}
	}
	f.shrunk = f.denied == deniedBySize || f.regular && m.file.inode.shrinks.Load() != m.shrinks
	f.closed = m.closed.Load() // last: whatever else was seen may come of it
	return f
}

// flickers is how many more looks there are at a file that another process may be
// shortening and growing again all the time. One that cannot be read looks the same, if
// each look comes at the wrong moment. Without more looks some of 50,000 reads
// meet that (TestReadersSurviveAProcessThatChangesTheFile); with six none of 700,000 did.
const flickers = 6

// beyond reports whether a file of that size has no page for byte off.
func (m *mapping) beyond(off int, size int64) bool { return m.sized && m.filePage(off) >= size }

// readable reports whether a read of byte off finds it, or its file's end. A disk that
// cannot supply the byte says so, and is not asked again.
func (m *mapping) readable(off int) bool {
	return m.file.use(func(h handle) error {
		_, err := h.readAt(make([]byte, 1), m.offset+int64(off))
		return err
	}) == nil
}

// try finds out whether a load and a store of byte off pass now.
func (m *mapping) try(off int, f findings) (loads, stores bool) {
	if !f.touch || m.closed.Load() {
		return false, false
	}
	loads = m.touch(off, 1, aLoad) == nil
	return loads, loads && f.mode != ReadOnly && f.access&aStore != 0 && m.touch(off, 1, aStore) == nil
}

// passes reports whether the access would pass now, whatever it was.
func (f findings) passes() bool { return f.loads && (f.stores || f.access&aStore == 0) }

// holds reports whether the page of byte off is within Len.
func (m *mapping) holds(off int) bool { return int64(m.pageStart(off)) < m.len.Load() }

// fileSize asks for the size of the file, 0 of what has none.
func (m *mapping) fileSize() (int64, error) {
	if !m.sized {
		return 0, nil
	}
	return m.file.size()
}

// cause says what the findings mean.
func (f findings) cause() error {
	mayStore := f.access&aStore != 0
	switch {
	case f.closed:
		return ErrClosed
	case f.missing, f.changed:
		return ErrTruncated
	case mayStore && f.mode == ReadOnly && (f.loads || !f.touch):
		return ErrReadOnly
	case !f.within:
		return ErrTruncated
	case f.touch && !f.passes():
		return ErrIO

	// From here on the access would pass now, or must not be tried.
	case mayStore && f.denied == deniedByMode:
		return ErrReadOnly
	case f.shrunk:
		return ErrTruncated
	case mayStore:
		return ErrIO
	case f.regular:
		return ErrTruncated
	}
	return ErrIO
}
