package mmap

import (
	"iter"
	"math/bits"
	"runtime"
	"unsafe"
)

// The idea: a number of a file format is a load of that many bytes, reversed if
// the machine's order is the other one. Both are single instructions. How to
// load at any alignment differs: see unaligned.go and aligned.go.

// A BigEndian is n numbers of type T, one after the other in a region, at any
// alignment. Their most significant byte comes first, whatever the machine.
// It is a small value: copy it freely. Index, read-only regions, faults and
// concurrency are as for a [View].
//
// The bits of a floating-point number are kept as they are, even those
// of a signalling NaN. For a header whose fields differ in type, use
// [encoding/binary] on a slice of [Region.Bytes], under [Guard].
type BigEndian[T Fixed] struct{ numbers ordered[T, big[T]] }

// A LittleEndian is like a [BigEndian], but with the least significant byte first.
type LittleEndian[T Fixed] struct{ numbers ordered[T, little[T]] }

// ordered is what BigEndian and LittleEndian have in common. It is not embedded: the
// documentation would show its methods without the type parameter.
type ordered[T Fixed, O byteOrder[T]] struct {
	base *T // at any address
	n, w int

	region *owner
}

// A byteOrder is a byte order as a type parameter. Its size is the number of
// bytes to reverse in a number of type T: all or none. That is a constant where
// T and the order are known, so of a switch on it one case is compiled.
type byteOrder[T Fixed] interface{ big[T] | little[T] }

type (
	big[T Fixed]    [1 - hostBig]T
	little[T Fixed] [hostBig]T
)

// BigEndianOf makes a view of n big-endian numbers of type T. The first is at byte
// off of the region, at any alignment. n may be [ToEnd]. Errors
// are as for [ViewOf], without [ErrAlignment].
func BigEndianOf[T Fixed](r *Region, off, n int) (BigEndian[T], error) {
	v, err := view[T](r, off, n, 1)
	return BigEndian[T]{orderedOf[T, big[T]](v)}, err
}

// LittleEndianOf makes a view of n little-endian numbers of type T. The first is at
// byte off of the region, at any alignment. n may be [ToEnd].
// Errors are as for [ViewOf], without [ErrAlignment].
func LittleEndianOf[T Fixed](r *Region, off, n int) (LittleEndian[T], error) {
	v, err := view[T](r, off, n, 1)
	return LittleEndian[T]{orderedOf[T, little[T]](v)}, err
}

// orderedOf is v in the order O. The other way, view is v as a View, to compute
// with, not to access.
func orderedOf[T Fixed, O byteOrder[T]](v View[T]) ordered[T, O] {
	return ordered[T, O](v)
}

func (v ordered[T, O]) view() View[T] { return View[T](v) }

// Len returns the number of elements, which never changes.
func (v BigEndian[T]) Len() int { return v.numbers.n }

// Len returns the number of elements, which never changes.
func (v LittleEndian[T]) Len() int { return v.numbers.n }

// Offset returns the offset of the first number, in bytes from the region's first.
func (v BigEndian[T]) Offset() int { return v.numbers.view().Offset() }

// Offset returns the offset of the first number, in bytes from the region's first.
func (v LittleEndian[T]) Offset() int { return v.numbers.view().Offset() }

// Region returns the region of which v is a view, nil for the zero value.
func (v BigEndian[T]) Region() *Region { return v.numbers.region.region() }

// Region returns the region of which v is a view, nil for the zero value.
func (v LittleEndian[T]) Region() *Region { return v.numbers.region.region() }

// At returns number i.
func (v BigEndian[T]) At(i int) (x T) {
	x = v.numbers.at(i)
	runtime.KeepAlive(v.numbers.region)
	return
}

// At returns number i.
func (v LittleEndian[T]) At(i int) (x T) {
	x = v.numbers.at(i)
	runtime.KeepAlive(v.numbers.region)
	return
}

// Set stores x in number i.
func (v BigEndian[T]) Set(i int, x T) { v.numbers.set(i, x) }

// Set stores x in number i.
func (v LittleEndian[T]) Set(i int, x T) { v.numbers.set(i, x) }

// Sub returns the view of the numbers from i up to but not including j.
func (v BigEndian[T]) Sub(i, j int) BigEndian[T] {
	return BigEndian[T]{orderedOf[T, big[T]](v.numbers.view().Sub(i, j))}
}

// Sub returns the view of the numbers from i up to but not including j.
func (v LittleEndian[T]) Sub(i, j int) LittleEndian[T] {
	return LittleEndian[T]{orderedOf[T, little[T]](v.numbers.view().Sub(i, j))}
}

// The bodies of All and Values stand on both types: through a method of ordered, loops
// over them were slower.

// All returns an iterator over the indices and numbers, in order. Each number is
// loaded when it is its turn.
func (v BigEndian[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.numbers.n {
			x := v.numbers.at(i)
			runtime.KeepAlive(v.numbers.region)
			if !yield(i, x) {
				return
			}
		}
	}
}

// All returns an iterator over the indices and numbers, in order. Each number is
// loaded when it is its turn.
func (v LittleEndian[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.numbers.n {
			x := v.numbers.at(i)
			runtime.KeepAlive(v.numbers.region)
			if !yield(i, x) {
				return
			}
		}
	}
}

// Values returns an iterator over the numbers, in order. Each is loaded when it is
// its turn.
func (v BigEndian[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range v.numbers.n {
			x := v.numbers.at(i)
			runtime.KeepAlive(v.numbers.region)
			if !yield(x) {
				return
			}
		}
	}
}

// Values returns an iterator over the numbers, in order. Each is loaded when it is
// its turn.
func (v LittleEndian[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range v.numbers.n {
			x := v.numbers.at(i)
			runtime.KeepAlive(v.numbers.region)
			if !yield(x) {
				return
			}
		}
	}
}

// CopyTo copies numbers to dst, as many as fit, and returns how many. Overlap and
// errors are as for [View.CopyTo].
func (v BigEndian[T]) CopyTo(dst []T) (int, error) {
	return v.numbers.view().copyTo(dst, v.numbers.reversed())
}

// CopyTo copies numbers to dst, as many as fit, and returns how many. Overlap and
// errors are as for [View.CopyTo].
func (v LittleEndian[T]) CopyTo(dst []T) (int, error) {
	return v.numbers.view().copyTo(dst, v.numbers.reversed())
}

// CopyFrom copies src to the numbers, as many as fit, and returns how many. Overlap
// and errors are as for [View.CopyFrom].
func (v BigEndian[T]) CopyFrom(src []T) (int, error) {
	return v.numbers.view().copyFrom(src, v.numbers.reversed())
}

// CopyFrom copies src to the numbers, as many as fit, and returns how many. Overlap
// and errors are as for [View.CopyFrom].
func (v LittleEndian[T]) CopyFrom(src []T) (int, error) {
	return v.numbers.view().copyFrom(src, v.numbers.reversed())
}

// Fill stores x in every number. Errors are as for [View.Fill].
func (v BigEndian[T]) Fill(x T) error { return v.numbers.fill(x) }

// Fill stores x in every number. Errors are as for [View.Fill].
func (v LittleEndian[T]) Fill(x T) error { return v.numbers.fill(x) }

// Sync is [Region.SyncRange] for the view's bytes: when it returns nil they are
// durable. It returns nil for the zero value.
func (v BigEndian[T]) Sync() error { return v.numbers.view().Sync() }

// Sync is [Region.SyncRange] for the view's bytes: when it returns nil they are
// durable. It returns nil for the zero value.
func (v LittleEndian[T]) Sync() error { return v.numbers.view().Sync() }

// at is At for a caller that keeps the region alive. It does not do so itself:
// between the store to x and the load that returns it, KeepAlive would make both
// go to memory.
func (v ordered[T, O]) at(i int) (x T) {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	if unalignedAccess { // like load, which would cost too much: see TestInlining
		x = *(*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x)))
	} else {
		x = load((*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x))))
	}
	if raceEnabled {
		raceRead(v.region, unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x)), int(unsafe.Sizeof(x)))
	}
	switch unsafe.Sizeof(*new(O)) {
	case 2:
		if runtime.GOARCH == "amd64" { // a rotation is one instruction; the cost of ReverseBytes16 is its body's
			*(*uint16)(unsafe.Pointer(&x)) = bits.RotateLeft16(*(*uint16)(unsafe.Pointer(&x)), 8)
		} else {
			*(*uint16)(unsafe.Pointer(&x)) = uint16(bits.ReverseBytes32(uint32(*(*uint16)(unsafe.Pointer(&x)))) >> 16)
		}
	case 4:
		*(*uint32)(unsafe.Pointer(&x)) = bits.ReverseBytes32(*(*uint32)(unsafe.Pointer(&x)))
	case 8:
		*(*uint64)(unsafe.Pointer(&x)) = bits.ReverseBytes64(*(*uint64)(unsafe.Pointer(&x)))
	}
	return x
}

// set is Set.
func (v ordered[T, O]) set(i int, x T) {
	if uint(i) >= uint(v.n) || v.w == 0 {
		panic(storeError{i: i, n: v.n, w: v.w})
	}
	switch unsafe.Sizeof(*new(O)) { // the same again: a function would cost too much
	case 2:
		if runtime.GOARCH == "amd64" {
			*(*uint16)(unsafe.Pointer(&x)) = bits.RotateLeft16(*(*uint16)(unsafe.Pointer(&x)), 8)
		} else {
			*(*uint16)(unsafe.Pointer(&x)) = uint16(bits.ReverseBytes32(uint32(*(*uint16)(unsafe.Pointer(&x)))) >> 16)
		}
	case 4:
		*(*uint32)(unsafe.Pointer(&x)) = bits.ReverseBytes32(*(*uint32)(unsafe.Pointer(&x)))
	case 8:
		*(*uint64)(unsafe.Pointer(&x)) = bits.ReverseBytes64(*(*uint64)(unsafe.Pointer(&x)))
	}
	if unalignedAccess {
		*(*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x))) = x
	} else {
		store((*T)(unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x))), x)
	}
	if raceEnabled {
		raceWrite(v.region, unsafe.Add(unsafe.Pointer(v.base), uintptr(i)*unsafe.Sizeof(x)), int(unsafe.Sizeof(x)))
	}
	runtime.KeepAlive(v.region)
}

// reversed reports whether the order is not the machine's.
func (v ordered[T, O]) reversed() bool { return unsafe.Sizeof(*new(O)) > 0 }

// fill is Fill.
func (v ordered[T, O]) fill(x T) error {
	if size := int(unsafe.Sizeof(*new(O))); size > 1 {
		given := x
		copyReversed(unsafe.Pointer(&x), unsafe.Pointer(&given), size, size)
	}
	return v.view().Fill(x)
}

const hostIsBig = hostBig == 1

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
