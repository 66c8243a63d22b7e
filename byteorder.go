package mmap

import (
	"iter"
	"math/bits"
	"runtime"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The idea: an integer of a file format is a load of that many bytes, reversed
// if the machine's order is the other one. Both are single instructions. How to
// load at any alignment differs: see unaligned.go and aligned.go.

// A BigEndian is n integers of type T, one after the other in a region at any
// alignment, most significant byte first whatever the machine. It is a small
// value: copy it freely. Index, read-only regions, faults and concurrency are
// as for a View; Region.SyncRange makes the integers durable.
//
// Floating-point numbers are integers to math.Float32frombits and
// math.Float64frombits. For a header of unequal fields, the functions of
// encoding/binary work on a slice of Region.Bytes, under Guard.
type BigEndian[T Integer] struct {
	big    *T // never loaded from or stored to as a T
	n, w   int
	region *Region
}

// A LittleEndian is like a BigEndian, least significant byte first.
type LittleEndian[T Integer] struct {
	little *T // named apart, so that neither order converts to the other
	n, w   int
	region *Region
}

// BigEndianOf makes a view of n big-endian integers of type T, of which the
// first is at byte off of the region, at any alignment. n may be ToEnd. Errors
// are as for ViewOf, without ErrAlignment.
func BigEndianOf[T Integer](r *Region, off, n int) (BigEndian[T], error) {
	v, err := view[T](r, off, n, 1)
	return BigEndian[T]{v.base, v.n, v.w, v.region}, err
}

// LittleEndianOf makes a view of n little-endian integers of type T, of which
// the first is at byte off of the region, at any alignment. n may be ToEnd. Errors
// are as for ViewOf, without ErrAlignment.
func LittleEndianOf[T Integer](r *Region, off, n int) (LittleEndian[T], error) {
	v, err := view[T](r, off, n, 1)
	return LittleEndian[T]{v.base, v.n, v.w, v.region}, err
}

// Len returns the number of integers, which never changes.
func (v BigEndian[T]) Len() int { return v.n }

// Len returns the number of integers, which never changes.
func (v LittleEndian[T]) Len() int { return v.n }

// Region returns the region of which v is a view, nil for the zero BigEndian.
func (v BigEndian[T]) Region() *Region { return v.region }

// Region returns the region of which v is a view, nil for the zero LittleEndian.
func (v LittleEndian[T]) Region() *Region { return v.region }

// view is v as a View, to compute with, not to access.
func (v BigEndian[T]) view() View[T] { return View[T]{v.big, v.n, v.w, v.region} }

// Sub returns the view of the integers from i up to but not including j.
func (v BigEndian[T]) Sub(i, j int) BigEndian[T] {
	s := v.view().Sub(i, j)
	return BigEndian[T]{s.base, s.n, s.w, s.region}
}

// view is v as a View, to compute with, not to access.
func (v LittleEndian[T]) view() View[T] { return View[T]{v.little, v.n, v.w, v.region} }

// Sub returns the view of the integers from i up to but not including j.
func (v LittleEndian[T]) Sub(i, j int) LittleEndian[T] {
	s := v.view().Sub(i, j)
	return LittleEndian[T]{s.base, s.n, s.w, s.region}
}

// At returns integer i.
func (v BigEndian[T]) At(i int) T {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	x := load((*T)(unsafe.Add(unsafe.Pointer(v.big), uintptr(i)*unsafe.Sizeof(*v.big))))
	if !hostIsBig {
		if unsafe.Sizeof(x) == 4 {
			x = T(bits.ReverseBytes32(uint32(x)))
		} else {
			x = T(bits.ReverseBytes64(uint64(x)) >> (64 - 8*unsafe.Sizeof(x)))
		}
	}
	runtime.KeepAlive(v.region)
	return x
}

// At returns integer i.
func (v LittleEndian[T]) At(i int) T {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	x := load((*T)(unsafe.Add(unsafe.Pointer(v.little), uintptr(i)*unsafe.Sizeof(*v.little))))
	if hostIsBig {
		if unsafe.Sizeof(x) == 4 {
			x = T(bits.ReverseBytes32(uint32(x)))
		} else {
			x = T(bits.ReverseBytes64(uint64(x)) >> (64 - 8*unsafe.Sizeof(x)))
		}
	}
	runtime.KeepAlive(v.region)
	return x
}

// Set stores x in integer i.
func (v BigEndian[T]) Set(i int, x T) {
	if uint(i) >= uint(v.n) || v.w == 0 {
		panic(storeError{i: i, n: v.n, w: v.w})
	}
	if !hostIsBig {
		if unsafe.Sizeof(x) == 4 {
			x = T(bits.ReverseBytes32(uint32(x)))
		} else {
			x = T(bits.ReverseBytes64(uint64(x)) >> (64 - 8*unsafe.Sizeof(x)))
		}
	}
	store((*T)(unsafe.Add(unsafe.Pointer(v.big), uintptr(i)*unsafe.Sizeof(x))), x)
	runtime.KeepAlive(v.region)
}

// Set stores x in integer i.
func (v LittleEndian[T]) Set(i int, x T) {
	if uint(i) >= uint(v.n) || v.w == 0 {
		panic(storeError{i: i, n: v.n, w: v.w})
	}
	if hostIsBig {
		if unsafe.Sizeof(x) == 4 {
			x = T(bits.ReverseBytes32(uint32(x)))
		} else {
			x = T(bits.ReverseBytes64(uint64(x)) >> (64 - 8*unsafe.Sizeof(x)))
		}
	}
	store((*T)(unsafe.Add(unsafe.Pointer(v.little), uintptr(i)*unsafe.Sizeof(x))), x)
	runtime.KeepAlive(v.region)
}

// All returns an iterator over the indices and integers, in order.
func (v BigEndian[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.n {
			if !yield(i, v.At(i)) {
				return
			}
		}
	}
}

// All returns an iterator over the indices and integers, in order.
func (v LittleEndian[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.n {
			if !yield(i, v.At(i)) {
				return
			}
		}
	}
}

// Values returns an iterator over the integers, in order.
func (v BigEndian[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range v.n {
			if !yield(v.At(i)) {
				return
			}
		}
	}
}

// Values returns an iterator over the integers, in order.
func (v LittleEndian[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range v.n {
			if !yield(v.At(i)) {
				return
			}
		}
	}
}

// CopyTo copies integers to dst, as many as fit, and returns how many. As for
// copy, the two may overlap.
func (v BigEndian[T]) CopyTo(dst []T) int {
	return v.view().move(dst, v.view().all(), howBig)
}

// CopyTo copies integers to dst, as many as fit, and returns how many. As for
// copy, the two may overlap.
func (v LittleEndian[T]) CopyTo(dst []T) int {
	return v.view().move(dst, v.view().all(), howLittle)
}

// CopyFrom copies src to the integers, as many as fit, and returns how many. As
// for copy, the two may overlap.
func (v BigEndian[T]) CopyFrom(src []T) int {
	return v.view().move(v.view().all(), src, storing|howBig)
}

// CopyFrom copies src to the integers, as many as fit, and returns how many. As
// for copy, the two may overlap.
func (v LittleEndian[T]) CopyFrom(src []T) int {
	return v.view().move(v.view().all(), src, storing|howLittle)
}

const hostIsBig = cpu.IsBigEndian

// How bulk copies move integers of either order.
var howBig, howLittle = reversing, 0

func init() {
	if hostIsBig {
		howBig, howLittle = howLittle, howBig
	}
}

// copyReversed copies n bytes from src to dst and reverses the bytes of each
// element of size bytes, 2, 4 or 8. It goes by words of 8 bytes whatever the
// size, in the direction that is right if the two overlap.
func copyReversed(dst, src unsafe.Pointer, n, size int) {
	words := n &^ 7
	if uintptr(dst)-uintptr(src) < uintptr(n) { // dst begins within src: downwards
		for i := n - size; i >= words; i -= size {
			copyOneReversed(unsafe.Add(dst, i), unsafe.Add(src, i), size)
		}
		for i := words - 8; i >= 0; i -= 8 {
			w := load((*uint64)(unsafe.Add(src, i)))
			switch size {
			case 2:
				w = reverse16s(w)
			case 4:
				w = reverse32s(w)
			case 8:
				w = bits.ReverseBytes64(w)
			}
			store((*uint64)(unsafe.Add(dst, i)), w)
		}
		return
	}
	switch size {
	case 2:
		for i := 0; i < words; i += 8 {
			store((*uint64)(unsafe.Add(dst, i)), reverse16s(load((*uint64)(unsafe.Add(src, i)))))
		}
	case 4:
		for i := 0; i < words; i += 8 {
			store((*uint64)(unsafe.Add(dst, i)), reverse32s(load((*uint64)(unsafe.Add(src, i)))))
		}
	case 8:
		for i := 0; i < words; i += 8 {
			store((*uint64)(unsafe.Add(dst, i)), bits.ReverseBytes64(load((*uint64)(unsafe.Add(src, i)))))
		}
	}
	for i := words; i < n; i += size {
		copyOneReversed(unsafe.Add(dst, i), unsafe.Add(src, i), size)
	}
}

// reverse16s and reverse32s reverse the bytes of each 16 or 32 bits of w.
func reverse16s(w uint64) uint64 {
	const low = 0x00ff00ff00ff00ff
	return w&low<<8 | w>>8&low
}

func reverse32s(w uint64) uint64 { return bits.RotateLeft64(bits.ReverseBytes64(w), 32) }

func copyOneReversed(dst, src unsafe.Pointer, size int) {
	if size == 2 {
		store((*uint16)(dst), bits.ReverseBytes16(load((*uint16)(src))))
	} else {
		store((*uint32)(dst), bits.ReverseBytes32(load((*uint32)(src))))
	}
}
