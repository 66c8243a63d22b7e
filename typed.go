package mmap

import (
	"fmt"
	"iter"
	"math"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/exp/constraints"
)

// Integer permits the integers of fixed size, and the types made of them. It does not
// permit int, uint and uintptr.
type Integer interface {
	constraints.Integer
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Fixed permits the numbers that have the same bytes on every machine of the same byte
// order.
type Fixed interface {
	Integer | constraints.Float
}

// ToEnd, as a number of bytes or elements, means all that is left in the region. If
// that is not a whole number of elements, making a view of it is [ErrLayout]. Every
// other negative number is [ErrRange].
//
// ToEnd is the smallest int. A number from a file may happen to be the same: a uint64
// of 1<<63 is ToEnd when it becomes an int. So refuse numbers from files that are
// negative or too large before they become a length.
const ToEnd = math.MinInt

// A View is n values of type T that lie one after the other in a region, in the
// machine's own byte order. It is a small value: copy it freely. It loads and
// stores the mapped bytes themselves.
//
// An index out of range panics, as it does for a slice. So does a store through a
// view that was made while the region was read-only. The panic value is an error
// that wraps ErrRange or ErrReadOnly. An access after the region was closed, or
// where its file was truncated, is a fault: it ends the process unless it happens
// under [Guard]. CopyTo, CopyFrom and Fill return such a fault as an error.
//
// A View keeps its region's mapping from being collected. Views may be used from
// any number of goroutines at a time. As for a slice, two accesses to one element
// at the same time are a race if one of them is a store. Use an [AtomicView] for
// those. The race detector reports races, but not those in the raw memory of Ptr
// and Slice: see The race detector in the package documentation.
type View[T any] struct {
	// A fifth field, or a struct of these embedded here and in the other views,
	// makes a loop over At four times slower: the compiler then keeps the View in
	// memory. BenchmarkPlacements compares with a slice.
	base *T // typed, so that a View of another T cannot be converted to this one
	n    int
	w    int // how many can be stored to: n, or 0 if the region is read-only

	region *owner
}

// A pointer to the end of a region could be one into somebody else's memory, which
// the collector would follow. So an empty view points to the byte before it, or
// nowhere if it is at offset 0.

// ViewOf makes a view of n numbers of type T. The first is at byte off of the
// region. n may be ToEnd. The view must lie within the region (ErrRange). Its
// address must be a multiple of T's size on every machine, even where the hardware
// needs less (ErrAlignment). If ToEnd leaves no whole number of elements, the error
// is ErrLayout. If the region is closed, it is ErrClosed. Views may be made at any
// time from any goroutine.
func ViewOf[T Fixed](r *Region, off, n int) (View[T], error) {
	v, err := view[T](r, off, n, int(unsafe.Sizeof(*new(T))))
	if f, ok := err.(*failure); ok && f.kind == ErrAlignment {
		f.text += ": LittleEndianOf and BigEndianOf take any offset"
	}
	return v, err
}

// StructViewOf makes a view of n structs or arrays of type T. The first is at byte
// off of the region. n may be ToEnd.
//
// T must have one layout: the same bytes on every architecture of the same byte
// order. It is made of numbers of fixed size, complex ones included, and of arrays
// and structs of them. Every number lies at a multiple of its size, a complex one
// at a multiple of half its size. A 64-bit number lies at a multiple of 8, even
// where the machine would be content with 4. What has to be left free for that is
// declared as a blank field. Otherwise the error wraps ErrLayout and says which
// field, why, and what to do. A blank field of type [structs.HostLayout] is
// accepted, and recommended where programs in C share the memory.
//
// At loads the whole struct, and Set stores it, blank fields too. So an integer of an
// [AtomicView] lies outside of the structs, or the other fields of its struct are
// accessed through Ptr alone.
//
// The address of the first element must be a multiple of the largest alignment in
// T (ErrAlignment). Other errors are as for [ViewOf]. Whether T has one layout is
// found out once for each type.
func StructViewOf[T any](r *Region, off, n int) (View[T], error) {
	align, err := layoutOf(reflect.TypeFor[T]())
	if err != nil {
		return View[T]{}, err
	}
	return view[T](r, off, n, align)
}

// view makes a view of elements that need the given alignment.
func view[T any](r *Region, off, n, align int) (View[T], error) {
	m, err := r.valid("view")
	if err != nil {
		return View[T]{}, err
	}
	n, w, err := m.elements(off, n, int(unsafe.Sizeof(*new(T))), align, reflect.TypeFor[T]())
	switch {
	case err != nil:
		return View[T]{}, err
	case n == 0:
		return View[T]{(*T)(m.before(off)), 0, 0, r.o}, nil
	}
	return View[T]{(*T)(m.at(off)), n, w, r.o}, nil
}

// before returns the address of the byte before byte off, nil if there is none.
func (m *mapping) before(off int) unsafe.Pointer {
	if off == 0 {
		return nil
	}
	return m.at(off - 1)
}

// elements checks that n elements of size bytes fit at off, and returns how many
// there are and how many can be stored to.
func (m *mapping) elements(off, n, size, align int, t reflect.Type) (count, writable int, err error) {
	have := int(m.len.Load())
	what := func() string {
		count := fmt.Sprint(n)
		if n == ToEnd {
			count = "all"
		}
		return fmt.Sprintf("view of %s %v at offset %d of %s", count, t, off, m.describe())
	}
	if m.closed.Load() {
		return 0, 0, failf(ErrClosed, "%s: region is closed", what())
	}
	rest := have - off
	if off < 0 || n < 0 && n != ToEnd {
		return 0, 0, failf(ErrRange, "%s: %s", what(), negative(off))
	}
	if rest >= 0 && n > rest/size && n <= (math.MaxInt-off)/size {
		return 0, 0, failf(ErrRange, "%s: it ends at byte %d, and region has %d bytes", what(), off+n*size, have)
	}
	if rest < 0 || n > rest/size {
		return 0, 0, failf(ErrRange, "%s: region has %d bytes", what(), have)
	}
	if n == ToEnd && rest%size != 0 {
		return 0, 0, failf(ErrLayout, "%s: %d bytes are left, not a multiple of %d", what(), rest, size)
	}
	if n == ToEnd {
		n = rest / size
	}
	if (uintptr(m.base)+uintptr(off))%uintptr(align) != 0 {
		return 0, 0, failf(ErrAlignment, "%s: not %d-byte aligned", what(), align)
	}
	if Mode(m.mode.Load()) != ReadOnly {
		writable = n
	}
	return n, writable, nil
}

// ptr returns the address of element i, which the caller has checked.
func (v View[T]) ptr(i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(*v.base)))
}

// Len returns the number of elements, which never changes.
func (v View[T]) Len() int { return v.n }

// Offset returns the offset of the first element, in bytes from the region's
// first.
func (v View[T]) Offset() int {
	switch {
	case v.base == nil:
		return 0
	case v.n == 0:
		return int(uintptr(unsafe.Pointer(v.base))-uintptr(v.region.base)) + 1
	}
	return int(uintptr(unsafe.Pointer(v.base)) - uintptr(v.region.base))
}

// Region returns the region of which v is a view, nil for the zero View.
func (v View[T]) Region() *Region { return v.region.region() }

// At returns element i.
func (v View[T]) At(i int) (x T) {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	x = *v.ptr(i)
	if raceEnabled {
		raceRead(v.region, unsafe.Pointer(v.ptr(i)), int(unsafe.Sizeof(x)))
	}
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
	if raceEnabled {
		raceWrite(v.region, unsafe.Pointer(v.ptr(i)), int(unsafe.Sizeof(x)))
	}
	runtime.KeepAlive(v.region)
}

// Ptr returns the address of element i: raw memory, like what [Region.Bytes]
// returns, with the same hazards. It is for a T that has methods with a pointer
// receiver, and for the functions of [sync/atomic].
func (v View[T]) Ptr(i int) *T {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	v.region.expose()
	return v.ptr(i)
}

// Sub returns the view of the elements from i up to but not including j.
func (v View[T]) Sub(i, j int) View[T] {
	if i < 0 || j < i || j > v.n {
		panic(subError{i, j, v.n})
	}
	if v.n == 0 {
		return v
	}
	if i == j {
		return View[T]{(*T)(v.region.before(v.Offset() + i*int(unsafe.Sizeof(*v.base)))), 0, 0, v.region}
	}
	return View[T]{v.ptr(i), j - i, min(v.w, j-i), v.region}
}

// Slice returns the elements as a slice of the mapped memory itself, with no spare
// capacity: raw memory, like what [Region.Bytes] returns, with the same hazards.
func (v View[T]) Slice() []T {
	if v.n > 0 {
		v.region.expose()
	}
	return unsafe.Slice(v.base, v.n)
}

// All returns an iterator over the indices and elements, in order. Each element is
// loaded when it is its turn.
func (v View[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.n {
			if !yield(i, v.At(i)) {
				return
			}
		}
	}
}

// Values returns an iterator over the elements, in order. Each is loaded when it
// is its turn. Over structs it is faster than a loop of At.
func (v View[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		// By offset: an index would be multiplied by the size of a struct each time.
		end := uintptr(v.n) * unsafe.Sizeof(*v.base)
		for off := uintptr(0); off < end; off += unsafe.Sizeof(*v.base) {
			p := unsafe.Add(unsafe.Pointer(v.base), off)
			x := *(*T)(p)
			if raceEnabled {
				raceRead(v.region, p, int(unsafe.Sizeof(x)))
			}
			if !yield(x) {
				break
			}
		}
		runtime.KeepAlive(v.region)
	}
}

// CopyTo copies elements to dst, as many as fit, and returns how many. As for copy,
// the two may overlap. Where the file was truncated, or the region is closed
// meanwhile, the count is that of the whole elements before the first byte that
// could not be accessed. The error is then a [*FaultError]. For 64 KiB or more,
// pages that are not in memory are brought in by system calls first, as in
// [Region.ReadAt].
func (v View[T]) CopyTo(dst []T) (int, error) { return v.copyTo(dst, false) }

// CopyFrom copies src to the elements, as many as fit, and returns how many. As
// for copy, the two may overlap. If the view cannot be stored to, it returns 0 and
// ErrReadOnly. Where the file was truncated, the disk is full, or the region is
// closed meanwhile, the count is that of the whole elements before the first byte
// that could not be stored. The error is then a [*FaultError].
func (v View[T]) CopyFrom(src []T) (int, error) { return v.copyFrom(src, false) }

func (v View[T]) copyTo(dst []T, reversed bool) (int, error) {
	n := min(len(dst), v.n)
	if n == 0 {
		return 0, v.check("copy from")
	}
	p, size := unsafe.Pointer(unsafe.SliceData(dst)), int(unsafe.Sizeof(*v.base))
	var err error
	if n*size < manyBytes {
		n, err = transfer(p, unsafe.Pointer(v.base), n, size, reversed)
	} else {
		n, err = v.region.transferMany(v.Offset(), p, n, size, reversed, aLoad)
	}
	if raceEnabled {
		raceRead(v.region, unsafe.Pointer(v.base), n*size)
	}
	runtime.KeepAlive(v.region)
	return n, err
}

func (v View[T]) copyFrom(src []T, reversed bool) (int, error) {
	n := min(len(src), v.n)
	if n == 0 {
		return 0, v.check("copy to")
	}
	if v.w == 0 {
		return 0, v.canStore("copy to")
	}
	p, size := unsafe.Pointer(unsafe.SliceData(src)), int(unsafe.Sizeof(*v.base))
	var err error
	if n*size < manyBytes {
		n, err = transfer(unsafe.Pointer(v.base), p, n, size, reversed)
	} else {
		n, err = v.region.transferMany(v.Offset(), p, n, size, reversed, aStore)
	}
	if raceEnabled {
		raceWrite(v.region, unsafe.Pointer(v.base), n*size)
	}
	runtime.KeepAlive(v.region)
	return n, err
}

// check returns ErrClosed if the region is closed. The zero View has none.
func (v View[T]) check(op string) error {
	if v.region == nil {
		return nil
	}
	return v.region.check(op)
}

// canStore returns ErrReadOnly if a view with elements cannot be stored to.
func (v View[T]) canStore(op string) error {
	if v.w > 0 {
		return nil
	}
	if err := v.check(op); err != nil {
		return err
	}
	return failf(ErrReadOnly, "%s a view of %d %v at offset %d of %s: %s",
		op, v.n, reflect.TypeFor[T](), v.Offset(), v.region.describe(), wasReadOnly)
}

// Fill stores x in every element. If the view cannot be stored to, it returns
// ErrReadOnly. Where the file was truncated, the disk is full or the region is
// closed meanwhile, it returns a [*FaultError], and the elements before it are
// stored.
func (v View[T]) Fill(x T) error {
	if v.n == 0 {
		return v.check("fill")
	}
	if err := v.canStore("fill"); err != nil {
		return err
	}
	size := unsafe.Sizeof(x)
	dst := unsafe.Slice((*byte)(unsafe.Pointer(v.base)), uintptr(v.n)*size)
	f, _ := catch(func() error {
		if b := unsafe.Slice((*byte)(unsafe.Pointer(&x)), size); isZero(b) {
			clear(dst)
		} else {
			fill(dst, b)
		}
		return nil
	})
	if raceEnabled {
		stored := len(dst)
		if f != nil {
			stored = f.off - v.Offset()
		}
		raceWrite(v.region, unsafe.Pointer(v.base), stored)
	}
	runtime.KeepAlive(v.region)
	if f != nil {
		return f.ofCopy(unsafe.Pointer(v.base), nil, len(dst))
	}
	return nil
}

// fill repeats x in dst, at the speed of copy: it doubles what is there until that
// is a block, and then repeats the block, which stays in the first-level cache.
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

// Sync is [Region.SyncRange] for the view's bytes: when it returns nil they are
// durable. It returns nil for the zero View.
func (v View[T]) Sync() error {
	if v.region == nil {
		return nil
	}
	return v.region.syncRange("sync", v.Offset(), v.n*int(unsafe.Sizeof(*v.base)))
}

// Get loads one value at byte off of the region, at any alignment, in the
// machine's byte order. Every failure is an error: ErrRange, ErrClosed, or a
// [*FaultError] where the file was truncated.
func Get[T Fixed](r *Region, off int) (T, error) {
	var x T
	if o, m := r.few(int64(off), int(unsafe.Sizeof(x))); o != nil && move(unsafe.Pointer(&x), m.at(off), int(unsafe.Sizeof(x))) {
		if raceEnabled {
			raceRead(o, m.at(off), int(unsafe.Sizeof(x)))
		}
		runtime.KeepAlive(o)
		return x, nil
	}
	err := r.get(unsafe.Pointer(&x), off, int(unsafe.Sizeof(x)))
	return x, err
}

// get loads size bytes to p.
func (r *Region) get(p unsafe.Pointer, off, size int) error {
	m, err := r.valid("get")
	if err != nil {
		return err
	}
	if _, err := m.within("get", off, size); err != nil {
		return err
	}
	n, err := transferByPages(p, m.at(off), size, 1, false)
	if raceEnabled {
		raceRead(r.o, m.at(off), n)
	}
	runtime.KeepAlive(r.o)
	return err
}

// Put stores x at byte off of the region, at any alignment, in the machine's byte
// order. Every failure is an error: ErrRange, ErrReadOnly, ErrClosed, or a
// [*FaultError] where the file was truncated or the disk is full. A value that
// straddles the end of what is there may then be stored in part.
func Put[T Fixed](r *Region, off int, x T) error {
	if o, m := r.few(int64(off), int(unsafe.Sizeof(x))); o != nil && Mode(m.mode.Load()) != ReadOnly && move(m.at(off), unsafe.Pointer(&x), int(unsafe.Sizeof(x))) {
		if raceEnabled {
			raceWrite(o, m.at(off), int(unsafe.Sizeof(x)))
		}
		runtime.KeepAlive(o)
		return nil
	}
	return r.put(unsafe.Pointer(&x), off, int(unsafe.Sizeof(x)))
}

// put stores size bytes from p.
func (r *Region) put(p unsafe.Pointer, off, size int) error {
	m, err := r.valid("put")
	if err != nil {
		return err
	}
	if _, err := m.within("put", off, size); err != nil {
		return err
	}
	if Mode(m.mode.Load()) == ReadOnly {
		return failf(ErrReadOnly, "put %d bytes at offset %d of %s: region is read-only: map it ReadWrite", size, off, m.describe())
	}
	n, err := transferByPages(m.at(off), p, size, 1, false)
	if raceEnabled {
		raceWrite(r.o, m.at(off), n)
	}
	runtime.KeepAlive(r.o)
	return err
}
