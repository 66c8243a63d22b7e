package mmap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"
)

// An order is a view type of the two that this file is about, and what
// encoding/binary calls it.
type order[T Fixed] struct {
	name   string
	binary binary.AppendByteOrder
	view   func(r *Region, off, n int) (orderView[T], error)
}

type orderView[T Fixed] interface {
	Len() int
	At(i int) T
	Set(i int, x T)
	CopyTo(dst []T) (int, error)
	CopyFrom(src []T) (int, error)
	Fill(x T) error
}

// raw is the bytes of values, to compare numbers bit by bit.
func raw[T Fixed](values ...T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(*new(T))))
}

func orders[T Fixed]() []order[T] {
	return []order[T]{
		{"BigEndian", binary.BigEndian, func(r *Region, off, n int) (orderView[T], error) { return BigEndianOf[T](r, off, n) }},
		{"LittleEndian", binary.LittleEndian, func(r *Region, off, n int) (orderView[T], error) { return LittleEndianOf[T](r, off, n) }},
	}
}

// encode is what encoding/binary makes of the values.
func encode[T Fixed](o binary.AppendByteOrder, values []T) []byte {
	var b []byte
	for _, x := range values {
		switch unsafe.Sizeof(x) {
		case 1:
			b = append(b, *(*byte)(unsafe.Pointer(&x)))
		case 2:
			b = o.AppendUint16(b, *(*uint16)(unsafe.Pointer(&x)))
		case 4:
			b = o.AppendUint32(b, *(*uint32)(unsafe.Pointer(&x)))
		case 8:
			b = o.AppendUint64(b, *(*uint64)(unsafe.Pointer(&x)))
		}
	}
	return b
}

func testOrders[T Fixed](t *testing.T) {
	const most = 37
	size := int(unsafe.Sizeof(*new(T)))
	name := tempFile(t, make([]byte, 2*most*size+64))
	r := open(t, name, ReadWrite)
	values := make([]T, most)
	x := uint64(0x0102030405060708)
	for i := range raw(values...) {
		x = x*6364136223846793005 + 1442695040888963407
		raw(values...)[i] = byte(x >> 56)
	}
	for _, o := range orders[T]() {
		t.Run(fmt.Sprintf("%s[%T]", o.name, values[0]), func(t *testing.T) {
			for off := range 17 {
				for _, n := range []int{0, 1, 2, 3, 4, 5, 8, 31, most} {
					clear(r.Bytes())
					v, err := o.view(r, off, n)
					if err != nil {
						t.Fatal(err)
					}
					want := make([]byte, r.Len())
					copy(want[off:], encode(o.binary, values[:n]))
					for i, x := range values[:n] {
						v.Set(i, x)
					}
					if !bytes.Equal(r.Bytes(), want) {
						t.Fatalf("offset %d, %d values: Set made\n%x, want\n%x", off, n, r.Bytes(), want)
					}
					for i, x := range values[:n] {
						if got := v.At(i); !bytes.Equal(raw(got), raw(x)) {
							t.Fatalf("offset %d: At(%d) = %#x, want %#x", off, i, got, x)
						}
					}
					got := make([]T, n+1)
					if k, err := v.CopyTo(got); k != n || err != nil || !bytes.Equal(raw(got[:n]...), raw(values[:n]...)) || got[n] != 0 {
						t.Fatalf("offset %d: CopyTo = %d, %#x, want %#x", off, k, got, values[:n])
					}
					clear(r.Bytes())
					if k, err := v.CopyFrom(values); k != n || err != nil || !bytes.Equal(r.Bytes(), want) {
						t.Fatalf("offset %d: CopyFrom = %d, made\n%x, want\n%x", off, k, r.Bytes(), want)
					}
					copy(want[off:], encode(o.binary, slices.Repeat(values[1:2], n)))
					if err := v.Fill(values[1]); err != nil || !bytes.Equal(r.Bytes(), want) {
						t.Fatalf("offset %d: Fill made\n%x, want\n%x", off, r.Bytes(), want)
					}
				}
			}
		})
	}
}

func TestByteOrders(t *testing.T) {
	testOrders[int8](t)
	testOrders[uint8](t)
	testOrders[int16](t)
	testOrders[uint16](t)
	testOrders[int32](t)
	testOrders[uint32](t)
	testOrders[int64](t)
	testOrders[uint64](t)
	testOrders[myInt](t)
	testOrders[float32](t)
	testOrders[float64](t)
	testOrders[myFloat](t)
}

type myFloat float64

// TestNaNsKeepTheirBits stores and loads NaNs in every way: of both signs, quiet
// and signalling, with payloads. A signalling one must not come back quiet.
func TestNaNsKeepTheirBits(t *testing.T) {
	testNaNs(t, float32(0), []uint32{0x7fc00000, 0xffc12345, 0x7f800001, 0xff812345, 0x7fbfffff})
	testNaNs(t, float64(0), []uint64{0x7ff8000000000000, 0xfff8123456789abc, 0x7ff0000000000001, 0xfff0123456789abc, 0x7ff7ffffffffffff})
}

func testNaNs[T Fixed, U Integer](t *testing.T, _ T, nans []U) {
	r := anonymousRegion(t, 4096)
	values := unsafe.Slice((*T)(unsafe.Pointer(&nans[0])), len(nans))
	for _, o := range orders[T]() {
		v, err := o.view(r, 3, len(nans))
		if err != nil {
			t.Fatal(err)
		}
		want := encode(o.binary, values)
		check := func(how string, got, want []byte) {
			t.Helper()
			if !bytes.Equal(got, want) {
				t.Errorf("%s[%T].%s made %x, want %x", o.name, values[0], how, got, want)
			}
		}
		for i := range values {
			v.Set(i, values[i])
		}
		check("Set", r.Bytes()[3:3+len(want)], want)
		got := make([]T, len(nans))
		for i := range got {
			got[i] = v.At(i)
		}
		check("At", raw(got...), raw(values...))
		clear(got)
		v.CopyTo(got)
		check("CopyTo", raw(got...), raw(values...))
		clear(r.Bytes())
		v.CopyFrom(got)
		check("CopyFrom", r.Bytes()[3:3+len(want)], want)
		for i := range values {
			v.Fill(values[i])
			check("Fill", r.Bytes()[3:3+len(want)], encode(o.binary, slices.Repeat(values[i:i+1], len(values))))
		}
	}
}

// TestFloatLoops adds up floats with At in a loop, where the compiler keeps them
// in registers, and with the iterators.
func TestFloatLoops(t *testing.T) {
	r := anonymousRegion(t, 4096)
	b, _ := BigEndianOf[float32](r, 1, 100)
	l, _ := LittleEndianOf[float64](r, 1001, 100)
	var want float64
	for i := range b.Len() {
		b.Set(i, float32(i)+0.5)
		l.Set(i, float64(i)+0.25)
		want += float64(i)
	}
	var at, all, values float64
	for i := range b.Len() {
		at += float64(b.At(i)) + l.At(i)
	}
	for i, x := range b.All() {
		all += float64(x) + l.At(i)
	}
	for x := range b.Values() {
		values += float64(x)
	}
	for x := range l.Values() {
		values += x
	}
	if want := 2*want + 75; at != want || all != want || values != want {
		t.Errorf("sums %v, %v, %v, want %v", at, all, values, want)
	}
}

func TestByteOrderIterators(t *testing.T) {
	r := open(t, tempFile(t, []byte{0xff, 0, 1, 0, 2, 0, 3}), ReadOnly)
	b, err := BigEndianOf[int16](r, 1, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "big-endian", slices.Collect(b.Values()), []int16{1, 2, 3})
	l, err := LittleEndianOf[int16](r, 1, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "little-endian", slices.Collect(l.Sub(1, 3).Values()), []int16{0x200, 0x300})
	sum := 0
	for i, x := range b.All() {
		if i == 2 {
			break
		}
		sum += (i + 1) * int(x)
	}
	for i, x := range l.All() {
		if i == 1 {
			break
		}
		sum += int(x)
	}
	if sum != 1+4+0x100 {
		t.Errorf("sum %d", sum)
	}
	if b.Region() != r || l.Region() != r || b.Sub(1, 1).Len() != 0 {
		t.Error("the views belong to something else")
	}
}

func TestByteOrderMisuse(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	rw, ro := open(t, name, ReadWrite), open(t, name, ReadOnly)
	b, err := BigEndianOf[int32](rw, 3, 20)
	if err != nil {
		t.Fatal(err)
	}
	l, err := LittleEndianOf[int32](rw, 3, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 20, math.MaxInt, math.MinInt} {
		for _, fn := range []func(){
			func() { b.At(i) }, func() { b.Set(i, 1) }, func() { l.At(i) }, func() { l.Set(i, 1) },
		} {
			wantPanic(t, ErrRange, fn, itoa(i), "20 elements")
		}
	}
	wantPanic(t, ErrRange, func() { b.Sub(3, 2) }, "3:2")
	wantPanic(t, ErrRange, func() { l.Sub(0, 21) }, "0:21")
	rb, _ := BigEndianOf[int32](ro, 3, 20)
	rl, _ := LittleEndianOf[int32](ro, 3, 20)
	for _, fn := range []func(){func() { rb.Set(1, 1) }, func() { rl.Set(1, 1) }} {
		wantPanic(t, ErrReadOnly, fn, "read-only")
	}
	for _, fn := range []func([]int32) (int, error){rb.CopyFrom, rl.CopyFrom} {
		n, err := fn([]int32{1})
		if wantErr(t, err, ErrReadOnly, "read-only"); n != 0 {
			t.Errorf("copied %d elements to a read-only view", n)
		}
	}
	for _, tt := range []struct {
		off, n int
		err    error
	}{{0, 26, ErrRange}, {97, 1, ErrRange}, {-1, 1, ErrRange}, {1, math.MaxInt, ErrRange}, {math.MaxInt, 1, ErrRange}, {0, -2, ErrRange}, {1, ToEnd, ErrLayout}} {
		_, err := BigEndianOf[uint32](ro, tt.off, tt.n)
		wantErr(t, err, tt.err, name)
		_, err = LittleEndianOf[uint32](ro, tt.off, tt.n)
		wantErr(t, err, tt.err, name)
	}
}

// TestReversingCopiesThatOverlap moves values within the region, up and down by
// every small distance, against a copy by way of other memory.
func TestReversingCopiesThatOverlap(t *testing.T) {
	before := pattern(200) // more than 23 + 17*8
	raw := anonymousRegion(t, int64(len(before))).Bytes()
	for size := 2; size <= 8; size *= 2 {
		for _, n := range []int{1, 2, 3, 5, 16, 17} {
			for from := 0; from < 24; from++ {
				for to := 0; to < 24; to++ {
					copy(raw, before)
					want := bytes.Clone(before)
					for i := range n {
						for j := range size {
							want[to+i*size+j] = before[from+i*size+size-1-j]
						}
					}
					copyReversed(unsafe.Pointer(&raw[to]), unsafe.Pointer(&raw[from]), n*size, size)
					if !bytes.Equal(raw, want) {
						t.Fatalf("%d values of %d bytes from %d to %d: made\n%x, want\n%x", n, size, from, to, raw, want)
					}
				}
			}
		}
	}
}

// fuzzView checks one view of random memory at a random place against
// encoding/binary on a copy of it.
func fuzzView[T Fixed](t *testing.T, r *Region, model []byte, off, n, i int, x T, o order[T]) {
	size := int(unsafe.Sizeof(x))
	v, err := o.view(r, off, n)
	fits := off >= 0 && off <= len(model) && (n >= 0 && n <= (len(model)-off)/size || n == ToEnd && (len(model)-off)%size == 0)
	if (err == nil) != fits {
		t.Fatalf("%s of %d bytes at %d of %d: %v", o.name, n*size, off, len(model), err)
	}
	if err != nil {
		return
	}
	if n == ToEnd {
		n = (len(model) - off) / size
	}
	if i < 0 || i >= n {
		wantPanic(t, ErrRange, func() { v.At(i) })
		wantPanic(t, ErrRange, func() { v.Set(i, x) })
		return
	}
	at := model[off+i*size:]
	v.Set(i, x)
	copy(at, encode(o.binary, []T{x}))
	if got := v.At(i); !bytes.Equal(raw(got), raw(x)) || !bytes.Equal(r.Bytes(), model) {
		t.Fatalf("%s: set %#x at %d, got %#x", o.name, x, i, got)
	}
	all := make([]T, n)
	v.CopyTo(all)
	if !bytes.Equal(encode(o.binary, all), model[off:off+n*size]) {
		t.Fatalf("%s: CopyTo of %d at %d is %#x", o.name, n, off, all)
	}
	slices.Reverse(all)
	v.CopyFrom(all)
	copy(model[off:], encode(o.binary, all))
	if !bytes.Equal(r.Bytes(), model) {
		t.Fatalf("%s: CopyFrom of %d at %d", o.name, n, off)
	}
}

func fuzzOrders[T Fixed](t *testing.T, r *Region, model []byte, off, n, i int, x uint64) {
	for _, o := range orders[T]() {
		fuzzView(t, r, model, off, n, i, T(x), o)
	}
	native := order[T]{"View", nativeOrder(), func(r *Region, off, n int) (orderView[T], error) { return view[T](r, off, n, 1) }}
	if size := int(unsafe.Sizeof(*new(T))); off%size == 0 {
		fuzzView(t, r, model, off, n, i, T(x), native)
	}
}

func nativeOrder() binary.AppendByteOrder {
	if hostIsBig {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func FuzzViews(f *testing.F) {
	f.Add([]byte("some bytes to begin with, and some more"), 3, 4, 1, uint64(0x0102030405060708), uint8(0))
	f.Add(pattern(100), 8, ToEnd, 2, uint64(math.MaxUint64), uint8(2))
	f.Add(pattern(64), 0, 8, 7, uint64(900), uint8(3))
	f.Add(pattern(9), 1, 8, -1, uint64(1), uint8(1))
	f.Add(pattern(9), math.MaxInt, math.MaxInt, math.MinInt, uint64(1), uint8(7))
	f.Add([]byte{}, 0, 0, 0, uint64(1), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, off, n, i int, x uint64, kind uint8) {
		if len(data) > 1<<16 {
			t.Skip("large inputs only take time")
		}
		r := anonymousRegion(t, int64(len(data)))
		copy(r.Bytes(), data)
		model := bytes.Clone(data)
		switch kind % 10 {
		case 0:
			fuzzOrders[int8](t, r, model, off, n, i, x)
		case 1:
			fuzzOrders[uint8](t, r, model, off, n, i, x)
		case 2:
			fuzzOrders[int16](t, r, model, off, n, i, x)
		case 3:
			fuzzOrders[uint16](t, r, model, off, n, i, x)
		case 4:
			fuzzOrders[int32](t, r, model, off, n, i, x)
		case 5:
			fuzzOrders[uint32](t, r, model, off, n, i, x)
		case 6:
			fuzzOrders[int64](t, r, model, off, n, i, x)
		case 7:
			fuzzOrders[uint64](t, r, model, off, n, i, x)
		case 8:
			fuzzOrders[float32](t, r, model, off, n, i, x)
		case 9:
			fuzzOrders[float64](t, r, model, off, n, i, x)
		}
		if off >= 0 && off < len(data) {
			if err := Put(r, off, uint16(x)); (err == nil) != (off+2 <= len(data)) {
				t.Errorf("Put at %d of %d: %v", off, len(data), err)
			}
		}
	})
}

func TestRandomViews(t *testing.T) {
	x := uint64(1)
	next := func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int(x % uint64(n))
	}
	r := anonymousRegion(t, 600)
	for range rounds(20_000) {
		model := bytes.Clone(r.Bytes())
		off, n, i, v := next(620)-10, next(80)-2, next(60)-2, x
		switch next(5) {
		case 0:
			fuzzOrders[int16](t, r, model, off, n, i, v)
		case 1:
			fuzzOrders[uint32](t, r, model, off, n, i, v)
		case 2:
			fuzzOrders[int64](t, r, model, off, n, i, v)
		case 3:
			fuzzOrders[uint8](t, r, model, off, n, i, v)
		case 4:
			fuzzOrders[float64](t, r, model, off, n, i, v)
		}
	}
}
