package mmap

import (
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"
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
// holds nothing that others wait for. The deferred calls run before Guard looks
// for the cause. If they close the region, that is found only if it was
// ErrTruncated; any other is then ErrClosed.
//
// Guard guards the goroutine that calls it, not those that fn starts. Guards
// nest; the innermost gets the fault. A panic that is no fault in a region passes
// through with its value and its stack; so does a fault at any other address
// that is far from nil, which without Guard would have ended the process. Without
// a fault, Guard costs a few nanoseconds and no allocation. It may be called from
// any number of goroutines at a time.
func Guard(fn func() error) (err error) {
	s := scope{fn: fn, epoch: currentEpoch.Load(), old: debug.SetPanicOnFault(true)}
	defer s.explain(&err)
	err = fn()
	s.leave()
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

	// Err is ErrClosed, ErrTruncated, ErrReadOnly or ErrIO. The processor does
	// not tell a load from a store, nor how things were a moment ago. So in a
	// read-only region of which raw memory is out, a load where the file was
	// cut, and is whole again, passes for a store: ErrReadOnly.
	Err error

	name string
}

// Error says at which offset, of which file, and Err.
func (e *FaultError) Error() string {
	return fmt.Sprintf("mmap: access at offset %d of %s: %s", e.Offset, e.name, strings.TrimPrefix(fmt.Sprint(e.Err), "mmap: "))
}

// Unwrap returns e.Err.
func (e *FaultError) Unwrap() error { return e.Err }

// A fault is an access to byte off of the mapping m that was not possible.
type fault struct {
	m    *mapping
	r    *Region // nil if it is unreachable already
	off  int
	bulk bool // the access was one of many, of which off need not be the first
}

// catch runs fn, and stops it at its first fault in a mapping of ours, which it
// returns. It is Guard without the question why, and takes no lock that methods
// hold. The caller keeps the Region of that mapping.
func catch(fn func() error) (f *fault, err error) {
	s := scope{fn: fn, old: debug.SetPanicOnFault(true)}
	defer s.report(&f)
	err = fn()
	s.leave()
	return f, err
}

// A scope is one call of Guard or catch.
type scope struct {
	fn    func() error
	epoch *epoch // Guard's, which explains
	old   bool   // the goroutine's setting before
	left  bool   // fn returned
}

func (s *scope) leave() {
	s.left = true
	debug.SetPanicOnFault(s.old)
}

// explain and report are deferred, so that they may call recover.

func (s *scope) explain(err *error) {
	if !s.left {
		if f := s.recovered(recover()); f != nil {
			*err = f.err(anyAccess)
			runtime.KeepAlive(s.epoch) // until here, f.m is not released
		}
	}
}

func (s *scope) report(f **fault) {
	if !s.left {
		*f = s.recovered(recover())
	}
}

// recovered returns the fault of which v is the panic value. A v that is none
// goes on panicking; that of runtime.Goexit is nil.
func (s *scope) recovered(v any) *fault {
	debug.SetPanicOnFault(s.old)
	if v == nil {
		return nil
	}
	f := faultOf(v)
	if f == nil {
		panic(v) // here, while fn's frames are still on the stack
	}
	// To the collector, frames that a panic has left are dead, and with them the
	// views that were used there, unless fn itself has them.
	runtime.KeepAlive(s.fn)
	return f
}

// faultOf recognizes the value of a panic that is a fault in a mapping of ours.
// It is called by a deferred function, while the stack of the panic stands.
func faultOf(v any) *fault {
	e, ok := v.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	m := mappings.find(e.Addr())
	if m == nil {
		return nil
	}
	return &fault{m: m, r: m.handle.Value(), off: int(e.Addr() - uintptr(m.base)), bulk: inBulkOperation()}
}

// inBulkOperation reports whether the fault that is being recovered from
// happened in one of the runtime's loops over memory, or in ours. Those may
// touch the last word first.
func inBulkOperation() bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.sigpanic" {
			break
		}
		if !more {
			return false
		}
	}
	for range 2 { // the function that faulted, and the one that it was inlined into
		frame, more := frames.Next()
		name := frame.Function
		if !more || name == "" {
			return false
		}
		if !strings.Contains(name, ".") {
			// A body that assembly functions share, such as memeqbody, but not
			// racecallatomic, which is one atomic operation.
			return !strings.HasPrefix(name, "race")
		}
		for _, prefix := range []string{"runtime.mem", "runtime.cmpstring", "internal/bytealg.", thisPackage + ".copyReversed"} {
			if strings.HasPrefix(name, prefix) {
				return true
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
	// Of a page that cannot be supplied or stored, that is its first byte. Of a
	// file that was cut, that of the first page that is missing, and none after
	// it is there.
	page := int(m.page)
	start := func(i int) int { return max(i*page-int(m.slack), 0) }
	i := (off + int(m.slack)) / page
	if i == 0 || m.readable(start(i)-1) {
		return start(i)
	}
	return start(sort.Search(i, func(i int) bool { return !m.readable(start(i)) }))
}

// readable reports whether byte off can be read.
func (m *mapping) readable(off int) bool {
	_, ok := m.touch(off, 1, false)
	return ok
}

// An access is what is known of one that faulted: the processor does not tell.
type access int

const (
	anyAccess access = iota
	aLoad
	aStore
)

// err finds out where the fault was and why, and makes the error of it.
func (f *fault) err(a access) *FaultError {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if f.bulk {
		f.off = f.m.firstInaccessible(f.off)
	}
	// The FaultError keeps the region while its cause is looked for.
	e := &FaultError{Region: f.r, Offset: int64(f.off), name: f.m.describe()}
	e.Err = f.m.cause(f.off, a)
	return e
}

// cause finds out why byte off could not be accessed. Another process may cut
// the file and extend it meanwhile, each between two looks. So it looks many
// times before it blames the system, unless that is slow to fail. The caller
// holds mu.
func (m *mapping) cause(off int, a access) error {
	mayStore := a == aStore || a == anyAccess && (m.storable.Load() || m.raw.Load())
	start := time.Now()
	for i := 0; i < 5 || i < 100 && time.Since(start) < 5*time.Millisecond; i++ {
		mode := Mode(m.mode.Load())
		switch {
		case m.state.Load() == stateClosed:
			if m.beyond(off, m.ended) {
				return ErrTruncated
			}
			return ErrClosed
		case !m.readable(off):
			if int64(off) >= m.len.Load() || m.cut(off) {
				return ErrTruncated
			}
			if m.kind != regularFile {
				return ErrIO
			}
		case mode == ReadOnly && mayStore:
			return ErrReadOnly
		case mode == ReadOnly || a == aLoad:
			return m.passingCause(mayStore)
		default:
			if _, ok := m.touch(off, 1, true); ok {
				return m.passingCause(mayStore)
			}
			if m.kind != regularFile {
				return ErrIO
			}
		}
	}
	return ErrIO
}

// passingCause is the cause of a fault that would not happen again.
func (m *mapping) passingCause(mayStore bool) error {
	switch {
	case mayStore && m.denied.Load() == deniedByMode && time.Since(m.writable) < time.Second:
		return ErrReadOnly
	case m.kind == regularFile || m.denied.Load() != 0:
		return ErrTruncated
	}
	return ErrIO
}

// cut reports whether the file is too short now for the page of byte off.
func (m *mapping) cut(off int) bool {
	if m.kind != regularFile {
		return false
	}
	size, err := m.fileSize()
	// If the name is gone, a cut is far likelier than a broken disk.
	return err != nil || m.beyond(off, size-m.config.Offset)
}

// beyond reports whether the page of byte off begins at or beyond byte end.
func (m *mapping) beyond(off int, end int64) bool {
	return int64(off)-int64((uintptr(off)+m.slack)%m.page) >= end
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

func (l *mappingList) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first == nil
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
