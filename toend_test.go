package mmap

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

// rangers is every function that takes a range of a region. count is how many
// elements of size bytes it found.
var rangers = []struct {
	name string
	size int
	do   func(r *Region, off, n int) (count int, err error)
}{
	{"SyncRange", 1, func(r *Region, off, n int) (int, error) { return -1, r.SyncRange(off, n) }},
	{"Flush", 1, func(r *Region, off, n int) (int, error) { return -1, r.Flush(off, n) }},
	{"Populate", 1, func(r *Region, off, n int) (int, error) { return -1, r.Populate(off, n) }},
	{"Advise", 1, func(r *Region, off, n int) (int, error) { return -1, r.Advise(off, n, Normal) }},
	{"Lock", 1, func(r *Region, off, n int) (int, error) { return -1, r.Lock(off, n) }},
	{"Unlock", 1, func(r *Region, off, n int) (int, error) { return -1, r.Unlock(off, n) }},
	{"Resident", 1, func(r *Region, off, n int) (int, error) {
		_, err := r.Resident(off, n)
		if errors.Is(err, errors.ErrUnsupported) { // by a system that does not tell
			err = nil
		}
		return -1, err
	}},
	{"ViewOf", 4, func(r *Region, off, n int) (int, error) { v, err := ViewOf[int32](r, off, n); return v.Len(), err }},
	{"StructViewOf", 24, func(r *Region, off, n int) (int, error) {
		v, err := StructViewOf[[3]int64](r, off, n)
		return v.Len(), err
	}},
	{"BigEndianOf", 8, func(r *Region, off, n int) (int, error) {
		v, err := BigEndianOf[float64](r, off, n)
		return v.Len(), err
	}},
	{"LittleEndianOf", 2, func(r *Region, off, n int) (int, error) {
		v, err := LittleEndianOf[uint16](r, off, n)
		return v.Len(), err
	}},
	{"AtomicOf", 4, func(r *Region, off, n int) (int, error) { v, err := AtomicOf[uint32](r, off, n); return v.Len(), err }},
}

func TestToEndIsAllThatIsLeft(t *testing.T) {
	const size = 24 * 100
	r := open(t, tempFile(t, pattern(size)), ReadWrite)
	for _, f := range rangers {
		for _, off := range []int{0, 24, size - 24, size} {
			count, err := f.do(r, off, ToEnd)
			if err != nil || count >= 0 && count != (size-off)/f.size {
				t.Errorf("%s of all from %d on: %d elements, %v", f.name, off, count, err)
			}
		}
		_, err := f.do(r, size+1, ToEnd)
		wantSentence(t, err, ErrRange, fmt.Sprintf("offset %d", size+1), fmt.Sprintf("has %d bytes", size), r.Name(), " all ")
		if f.size > 1 {
			_, err := f.do(r, 1, ToEnd)
			wantSentence(t, err, ErrLayout, "all", "offset 1", fmt.Sprintf("%d bytes are left", size-1), fmt.Sprintf("multiple of %d", f.size), r.Name())
		}
	}
	r.Close()
	for _, f := range rangers {
		_, err := f.do(r, 0, ToEnd)
		wantSentence(t, err, ErrClosed, r.Name())
	}
}

func TestEveryOtherNegativeNumberIsOutOfRange(t *testing.T) {
	const size = 2400
	name := tempFile(t, pattern(size))
	r, err := Config{Mode: ReadWrite, Reserve: 4 * size}.Open(name)
	need(t, r, err)
	negative := []int{-1, -2, -4, -8, -24, -size, -size - 1, math.MinInt + 1, math.MinInt + 8, math.MinInt + size, math.MinInt / 2}
	for _, f := range rangers {
		for _, n := range negative {
			for _, off := range []int{0, 24, size} {
				_, err := f.do(r, off, n)
				wantSentence(t, err, ErrRange, fmt.Sprint(n), fmt.Sprint(off), name)
			}
			_, err := f.do(r, n, 0)
			wantSentence(t, err, ErrRange, fmt.Sprint(n))
			_, err = f.do(r, n, ToEnd)
			wantSentence(t, err, ErrRange, fmt.Sprint(n))
		}
		_, err := f.do(r, ToEnd, ToEnd)
		wantSentence(t, err, ErrRange)
		_, err = f.do(r, ToEnd, 1)
		wantSentence(t, err, ErrRange)

		// Sums and products that overflow.
		for _, off := range []int{24, size, size + 1, math.MaxInt - 7, math.MaxInt} {
			for _, n := range []int{math.MaxInt, math.MaxInt - off + 1, (math.MaxInt-1)/f.size + 1, math.MaxInt/2 + 1} {
				_, err := f.do(r, off, n)
				wantSentence(t, err, ErrRange, fmt.Sprint(off), fmt.Sprint(n))
			}
		}
	}
	for _, n := range append(negative, ToEnd) {
		wantSentence(t, r.Resize(int64(n)), ErrRange, fmt.Sprint(n), "may not be negative", name)
		_, err := Get[int64](r, n)
		wantSentence(t, err, ErrRange, fmt.Sprint(n), name)
		wantSentence(t, Put(r, n, int8(1)), ErrRange, fmt.Sprint(n), name)
		_, err = r.ReadAt(make([]byte, 5), int64(n))
		wantSentence(t, err, ErrRange, fmt.Sprint(n), name)
		_, err = r.WriteAt(make([]byte, 5), int64(n))
		wantSentence(t, err, ErrRange, fmt.Sprint(n), name)
		for _, c := range []Config{{Offset: int64(n)}, {Length: int64(n)}, {Reserve: int64(n)}} {
			_, err := c.Open(name)
			wantSentence(t, err, ErrRange, fmt.Sprint(n), name)
		}
		for _, make := range []func() (*Region, error){
			func() (*Region, error) { return Create(t.TempDir()+"/new", int64(n)) },
			func() (*Region, error) { return OpenOrCreate(name, int64(n)) },
			func() (*Region, error) { return Anonymous(int64(n)) },
		} {
			r, err := make()
			wantSentence(t, err, ErrRange, fmt.Sprint(n))
			if r != nil {
				t.Error("a region came with the error")
			}
		}
		v, err := ViewOf[int8](r, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantPanic(t, ErrRange, func() { v.At(n) }, fmt.Sprint(n), "10 elements")
		wantPanic(t, ErrRange, func() { v.Set(n, 1) }, fmt.Sprint(n), "10 elements")
		wantPanic(t, ErrRange, func() { v.Ptr(n) }, fmt.Sprint(n), "10 elements")
		wantPanic(t, ErrRange, func() { v.Sub(0, n) }, fmt.Sprint(n), "10 elements")
		wantPanic(t, ErrRange, func() { v.Sub(n, 10) }, fmt.Sprint(n), "10 elements")
	}
	if r.Len() != size || len(contents(t, name)) != size {
		t.Errorf("the region has %d bytes, its file %d, want %d", r.Len(), len(contents(t, name)), size)
	}
}
