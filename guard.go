package mmap

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// The idea: the Go runtime can be told, goroutine by goroutine, to turn a memory
// fault into a panic that carries the address (runtime/debug.SetPanicOnFault). The
// address leads to a mapping of ours, the mapping to the cause, and the cause is an
// error. Nothing is done on the way to an access, everything after a fault.

// Guard runs fn and returns what it returns. If fn accesses memory of a region
// that cannot be accessed, Guard stops fn there and returns a [*FaultError]: the
// region was closed, its file was truncated, it has become read-only, or the system
// could not supply or store the page. A bad index, and a store through a view that was
// made while the region was read-only, are not faults. They panic through Guard as
// they do without it. The compiler may leave out a load whose result is not used. Then
// there is no fault.
//
// Without a fault, Guard costs about ten nanoseconds and no allocation. Any number of
// goroutines may call it at a time. It may last as long as the program: fn may be a
// main loop that waits in between. A variable outside fn that fn changes lives on the
// heap, and a tight loop that changes it is three to eight times slower. So use a
// variable inside fn, and store it to the outer one once at the end.
//
// # After a fault
//
// As after any panic, fn's deferred calls run, and what fn was in the middle of
// stays half done. So put Guard around code that loads and stores, and that holds
// nothing that others wait for. The deferred calls run before Guard looks for the
// cause: if they close the region, the cause is ErrClosed.
//
// Guards nest, and the innermost gets the fault. A panic that is not a fault in a
// region passes through with its value and its stack. So does a fault in memory
// that is not a region's, as a panic: without Guard it would have ended the
// process.
//
// # What Guard cannot reach
//
// Where Go cannot recover from a fault, it ends the process, as without Guard:
//
//   - On other goroutines. Those that fn starts are other goroutines, and so are
//     those of [iter.Pull].
//   - In C code.
//   - In copy(b[1:], b) and the like, where raw memory overlaps itself upwards, in
//     programs for 386, and on amd64 processors without AVX. [Region.WriteAt] and
//     [View.CopyFrom] are safe there.
//   - Where the Go runtime copies under a lock of its own, as when an element of raw
//     memory is sent to a channel.
//   - Where code recovers by itself, as package fmt does. There the process goes on,
//     but that code takes the fault for a panic of its own.
//
// A system call that is given raw memory does not fault. It returns the system's
// error for a bad address (EFAULT). In all these cases, copy first, with
// [Region.ReadAt], [View.CopyTo] or [Get], and hand on the copy.
func Guard(fn func() error) (err error) {
	s := scope{fn: fn, epoch: currentEpoch.Load(), old: debug.SetPanicOnFault(true)}
	defer s.explain(&err)
	err = fn()
	s.leave()
	return err
}

// A FaultError is an access to mapped memory that could not be made.
type FaultError struct {
	// Region is the region that was accessed. It is nil if only raw memory was left
	// of it.
	Region *Region

	// Offset is the offset of a byte that could not be accessed, in bytes from the
	// region's first. For the access of one value it is the first such byte.
	// (Linux on s390x reports addresses in whole pages, and Offset is then that of
	// the page. A 32-bit MIPS accesses a float64 in two halves, the second one
	// first, and Offset may be that of the second.)
	Offset int

	// Err is [ErrClosed], [ErrTruncated], [ErrReadOnly] or [ErrIO]. The
	// processor does not tell a load from a store, nor how things were a moment
	// ago. So where the access would be possible by now, Err is the likeliest
	// cause. The order is: what this process took away last, a disk that refused
	// a store, another process that truncated the file and extended it again.
	Err error

	name string
	pool string // if pages come from one that may be exhausted: what it has
	ends string // what has too few bytes for the access, "region" or "file", if that is known
	size int64  // how many it has
}

// Error returns a text with the offset, the file, the cause, and how many bytes there
// are if that is known.
func (e *FaultError) Error() string {
	why := strings.TrimPrefix(fmt.Sprint(e.Err), "mmap: ")
	switch {
	case e.ends == "file":
		why += fmt.Sprintf(": it has %d bytes now", e.size)
	case e.ends == "region":
		why = fmt.Sprintf("region has %d bytes", e.size)
	case e.pool != "":
		why += ": " + e.pool
	}
	return fmt.Sprintf("mmap: access at offset %d of %s: %s", e.Offset, e.name, why)
}

// Unwrap returns e.Err.
func (e *FaultError) Unwrap() error { return e.Err }

// A fault is an access to byte off of the mapping m that was not possible.
type fault struct {
	m   *mapping
	o   *owner // nil if it is unreachable already
	off int
}

// catch runs fn, and stops it at its first fault in a mapping of ours, which it
// returns. It is Guard without the question why, and takes no lock that methods
// hold. The caller keeps the owner of that mapping.
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
			*err = f.explain(either)
			runtime.KeepAlive(s.epoch) // until here, f.m is not released
		}
	}
}

func (s *scope) report(f **fault) {
	if !s.left {
		*f = s.recovered(recover())
	}
}

// recovered is faultOrPanic for a scope that fn has left by a panic.
func (s *scope) recovered(v any) *fault {
	debug.SetPanicOnFault(s.old)
	f := faultOrPanic(v)
	// To the collector, frames that a panic has left are dead, and with them the
	// views that were used there, unless fn itself has them.
	runtime.KeepAlive(s.fn)
	return f
}

// faultOrPanic returns the fault of which v is the panic value. A v that is none
// goes on panicking; that of runtime.Goexit is nil.
func faultOrPanic(v any) *fault {
	if v == nil {
		return nil
	}
	f := faultOf(v)
	if f == nil {
		panic(v) // here, while the frames that it left are still on the stack
	}
	return f
}

// faultOf recognizes the value of a panic that is a fault in a mapping of ours.
func faultOf(v any) *fault {
	e, ok := v.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	m := registry.find(e.Addr())
	if m == nil {
		return nil
	}
	// A machine that reports pages may report one that begins before the region.
	off := max(e.Addr(), uintptr(m.base)) - uintptr(m.base)
	return &fault{m: m, o: m.owner.Value(), off: int(off)}
}
