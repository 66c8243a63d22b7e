package mmap

import (
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/exp/constraints"
)

// Integer is the integers of fixed size: all but int, uint and uintptr, and
// the types made of them.
type Integer interface {
	constraints.Integer
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Fixed is the numbers that have the same bytes on every machine of the same
// byte order.
type Fixed interface {
	Integer | constraints.Float
}

// ToEnd, as the number of elements of a view, means as many as there are bytes
// left in the region; it is an error if they do not come out even.
const ToEnd = -1

// A View is n values of type T that lie one after the other in a region, in
// the machine's own byte order. It is a small value: copy it freely. It reads
// and writes the mapped bytes themselves.
//
// An index out of range panics, as it does for a slice; so does a store
// through a view of a region that was read-only when the view was made. The
// panic value is an error that wraps ErrRange or ErrReadOnly. An access after
// the region was closed, or where its file was cut, is a fault, which ends the
// process unless it happens under Guard.
//
// A View keeps its Region from being collected. Views may be used from any
// number of goroutines at a time, with the rules for a slice of memory: two
// accesses to one element at a time, one of them a store, are a race. Use an
// AtomicView for those.
type View[T any] struct {
	base *T // typed, so that a View of another T cannot be converted to this one
	n    int
	w    int // how many can be stored to: n, or 0 if the region is read-only

	region *Region
}

// ViewOf makes a view of n numbers of type T, of which the first is at byte
// off of the region. n may be ToEnd. The view must lie within the region
// (ErrRange) and off must be aligned: the address must be a multiple of T's
// size on every machine, also where the hardware needs less (ErrAlignment). If
// ToEnd does not come out even it is ErrLayout, if the region is closed
// ErrClosed. Views may be made at any time from any goroutine.
func ViewOf[T Fixed](r *Region, off, n int) (View[T], error) {
	size := int(unsafe.Sizeof(*new(T)))
	return view[T](r, off, n, size)
}

// StructViewOf makes a view of n structs or arrays of type T, of which the
// first is at byte off of the region. n may be ToEnd.
//
// T must have one layout: the same bytes on every architecture of the same
// byte order. It is made of numbers of fixed size, complex ones included, of
// arrays and of structs of them. Every field lies at a multiple of its size, a
// 64-bit field at a multiple of 8 also where the machine would be content with
// 4, and what has to be left free for that is declared, as a blank field. The
// error otherwise wraps ErrLayout and says which field, why, and what to do. A
// blank field of type structs.HostLayout is accepted, and recommended where
// programs in C share the memory.
//
// The address of the first element must be a multiple of the largest
// alignment in T (ErrAlignment); other errors are as for ViewOf. Whether T has one layout is found out once per
// type.
func StructViewOf[T any](r *Region, off, n int) (View[T], error) {
	align, err := layoutOf(reflect.TypeFor[T]())
	if err != nil {
		return View[T]{}, err
	}
	return view[T](r, off, n, align)
}

// view makes a view of elements that need the given alignment.
func view[T any](r *Region, off, n, align int) (View[T], error) {
	size := int(unsafe.Sizeof(*new(T)))
	n, w, err := r.span(off, n, size, align, reflect.TypeFor[T]())
	if err != nil {
		return View[T]{}, err
	}
	return View[T]{(*T)(r.m.at(off)), n, w, r}, nil
}

// span checks that n elements of size bytes fit at off, and returns how many
// there are and how many can be stored to.
func (r *Region) span(off, n, size, align int, t reflect.Type) (count, writable int, err error) {
	m := r.m
	have := int(m.len.Load())
	rest := have - off
	switch {
	case m.state.Load() == stateClosed:
		return 0, 0, failf(ErrClosed, "view of %s of %s: region is closed", elements(n, t), m.name)
	case off < 0 || rest < 0 || n < ToEnd:
		return 0, 0, failf(ErrRange, "view of %s at offset %d of %s: region has %d bytes", elements(n, t), off, m.describe(), have)
	case n == ToEnd && rest%size != 0:
		return 0, 0, failf(ErrLayout, "view of %s at offset %d of %s: %d bytes are left, not a multiple of %d", elements(n, t), off, m.describe(), rest, size)
	case n == ToEnd:
		n = rest / size
	case n > rest/size:
		return 0, 0, failf(ErrRange, "view of %s at offset %d of %s: region has %d bytes", elements(n, t), off, m.describe(), have)
	}
	if (uintptr(m.base)+uintptr(off))%uintptr(align) != 0 {
		return 0, 0, failf(ErrAlignment, "view of %s at offset %d of %s: not %d-byte aligned", elements(n, t), off, m.describe(), align)
	}
	if Mode(m.mode.Load()) != ReadOnly {
		writable = n
	}
	return n, writable, nil
}

// elements says "4 int32", for messages.
func elements(n int, t reflect.Type) string {
	if n == ToEnd {
		return "all " + t.String()
	}
	return fmt.Sprintf("%d %v", n, t)
}

// ptr returns the address of element i, which the caller has checked.
func (v View[T]) ptr(i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(*v.base)))
}

// all returns the elements as a slice, for use within a method.
func (v View[T]) all() []T { return unsafe.Slice(v.base, v.n) }

// Len returns the number of elements, which never changes.
func (v View[T]) Len() int { return v.n }

// Region returns the region of which v is a view, nil for the zero View.
func (v View[T]) Region() *Region { return v.region }

// At returns element i.
func (v View[T]) At(i int) (x T) {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	x = *v.ptr(i)
	runtime.KeepAlive(v.region)
	return
}

// Set stores x in element i.
func (v View[T]) Set(i int, x T) {
	// Two tests, and not one of i against w: in a loop up to Len the compiler
	// drops the first, and the second is a test of a register against zero.
	if uint(i) >= uint(v.n) || v.w == 0 {
		panic(storeError{i: i, n: v.n, w: v.w})
	}
	*v.ptr(i) = x
	runtime.KeepAlive(v.region)
}

// Ptr returns the address of element i: raw memory, like what Region.Bytes
// returns, with the same hazards. It is for a T with methods on its address,
// and for the functions of sync/atomic.
func (v View[T]) Ptr(i int) *T {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	v.region.m.expose()
	return v.ptr(i)
}

// Sub returns the view of the elements from i up to but not including j.
func (v View[T]) Sub(i, j int) View[T] {
	if i < 0 || j < i || j > v.n {
		panic(subError{i, j, v.n})
	}
	if i == j {
		return View[T]{v.base, 0, 0, v.region}
	}
	return View[T]{v.ptr(i), j - i, min(v.w, j-i), v.region}
}

// Slice returns the elements as a slice of the mapped memory itself, with no
// spare capacity: raw memory, like what Region.Bytes returns, with the same
// hazards.
func (v View[T]) Slice() []T {
	if v.n > 0 {
		v.region.m.expose()
	}
	return unsafe.Slice(v.base, v.n)
}

// All returns an iterator over the indices and elements, in order. Each
// element is read when it is its turn.
func (v View[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.n {
			if !yield(i, v.At(i)) {
				return
			}
		}
	}
}

// Values returns an iterator over the elements, in order. Each is read when it
// is its turn.
func (v View[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range v.n {
			if !yield(v.At(i)) {
				return
			}
		}
	}
}

// CopyTo copies elements to dst, as many as fit, and returns how many. As for
// copy, the two may overlap.
func (v View[T]) CopyTo(dst []T) int { return v.move(dst, v.all(), 0) }

// CopyFrom copies src to the elements, as many as fit, and returns how many.
// As for copy, the two may overlap.
func (v View[T]) CopyFrom(src []T) int { return v.move(v.all(), src, storing) }

// Ways to move.
const (
	storing   = 1 << iota // to the view, not from it
	reversing             // the bytes of each element
)

// move copies src to dst, one of which is v.all(), and returns how many
// elements.
func (v View[T]) move(dst, src []T, how int) int {
	n := min(len(dst), len(src))
	if n == 0 {
		return 0
	}
	if how&storing == 0 {
		_ = *v.base // see touchStore
	} else if v.w == 0 {
		panic(storeError{i: 0, n: v.n, w: v.w})
	} else {
		touchStore(unsafe.Pointer(v.base))
	}
	if size := int(unsafe.Sizeof(*v.base)); how&reversing != 0 && size > 1 {
		copyReversed(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), n*size, size)
	} else {
		copy(dst, src)
	}
	runtime.KeepAlive(v.region)
	return n
}

// touchStore stores what is there in the byte at p, which a bulk operation is
// about to store to. If that is not possible, the fault is here, where the
// operation begins. If it is, a fault further on is where inaccessible memory
// begins. So the offset of a fault is exact either way, although the processor
// may tell any address of the range. For loads the check that the pointer is
// not nil, which is a load, does the same.
func touchStore(p unsafe.Pointer) { *(*byte)(p) ^= zero }

var zero byte // a variable, so that the compiler does not know that nothing changes

// Fill stores x in every element.
func (v View[T]) Fill(x T) {
	if v.n == 0 {
		return
	}
	if v.w == 0 {
		panic(storeError{i: 0, n: v.n, w: v.w})
	}
	touchStore(unsafe.Pointer(v.base))
	size := unsafe.Sizeof(x)
	dst := unsafe.Slice((*byte)(unsafe.Pointer(v.base)), uintptr(v.n)*size)
	if b := unsafe.Slice((*byte)(unsafe.Pointer(&x)), size); isZero(b) {
		clear(dst)
	} else {
		fill(dst, b)
	}
	runtime.KeepAlive(v.region)
}

// fill repeats x in dst, at the speed of copy: it doubles what is there until
// that is a block, and then repeats the block, which stays in the first-level
// cache.
func fill(dst, x []byte) {
	block := max(1, (8<<10)/len(x)) * len(x)
	for n := copy(dst, x); n < len(dst); {
		n += copy(dst[n:], dst[:min(n, block)])
	}
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Sync is Region.SyncRange for the view's bytes: when it returns nil they are
// durable. It returns nil for the zero View.
func (v View[T]) Sync() error {
	if v.region == nil {
		return nil
	}
	if v.n == 0 {
		return v.region.m.closedErr("sync")
	}
	off := uintptr(unsafe.Pointer(v.base)) - uintptr(v.region.m.base)
	return v.region.SyncRange(int(off), v.n*int(unsafe.Sizeof(*v.base)))
}

// Get reads one value at byte off of the region, at any alignment, in the
// machine's byte order. Every failure is an error: ErrRange, ErrClosed, or a
// *FaultError where the file was cut.
func Get[T Fixed](r *Region, off int) (T, error) {
	var x T
	err := r.copyAt("get", off, unsafe.Slice((*byte)(unsafe.Pointer(&x)), unsafe.Sizeof(x)), false)
	return x, err
}

// Put stores x at byte off of the region, at any alignment, in the machine's
// byte order. Every failure is an error: ErrRange, ErrReadOnly, ErrClosed, or
// a *FaultError where the file was cut or the disk is full. A value that
// straddles the end of what is there may then be stored in part.
func Put[T Fixed](r *Region, off int, x T) error {
	return r.copyAt("put", off, unsafe.Slice((*byte)(unsafe.Pointer(&x)), unsafe.Sizeof(x)), true)
}

// copyAt copies p from, or if store to, all of the len(p) bytes at off.
func (r *Region) copyAt(op string, off int, p []byte, store bool) error {
	m := r.m
	if err := m.within(op, off, len(p)); err != nil {
		return err
	}
	if store && Mode(m.mode.Load()) == ReadOnly {
		return failf(ErrReadOnly, "%s %d bytes at offset %d of %s: region is read-only", op, len(p), off, m.describe())
	}
	a := aLoad
	if store {
		a = aStore
	}
	err := m.guard(off, len(p), a, func() error {
		if b := m.bytes(off, len(p)); store {
			copy(b, p)
		} else {
			copy(p, b)
		}
		return nil
	})
	runtime.KeepAlive(r)
	return err
}
