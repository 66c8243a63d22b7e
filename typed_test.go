package mmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestTheCInt900(t *testing.T) {
	name := tempFile(t, binary.NativeEndian.AppendUint32(nil, 900))
	r := open(t, name, ReadWrite)
	v, err := ViewOf[int32](r, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.At(0); got != 900 {
		t.Errorf("read %d, want 900", got)
	}
	v.Set(0, -7)
	if err := v.Sync(); err != nil {
		t.Error(err)
	}
	if got := int32(binary.NativeEndian.Uint32(contents(t, name))); got != -7 {
		t.Errorf("the file has %d, want -7", got)
	}
}

// testView runs one view type through all of its methods, against a slice.
func testView[T Fixed](t *testing.T, values ...T) {
	t.Helper()
	r := anonymousRegion(t, 1<<16)
	size := int(unsafe.Sizeof(values[0]))
	n := len(values)
	v, err := ViewOf[T](r, 8*size, n)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != n || v.Region() != r {
		t.Errorf("Len %d, Region %v", v.Len(), v.Region())
	}
	for i, x := range values {
		v.Set(i, x)
	}
	for i, x := range values {
		if v.At(i) != x || *v.Ptr(i) != x || v.Slice()[i] != x {
			t.Errorf("element %d: At %v, Ptr %v, Slice %v, want %v", i, v.At(i), *v.Ptr(i), v.Slice()[i], x)
		}
		if got, err := Get[T](r, (8+i)*size); got != x || err != nil {
			t.Errorf("Get of element %d: %v, %v", i, got, err)
		}
	}
	diff(t, "Values", slices.Collect(v.Values()), values)
	var indices []int
	for i, x := range v.All() {
		if x != values[i] {
			t.Errorf("All: element %d is %v", i, x)
		}
		indices = append(indices, i)
		if i == n-2 {
			break
		}
	}
	if len(indices) != n-1 {
		t.Errorf("All went on after break: %v", indices)
	}
	got := make([]T, n+3)
	if k, err := v.CopyTo(got); k != n || err != nil {
		t.Errorf("CopyTo = %d", k)
	}
	diff(t, "CopyTo", got[:n], values)
	if k, err := v.CopyTo(got[:2]); k != 2 || err != nil {
		t.Errorf("CopyTo a shorter slice = %d", k)
	}
	slices.Reverse(got[:n])
	if k, err := v.CopyFrom(got); k != n || err != nil {
		t.Errorf("CopyFrom = %d", k)
	}
	diff(t, "CopyFrom", v.Slice(), got[:n])
	s := v.Sub(1, n-1)
	s.Fill(values[0])
	for i := range n {
		want := values[0]
		if i == 0 || i == n-1 {
			want = got[i]
		}
		if v.At(i) != want {
			t.Errorf("after Fill of [1:%d], element %d is %v, want %v", n-1, i, v.At(i), want)
		}
	}
	if b := r.Bytes(); !bytes.Equal(b[:8*size], make([]byte, 8*size)) || !bytes.Equal(b[(8+n)*size:(16+n)*size], make([]byte, 8*size)) {
		t.Error("bytes outside the view have changed")
	}
}

type celsius float32

func TestViewOfEveryFixedType(t *testing.T) {
	testView[int8](t, -128, -1, 0, 1, 127)
	testView[int16](t, math.MinInt16, -1, 0, 1, math.MaxInt16)
	testView[int32](t, math.MinInt32, -1, 0, 1, math.MaxInt32)
	testView[int64](t, math.MinInt64, -1, 0, 1, math.MaxInt64)
	testView[uint8](t, 0, 1, 255, 128)
	testView[uint16](t, 0, 1, math.MaxUint16, 0x0102)
	testView[uint32](t, 0, 1, math.MaxUint32, 0x01020304)
	testView[uint64](t, 0, 1, math.MaxUint64, 0x0102030405060708)
	testView[float32](t, 0, -1.5, math.MaxFloat32, float32(math.Inf(1)))
	testView[float64](t, 0, -1.5, math.MaxFloat64, math.Inf(-1))
	testView[celsius](t, -40, 0, 36.6, 100)
}

func TestViewOfWhatIsOutside(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	r := open(t, name, ReadWrite)
	const top = math.MaxInt
	for _, tt := range []struct {
		off, n int
		err    error
		words  []string
	}{
		{0, 12, nil, nil},
		{96, 0, nil, nil},
		{100, 0, ErrAlignment, nil}, // of an empty view too
		{0, 13, ErrRange, []string{"13 int64", "offset 0", "100 bytes", name}},
		{96, 1, ErrRange, []string{"1 int64", "offset 96"}},
		{104, 0, ErrRange, []string{"offset 104"}},
		{-8, 1, ErrRange, []string{"offset -8"}},
		{0, -2, ErrRange, []string{"-2 int64"}},
		{0, top, ErrRange, nil},
		{0, top/8 + 1, ErrRange, nil}, // overflows when multiplied
		{0, 1 << (bitsOfInt - 3), ErrRange, nil},
		{top, 1, ErrRange, nil},
		{top - 7, top, ErrRange, nil},
		{math.MinInt, 1, ErrRange, nil},
		{4, 3, ErrAlignment, []string{"3 int64", "offset 4", name, "8-byte aligned"}},
		{4, ToEnd, nil, nil},
		{0, ToEnd, ErrLayout, []string{"100 bytes", "8"}},
		{104, ToEnd, ErrRange, nil},
		{-8, ToEnd, ErrRange, nil},
	} {
		_, err := ViewOf[int64](r, tt.off, tt.n)
		if tt.n == ToEnd && tt.off == 4 {
			wantErr(t, err, ErrAlignment) // the count comes out even, the address does not
			continue
		}
		if tt.err == nil && err != nil || !errors.Is(err, tt.err) {
			t.Errorf("ViewOf[int64](%d, %d): %v, want %v", tt.off, tt.n, err, tt.err)
		} else if err != nil {
			wantErr(t, err, tt.err, tt.words...)
		}
	}
	if v, err := ViewOf[int32](r, 4, ToEnd); v.Len() != 24 || err != nil {
		t.Errorf("ToEnd: %d elements, %v", v.Len(), err)
	}
	if v, err := ViewOf[int32](r, 100, ToEnd); v.Len() != 0 || err != nil {
		t.Errorf("ToEnd at the end: %d elements, %v", v.Len(), err)
	}
	if _, err := ViewOf[int32](r, 6, 4); err == nil || !strings.Contains(err.Error(), "view of 4 int32 at offset 6 of "+name+": not 4-byte aligned") {
		t.Errorf("unaligned view: %v", err)
	}
}

func TestViewAlignmentCountsFromTheAddress(t *testing.T) {
	name := tempFile(t, pattern(100))
	r, err := Config{Offset: 6}.Open(name)
	need(t, r, err)
	if _, err := ViewOf[int32](r, 0, 1); !errors.Is(err, ErrAlignment) {
		t.Errorf("byte 6 of the file: %v", err)
	}
	if v, err := ViewOf[int32](r, 2, 1); err != nil || v.At(0) != int32(binary.NativeEndian.Uint32(pattern(100)[8:])) {
		t.Errorf("byte 8 of the file: %v", err)
	}
}

func TestViewMisusePanics(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	rw, ro := open(t, name, ReadWrite), open(t, name, ReadOnly)
	v, err := ViewOf[int32](rw, 0, 25)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ViewOf[int32](ro, 0, 25)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 25, 26, math.MaxInt, math.MinInt} {
		word := "index " + itoa(i)
		wantPanic(t, ErrRange, func() { v.At(i) }, word, "25 elements")
		wantPanic(t, ErrRange, func() { v.Set(i, 1) }, word, "25 elements")
		wantPanic(t, ErrRange, func() { v.Ptr(i) }, word, "25 elements")
		wantPanic(t, ErrReadOnly, func() { c.Set(i, 1) }, word, "25 elements", "read-only")
	}
	for _, ij := range [][2]int{{-1, 1}, {2, 1}, {0, 26}, {26, 26}, {math.MinInt, 0}, {0, math.MaxInt}, {math.MaxInt, math.MaxInt}} {
		wantPanic(t, ErrRange, func() { v.Sub(ij[0], ij[1]) }, itoa(ij[0])+":"+itoa(ij[1]), "25 elements")
	}
	wantPanic(t, ErrReadOnly, func() { c.Set(3, 1) }, "index 3", "25 elements", "read-only")
	wantErr(t, c.Fill(1), ErrReadOnly, "read-only", "25 int32")
	n, err := c.CopyFrom([]int32{1})
	if wantErr(t, err, ErrReadOnly, "read-only", "25 int32"); n != 0 {
		t.Errorf("copied %d elements to a read-only view", n)
	}
	wantPanic(t, ErrReadOnly, func() { c.Sub(3, 5).Set(1, 1) }, "index 1", "read-only")
	for what, copied := range map[string]func() (int, error){
		"from nothing": func() (int, error) { return c.CopyFrom(nil) },
		"to nothing":   func() (int, error) { return c.Sub(4, 4).CopyFrom([]int32{1}) },
		"fill nothing": func() (int, error) { return 0, c.Sub(25, 25).Fill(1) },
	} {
		if n, err := copied(); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	var zero View[int32]
	wantPanic(t, ErrRange, func() { zero.At(0) }, "0 elements")
	wantPanic(t, ErrRange, func() { zero.Set(0, 1) }, "0 elements")
	wantPanic(t, ErrRange, func() { zero.Ptr(0) }, "0 elements")
	n, err = zero.CopyTo(make([]int32, 1))
	if zero.Len() != 0 || zero.Slice() != nil || n != 0 || err != nil || zero.Fill(1) != nil || zero.Sync() != nil || zero.Populate() != nil ||
		zero.Sub(0, 0).Len() != 0 || zero.Region() != nil || zero.Offset() != 0 {
		t.Error("the zero View has elements")
	}
}

func TestCopiesThatOverlapAreLikeCopy(t *testing.T) {
	r := anonymousRegion(t, 1<<12)
	v, err := ViewOf[int32](r, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	model := make([]int32, 1000)
	for _, shift := range []int{1, 3, 500} {
		for i := range model {
			model[i] = int32(i)
		}
		v.CopyFrom(model)
		v.Sub(shift, 1000).CopyFrom(v.Slice())
		copy(model[shift:], model)
		diff(t, "up", v.Slice(), model)
		v.CopyTo(v.Sub(shift, 1000).Slice())
		copy(model[shift:], model)
		diff(t, "up by CopyTo", v.Slice(), model)
		v.CopyFrom(v.Sub(shift, 1000).Slice())
		copy(model, model[shift:])
		diff(t, "down", v.Slice(), model)
	}
}

func TestFillEveryLength(t *testing.T) {
	r := anonymousRegion(t, 1<<17)
	type triple = [3]int32
	for _, n := range []int{1, 2, 3, 7, 100, 682, 683, 5000} {
		for _, x := range []triple{{}, {1, 2, 3}} {
			v, err := StructViewOf[triple](r, 12, n)
			if err != nil {
				t.Fatal(err)
			}
			all := r.Bytes()
			for i := range all {
				all[i] = 0xff
			}
			v.Fill(x)
			for i, got := range v.All() {
				if got != x {
					t.Fatalf("Fill(%v) of %d: element %d is %v", x, n, i, got)
				}
			}
			if all[11] != 0xff || all[12+12*n] != 0xff {
				t.Errorf("Fill of %d stored outside", n)
			}
		}
	}
}

func TestGetAndPutAtEveryAlignment(t *testing.T) {
	page := os.Getpagesize()
	size := 2*page + 1808
	name := tempFile(t, pattern(size))
	r := open(t, name, ReadWrite)
	for off := page - 6; off < page+4; off++ {
		x := uint64(off) * 0x0102030405060708
		if err := Put(r, off, x); err != nil {
			t.Fatal(err)
		}
		if got, err := Get[uint64](r, off); got != x || err != nil {
			t.Errorf("Get at %d: %#x, %v; want %#x", off, got, err, x)
		}
		if got := contents(t, name)[off : off+8]; !bytes.Equal(got, nativeBytes(x)) {
			t.Errorf("at %d the file has %x", off, got)
		}
		if err := Put(r, off, float32(2.5)); err != nil {
			t.Fatal(err)
		}
		if got, err := Get[float32](r, off); got != 2.5 || err != nil {
			t.Errorf("Get at %d: %v, %v", off, got, err)
		}
	}
	for _, off := range []int{-1, size - 7, size, size + 1, math.MaxInt, math.MinInt} {
		_, err := Get[uint64](r, off)
		limit := itoa(size)
		if off < 0 {
			limit = "may not be negative"
		}
		if off == ToEnd {
			limit = "no offset"
		}
		wantErr(t, err, ErrRange, "8 bytes", itoa(off), name, limit)
		wantErr(t, Put(r, off, uint64(1)), ErrRange, "8 bytes", itoa(off), name)
	}
}

func TestViewsDoNotAllocate(t *testing.T) {
	r := anonymousRegion(t, 1<<16)
	type pair struct{ A, B int64 }
	if n := testing.AllocsPerRun(100, func() {
		v, _ := ViewOf[int64](r, 8, 100)
		s, _ := StructViewOf[pair](r, 8, 100)
		a, _ := AtomicOf[int32](r, 8, 100)
		b, _ := BigEndianOf[int32](r, 1, 100)
		l, _ := LittleEndianOf[uint16](r, 1, 100)
		v.Set(1, v.At(0)+s.At(0).A+int64(a.Load(0))+int64(b.At(0))+int64(l.At(0)))
		s.Set(2, pair{1, 2})
		a.Add(3, a.Swap(1, 2))
		b.Set(1, 5)
		l.Set(1, 5)
		v.Fill(3)
		s.Fill(pair{})
		var buf [100]int64
		k, _ := v.CopyTo(buf[:])
		v.CopyFrom(buf[:k])
		for _, x := range v.All() {
			buf[0] += x
		}
		for x := range b.Values() {
			buf[0] += int64(x)
		}
		v.Sub(1, 3).Slice()[0] = 4
		*v.Ptr(1) = 5
		Put(r, 3, uint32(6))
		x, _ := Get[uint32](r, 3)
		buf[0] += int64(x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
