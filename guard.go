package mmap

import (
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// The idea: the Go runtime can be told, goroutine by goroutine, to turn a
// memory fault into a panic that carries the address
// (runtime/debug.SetPanicOnFault). The address leads to a mapping of ours, the
// mapping to the cause, and the cause is an error. Nothing is done on the way
// to an access, everything after a fault.

// Guard runs fn and returns what it returns. If fn accesses memory of a region
// that cannot be accessed, Guard stops fn there and returns a *FaultError: the
// region was closed, its file was cut, it is read-only, or the system could not
// supply or store the page.
//
// As after any panic, fn's deferred calls run, and what fn was in the middle of
// stays half done: a Guard belongs around code that reads or writes memory and
// holds nothing that others wait for. It guards the goroutine that calls it, not
// those that fn starts. Guards nest; the innermost gets the fault. A panic that
// is no fault in a region passes through with its value and its stack; so does a
// fault at any other address that is far from nil, which without Guard would
// have ended the process. Without a fault, Guard costs a few nanoseconds and no
// allocation. It may be called from any number of goroutines at a time.
func Guard(fn func() error) error {
	f, err := catch(fn)
	if f.m != nil {
		return f.m.fault(f.off)
	}
	return err
}

// A FaultError is an access to mapped memory that could not be made.
type FaultError struct {
	// Region is where the access was; nil if it can no longer be reached, as
	// when only a slice of it was left.
	Region *Region

	// Offset is that of the first byte that could not be accessed, in bytes
	// from the beginning of the region. If the runtime was copying, comparing,
	// clearing or searching a whole slice of raw memory, the processor does
	// not tell where it began: Offset is then where the inaccessible part of
	// the region begins. (Linux on s390x reports addresses in whole pages, and
	// Offset is then that of the page.)
	Offset int64

	// Err is ErrClosed, ErrTruncated, ErrReadOnly or ErrIO.
	Err error

	name string
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("mmap: access at offset %d of %s: %s", e.Offset, e.name, strings.TrimPrefix(e.Err.Error(), "mmap: "))
}

// Unwrap returns e.Err.
func (e *FaultError) Unwrap() error { return e.Err }

// A fault is an access to byte off of the mapping m that was not possible. m is
// nil if there was none.
type fault struct {
	m   *mapping
	off int
}

// catch runs fn, and stops it at its first fault in a mapping of ours. It is
// Guard without the question why, and takes no lock that methods hold.
func catch(fn func() error) (f fault, err error) {
	old := debug.SetPanicOnFault(true)
	done := false
	defer func() {
		if !done { // a panic, or runtime.Goexit, for which recover returns nil
			recovered(old, recover(), &f)
		}
	}()
	err = fn()
	done = true
	debug.SetPanicOnFault(old)
	return f, err
}

func recovered(old bool, v any, f *fault) {
	debug.SetPanicOnFault(old)
	if v == nil {
		return
	}
	*f = faultOf(v)
	if f.m == nil {
		panic(v) // here, while fn's frames are still on the stack
	}
}

// faultOf recognizes the value of a panic that is a fault in a mapping of ours.
// It is called by a deferred function, while the stack of the panic stands.
func faultOf(v any) fault {
	e, ok := v.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		return fault{}
	}
	m := mappings.find(e.Addr())
	if m == nil {
		return fault{}
	}
	off := int(e.Addr() - uintptr(m.base))
	if inBulkOperation() {
		off = m.firstInaccessible(off)
	}
	return fault{m, off}
}

// inBulkOperation reports whether the fault that is being recovered from
// happened in one of the runtime's loops over memory, or in ours. Those may
// touch the last word first.
func inBulkOperation() bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for more := true; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); frame.Function != "runtime.sigpanic" {
			continue
		}
		for range 2 { // the function that faulted, and the one that it was inlined into
			frame, _ = frames.Next()
			for _, prefix := range []string{"runtime.mem", "runtime.cmpstring", "internal/bytealg.", thisPackage + ".copyReversed"} {
				if strings.HasPrefix(frame.Function, prefix) {
					return true
				}
			}
		}
	}
	return false
}

var thisPackage = reflect.TypeFor[Region]().PkgPath()

// firstInaccessible returns where the inaccessible bytes that include off
// begin.
func (m *mapping) firstInaccessible(off int) int {
	if m.state.Load() == stateClosed || Mode(m.mode.Load()) == ReadOnly && m.readable(off) {
		return 0
	}
	// A file is cut or a page is lost: all before it can still be read.
	page := int(m.page)
	start := max((off+int(m.slack))/page*page-int(m.slack), 0)
	for start > 0 && !m.readable(start-1) {
		start = max(start-page, 0)
	}
	return start
}

// readable reports whether byte off can be read.
func (m *mapping) readable(off int) bool {
	_, ok := m.touch(off, 1, false)
	return ok
}

// fault makes the error of a fault at off: it finds out the cause.
func (m *mapping) fault(off int) *FaultError {
	e := &FaultError{Region: m.handle.Value(), Offset: int64(off), Err: m.cause(off), name: m.name}
	return e
}

// cause finds out why byte off could not be accessed. The order matters: a
// closed region has no file, and a read-only page may also have been cut.
func (m *mapping) cause(off int) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	switch readable := m.readable(off); {
	case m.state.Load() == stateClosed:
		return ErrClosed
	case m.kind == regularFile && m.cut(off, readable):
		return ErrTruncated
	case readable && Mode(m.mode.Load()) == ReadOnly:
		return ErrReadOnly
	case int64(off) >= m.len.Load():
		return ErrTruncated // anonymous memory that was shrunk
	case m.kind == regularFile && Mode(m.mode.Load()) == ReadWrite:
		// The file has the byte. Either it had not when the fault happened, or
		// the page cannot be stored.
		if _, ok := m.touch(off, 1, true); ok {
			return ErrTruncated
		}
	}
	return ErrIO
}

// cut reports whether the file is too short now for the page of byte off.
func (m *mapping) cut(off int, readable bool) bool {
	if readable {
		return false
	}
	size, err := m.fileSize()
	if err != nil {
		return true // the name is gone: a cut is far likelier than a broken disk
	}
	first := (m.config.Offset + int64(off)) / int64(m.page) * int64(m.page)
	return first >= size
}

// mappings lists the address space that this package owns, tombstones
// included. To add and remove costs a few stores; it is searched only when a
// fault has happened.
var mappings mappingList

type mappingList struct {
	mu    sync.Mutex
	first *mapping
}

func (l *mappingList) insert(m *mapping) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.next = l.first
	if m.next != nil {
		m.next.prev = m
	}
	l.first = m
}

func (l *mappingList) remove(m *mapping) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		l.first = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
}

// find returns the mapping that holds the address, nil if none does.
func (l *mappingList) find(addr uintptr) *mapping {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := l.first; m != nil; m = m.next {
		if addr-uintptr(m.addr) < m.size {
			return m
		}
	}
	return nil
}
