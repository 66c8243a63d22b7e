package mmap

import (
	"errors"
	"reflect"
	"runtime"
	"unsafe"
)

// AtomicInteger permits the integers that processors access atomically.
type AtomicInteger interface {
	~int32 | ~uint32 | ~int64 | ~uint64
}

// An AtomicView is n integers of type T, one after the other in a region, that
// other goroutines and other processes access at the same time. Each method is one
// atomic operation of the processor, as in [sync/atomic]. It is sequentially
// consistent with the others, even between processes that map the same memory,
// whatever their language. A goroutine that loads what a Store stored also sees
// everything that the storing goroutine had stored before, through any view or
// method. So store the data first, and then the flag that says that the data is
// there.
//
// Indices, read-only regions and faults are as for a [View]. A bad index panics. So
// does any method but Load of a view that was made while the region was read-only.
// An access after Close, or where the file was truncated, is a fault: use [Guard].
//
// The race detector takes order from these operations as it does from those of
// sync/atomic, and reports plain accesses beside them. On processors other than amd64
// and arm64 it makes the operations in C, where a fault ends the process even under
// Guard. Without -race, Guard returns an error there, too.
type AtomicView[T AtomicInteger] struct {
	// Flat, for the reason that View has.
	atomic *T // named apart from View's, so that neither converts to the other
	n, w   int
	region *owner
}

// AtomicOf makes an atomic view of n integers of type T. The first is at byte off of
// the region. n may be ToEnd. The address must be a multiple of T's size on every
// machine, 32-bit ones included (ErrAlignment). Other errors are as for [ViewOf].
//
// A machine without atomic instructions for 64 bits (32-bit MIPS, ARM before v7) has
// no AtomicView of 64-bit integers: errors.ErrUnsupported. What sync/atomic does
// there instead holds for the goroutines of one process only.
func AtomicOf[T AtomicInteger](r *Region, off, n int) (AtomicView[T], error) {
	size := int(unsafe.Sizeof(*new(T)))
	if size == 8 && !atomic64 {
		return AtomicView[T]{}, failf(errors.ErrUnsupported, "atomic view of %v of %s: %s has no 64-bit atomic instructions",
			reflect.TypeFor[T](), r.Name(), runtime.GOARCH)
	}
	v, err := view[T](r, off, n, size)
	return AtomicView[T]{v.base, v.n, v.w, v.region}, err
}

// view is v as a View, to compute with, not to access.
func (v AtomicView[T]) view() View[T] { return View[T]{v.atomic, v.n, v.w, v.region} }

// Len returns the number of integers, which never changes.
func (v AtomicView[T]) Len() int { return v.n }

// Offset returns the offset of the first integer, in bytes from the region's first.
func (v AtomicView[T]) Offset() int { return v.view().Offset() }

// Region returns the region of which v is a view, nil for the zero AtomicView.
func (v AtomicView[T]) Region() *Region { return v.region.region() }

// Sub returns the view of the integers from i up to but not including j.
func (v AtomicView[T]) Sub(i, j int) AtomicView[T] {
	s := v.view().Sub(i, j)
	return AtomicView[T]{s.base, s.n, s.w, s.region}
}

// Sync is [Region.SyncRange] for the view's bytes: when it returns nil they are
// durable. It returns nil for the zero AtomicView.
func (v AtomicView[T]) Sync() error { return v.view().Sync() }

// loadable and storable return the address of integer i, or panic.

func (v AtomicView[T]) loadable(i int) unsafe.Pointer {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	return unsafe.Add(unsafe.Pointer(v.atomic), i*int(unsafe.Sizeof(*v.atomic)))
}

func (v AtomicView[T]) storable(i int) unsafe.Pointer {
	if uint(i) >= uint(v.w) {
		panic(storeError{i, v.n, v.w})
	}
	return unsafe.Add(unsafe.Pointer(v.atomic), i*int(unsafe.Sizeof(*v.atomic)))
}

// Load returns integer i.
func (v AtomicView[T]) Load(i int) (x T) {
	if raceEnabled {
		return raceLoad[T](v.region, v.loadable(i))
	}
	x = atomicLoad[T](v.loadable(i))
	runtime.KeepAlive(v.region)
	return x
}

// Store stores x in integer i.
func (v AtomicView[T]) Store(i int, x T) {
	if raceEnabled {
		raceStore(v.region, v.storable(i), x)
		return
	}
	atomicStore(v.storable(i), x)
	runtime.KeepAlive(v.region)
}

// Swap stores x in integer i and returns what was there.
func (v AtomicView[T]) Swap(i int, x T) (old T) {
	if raceEnabled {
		return raceUpdate(v.region, v.storable(i), func(T) T { return x })
	}
	old = atomicSwap(v.storable(i), x)
	runtime.KeepAlive(v.region)
	return old
}

// CompareAndSwap stores x in integer i if that equals old, and reports whether it
// did.
func (v AtomicView[T]) CompareAndSwap(i int, old, x T) (swapped bool) {
	if raceEnabled {
		return raceCompareAndSwap(v.region, v.storable(i), old, x)
	}
	swapped = atomicCompareAndSwap(v.storable(i), old, x)
	runtime.KeepAlive(v.region)
	return swapped
}

// Add adds d to integer i, which wraps around on overflow, and returns the sum.
func (v AtomicView[T]) Add(i int, d T) (sum T) {
	if raceEnabled {
		return d + raceUpdate(v.region, v.storable(i), func(old T) T { return old + d })
	}
	sum = atomicAdd(v.storable(i), d)
	runtime.KeepAlive(v.region)
	return sum
}

// And clears the bits of integer i that m lacks, and returns what was there.
func (v AtomicView[T]) And(i int, m T) (old T) {
	if raceEnabled {
		return raceUpdate(v.region, v.storable(i), func(old T) T { return old & m })
	}
	old = atomicAnd(v.storable(i), m)
	runtime.KeepAlive(v.region)
	return old
}

// Or sets the bits of integer i that m has, and returns what was there.
func (v AtomicView[T]) Or(i int, m T) (old T) {
	if raceEnabled {
		return raceUpdate(v.region, v.storable(i), func(old T) T { return old | m })
	}
	old = atomicOr(v.storable(i), m)
	runtime.KeepAlive(v.region)
	return old
}

// The width. It is a constant of the instantiated type, so that the compiler keeps
// one branch of each.

func atomicLoad[T AtomicInteger](p unsafe.Pointer) T {
	if unsafe.Sizeof(*new(T)) == 4 {
		return T(load32((*uint32)(p)))
	}
	return T(load64((*uint64)(p)))
}

func atomicStore[T AtomicInteger](p unsafe.Pointer, x T) {
	if unsafe.Sizeof(x) == 4 {
		store32((*uint32)(p), uint32(x))
	} else {
		store64((*uint64)(p), uint64(x))
	}
}

func atomicSwap[T AtomicInteger](p unsafe.Pointer, x T) T {
	if unsafe.Sizeof(x) == 4 {
		return T(swap32((*uint32)(p), uint32(x)))
	}
	return T(swap64((*uint64)(p), uint64(x)))
}

func atomicCompareAndSwap[T AtomicInteger](p unsafe.Pointer, old, x T) bool {
	if unsafe.Sizeof(x) == 4 {
		return cas32((*uint32)(p), uint32(old), uint32(x))
	}
	return cas64((*uint64)(p), uint64(old), uint64(x))
}

func atomicAdd[T AtomicInteger](p unsafe.Pointer, d T) T {
	if unsafe.Sizeof(d) == 4 {
		return T(add32((*uint32)(p), uint32(d)))
	}
	return T(add64((*uint64)(p), uint64(d)))
}

func atomicAnd[T AtomicInteger](p unsafe.Pointer, m T) T {
	if unsafe.Sizeof(m) == 4 {
		return T(and32((*uint32)(p), uint32(m)))
	}
	return T(and64((*uint64)(p), uint64(m)))
}

func atomicOr[T AtomicInteger](p unsafe.Pointer, m T) T {
	if unsafe.Sizeof(m) == 4 {
		return T(or32((*uint32)(p), uint32(m)))
	}
	return T(or64((*uint64)(p), uint64(m)))
}
