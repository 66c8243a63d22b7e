package mmap

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
)

func TestChunksAreTheWholeViewInOrder(t *testing.T) {
	page := os.Getpagesize()
	size := 3*window + 5*page + 123
	data := pattern(size)
	r := open(t, tempFile(t, data), ReadWrite)
	f, err := Config{Mode: ReadWrite, Offset: int64(page) + 5}.Open(tempFile(t, append(make([]byte, page+5), data...)))
	need(t, f, err)
	m := anonymousRegion(t, int64(size))
	copy(m.Bytes(), data)
	for _, r := range []*Region{r, f, m} {
		for _, off := range []int{0, 1, page - 3, window, size - 10, size} {
			b, err := LittleEndianOf[uint8](r, off, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			n := b.Len()
			for _, by := range []int{1000, page, window - 1, window, window + 1, 2 * window, n - 1, n, n + 1, math.MaxInt - 1, math.MaxInt} {
				if by < 1 {
					continue
				}
				got, chunks := []byte{}, 0
				for i, c := range b.Chunks(by) {
					if i != len(got) || c.Len() != min(by, n-i) || c.Offset() != off+i || c.Region() != r {
						t.Fatalf("%v from %d by %d: chunk %d at %d has %d elements at offset %d", r, off, by, chunks, i, c.Len(), c.Offset())
					}
					p := make([]byte, c.Len())
					if k, err := c.CopyTo(p); k != len(p) || err != nil {
						t.Fatal(k, err)
					}
					got = append(got, p...)
					chunks++
				}
				want := n / by
				if n%by > 0 {
					want++
				}
				if !bytes.Equal(got, data[off:]) || chunks != want {
					t.Errorf("%v from %d by %d: %d chunks, %d bytes, or other ones", r, off, by, chunks, len(got))
				}
			}
		}
	}
}

// Elements larger than a window, and than a chunk of anything.
func TestChunksOfLargeElements(t *testing.T) {
	type large [window/8 + 3]uint64
	const n = 5
	r := anonymousRegion(t, n*(window+24))
	v, err := StructViewOf[large](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		v.Ptr(i)[1] = uint64(i)
	}
	want := 0
	for i, c := range v.Chunks(2) {
		for k := range c.Len() {
			if c.Ptr(k)[1] != uint64(want) || i+k != want {
				t.Errorf("element %d is %d, at %d", want, c.Ptr(k)[1], i+k)
			}
			want++
		}
	}
	if want != n {
		t.Errorf("%d elements", want)
	}
	dst := make([]large, n)
	if k, err := v.CopyTo(dst); k != n || err != nil || dst[n-1][1] != n-1 {
		t.Errorf("CopyTo: %d, %v, the last is %d", k, err, dst[n-1][1])
	}
}

func TestChunksOfEveryViewAndStoresThroughThem(t *testing.T) {
	r := anonymousRegion(t, 4*100)
	v := mustView[int32](r)
	big, _ := BigEndianOf[int32](r, 0, ToEnd)
	little, _ := LittleEndianOf[int32](r, 0, ToEnd)
	for i, c := range v.Chunks(7) {
		for k := range c.Len() {
			c.Set(k, int32(i+k))
		}
	}
	diff(t, "stored through View.Chunks", slices.Collect(v.Values()), slices.Collect(func(yield func(int32) bool) {
		for i := range int32(100) {
			if !yield(i) {
				return
			}
		}
	}))
	for i, c := range big.Chunks(99) {
		if err := c.Fill(int32(i) + 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range little.Chunks(50) {
		c.Set(0, c.At(0)+int32(i))
	}
	if big.At(98) != 1 || big.At(99) != 100 || little.At(0) != 1<<24 || little.At(50) != 1<<24+50 {
		t.Errorf("%d, %d, %#x, %#x", big.At(98), big.At(99), little.At(0), little.At(50))
	}
}

func TestChunksOfLessThanOneElementPanics(t *testing.T) {
	r := anonymousRegion(t, 100)
	v := mustView[int32](r)
	big, _ := BigEndianOf[int32](r, 0, ToEnd)
	little, _ := LittleEndianOf[int32](r, 0, ToEnd)
	for _, n := range []int{0, -1, ToEnd, math.MinInt + 1} {
		for _, chunks := range []func(){
			func() { v.Chunks(n) }, func() { big.Chunks(n) }, func() { little.Chunks(n) },
			func() { View[int32]{}.Chunks(n) }, func() { v.Sub(5, 5).Chunks(n) },
		} {
			wantPanic(t, ErrRange, chunks, "chunks of "+itoa(n))
		}
	}
}

func TestChunksOfNothingAreNone(t *testing.T) {
	r := anonymousRegion(t, 100)
	for range mustView[int32](r).Sub(7, 7).Chunks(3) {
		t.Error("a chunk of an empty view")
	}
	for range (View[int32]{}).Chunks(3) {
		t.Error("a chunk of the zero view")
	}
	for range (BigEndian[int32]{}).Chunks(3) {
		t.Error("a chunk of the zero view")
	}
	for range (LittleEndian[int32]{}).Chunks(3) {
		t.Error("a chunk of the zero view")
	}
}

func TestALoopOverChunksCanEndAndBeginAgain(t *testing.T) {
	v := mustView[int32](anonymousRegion(t, 400))
	chunks := v.Chunks(30)
	for range 2 {
		var at []int
		for i := range chunks {
			if at = append(at, i); i == 60 {
				break
			}
		}
		diff(t, "chunks", at, []int{0, 30, 60})
	}
}

// What happens to the region while it is gone over is seen by the accesses, chunk by
// chunk, and ends no loop.
func TestARegionThatIsClosedInALoopOverChunks(t *testing.T) {
	const size = 3*window + 1000
	r := open(t, tempFile(t, pattern(size)), ReadOnly)
	var good, bad int
	for i, c := range mustView[uint8](r).Chunks(window / 4) {
		if i == window {
			r.Close()
		}
		p := make([]byte, c.Len())
		n, err := c.CopyTo(p)
		if err == nil {
			good += n
			continue
		}
		bad += c.Len()
		var f *FaultError
		if !errors.As(err, &f) || f.Err != ErrClosed || f.Offset != i || n != 0 {
			t.Errorf("chunk at %d: %d, %v", i, n, err)
		}
	}
	if good != window || bad != size-window {
		t.Errorf("%d bytes before Close and %d after it", good, bad)
	}
}

func TestAFileThatIsTruncatedInALoopOverChunks(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	size, end := 3*window+1000, 2*window+page
	for _, by := range []int{page / 2, window / 4, 2*window + page} {
		name := tempFile(t, pattern(size))
		r := open(t, name, ReadOnly)
		var got []byte
		for i, c := range mustView[uint8](r).Chunks(by) {
			if i == 0 {
				if err := os.Truncate(name, int64(end)); err != nil {
					t.Fatal(err)
				}
			}
			p := make([]byte, c.Len())
			n, err := c.CopyTo(p)
			got = append(got, p[:n]...)
			switch {
			case i+c.Len() <= end && err != nil:
				t.Errorf("by %d: chunk at %d: %v", by, i, err)
			case i+c.Len() > end:
				wantFault(t, "chunk", err, r, name, max(i, end), ErrTruncated)
			}
		}
		if !bytes.Equal(got, pattern(size)[:end]) {
			t.Errorf("by %d: %d bytes, or other ones", by, len(got))
		}
	}
}

func TestARegionThatGrowsInALoopOverChunks(t *testing.T) {
	growsFiles(t)
	const size = window + 1000
	r, err := Config{Mode: ReadWrite, Reserve: 4 * window}.Open(tempFile(t, pattern(size)))
	need(t, r, err)
	n := 0
	for _, c := range mustView[uint8](r).Chunks(1000) {
		if err := r.Resize(int64(r.Len() + 1000)); err != nil && n < window {
			t.Fatal(err)
		}
		n += c.Len()
	}
	if n != size {
		t.Errorf("a view of %d bytes yielded %d", size, n)
	}
}

func TestAViewKeepsItsRegionInALoopOverItsChunks(t *testing.T) {
	needMappings(t)
	want := pattern(3 * window)
	chunks := func() func(func(int, View[uint8]) bool) {
		r, err := Open(tempFile(t, want), ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		return mustView[uint8](r).Chunks(window / 2)
	}()
	var last *Region
	defer func() { last.Close() }() // a file that is mapped cannot be removed everywhere
	for i, c := range chunks {
		runtime.GC()
		if i+c.Len() == len(want) {
			last = c.Region()
		}
		if c.At(5) != want[i+5] {
			t.Errorf("byte %d is %d", i+5, c.At(5))
		}
	}
}

// A copy of many bytes goes by windows. Where it is stopped, its count says so.
func TestCopiesOfManyBytesCountExactly(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	size := 3*window + 5*page
	data := pattern(size)
	for _, end := range []int{0, page, window, window + page, 2*window - page, 3 * window, size} {
		name := tempFile(t, data)
		r := open(t, name, ReadWrite)
		v16, err := BigEndianOf[uint16](r, 1, (size-1)/2)
		if err != nil {
			t.Fatal(err)
		}
		b := mustView[uint8](r)
		if err := os.Truncate(name, int64(end)); err != nil {
			t.Fatal(err)
		}
		for _, off := range []int{0, 1, page - 1, window - 1, window + 5} {
			want := max(0, end-off)
			check := func(what string, n, want int, err error) {
				t.Helper()
				if n != want {
					t.Errorf("%s at %d with %d bytes left in the file: %d, want %d", what, off, end, n, want)
				}
				if end < size {
					wantFault(t, what, err, r, name, max(off, end), ErrTruncated)
				} else if err != nil {
					t.Error(what, err)
				}
			}
			p := make([]byte, size-off)
			n, err := r.ReadAt(p, int64(off))
			check("ReadAt", n, want, err)
			if !bytes.Equal(p[:n], data[off:off+n]) {
				t.Errorf("ReadAt at %d read other bytes", off)
			}
			n, err = b.Sub(off, size).CopyTo(p)
			check("CopyTo", n, want, err)
			n, err = r.WriteAt(data[off:], int64(off))
			check("WriteAt", n, want, err)
			n, err = b.Sub(off, size).CopyFrom(data[off:])
			check("CopyFrom", n, want, err)
		}
		if end%page == 0 {
			p := make([]uint16, v16.Len())
			n, err := v16.CopyTo(p)
			if want := min(max(0, end-1)/2, v16.Len()); n != want || (err == nil) != (end == size) {
				t.Errorf("CopyTo of BigEndian with %d bytes left: %d, %v, want %d", end, n, err, want)
			}
			for i := range n {
				if p[i] != uint16(data[1+2*i])<<8|uint16(data[2+2*i]) {
					t.Fatalf("number %d is %#x", i, p[i])
				}
			}
		}
	}
}

// Random sizes, offsets and chunks, over a file of which some pages are in memory.
func TestColdAccessesReadWhatPreadReads(t *testing.T) {
	page := os.Getpagesize()
	size := 5*window + 3*page + 77
	name := tempFile(t, pattern(size))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Map(f, ReadOnly)
	need(t, r, err)
	p, q := make([]byte, size), make([]byte, size)
	for range max(20, rounds(100)) {
		forget(t, r)
		for range rand.IntN(20) {
			if _, err := Get[byte](r, rand.IntN(size)); err != nil {
				t.Fatal(err)
			}
		}
		off := rand.IntN(size)
		n := rand.IntN(size + 100 - off)
		want, wantErr := f.ReadAt(q[:min(n, size)], int64(off))
		got, err := r.ReadAt(p[:min(n, size)], int64(off))
		if got != want || err != wantErr || !bytes.Equal(p[:got], q[:got]) {
			t.Fatalf("ReadAt(%d, %d): %d, %v, want %d, %v", n, off, got, err, want, wantErr)
		}
		v := mustView[uint8](r).Sub(off, off+want)
		by := 1 + rand.IntN(1+rand.IntN(size))
		end := 0
		for i, c := range v.Chunks(by) {
			k, err := c.CopyTo(p[i:])
			if end = i + k; err != nil || k != c.Len() {
				t.Fatal(k, err)
			}
		}
		if end != want || !bytes.Equal(p[:end], q[:want]) {
			t.Fatalf("chunks of %d of %d bytes at %d: %d, or other bytes", by, want, off, end)
		}
	}
}

func TestPopulateThroughAView(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	name := tempFile(t, pattern(4*page))
	r := open(t, name, ReadOnly)
	big, err := BigEndianOf[uint16](r, 1, (4*page-1)/2)
	if err != nil {
		t.Fatal(err)
	}
	v := mustView[uint32](r)
	if err := errors.Join(v.Populate(), big.Populate(), v.Sub(3, 3).Populate()); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(name, int64(2*page)); err != nil {
		t.Fatal(err)
	}
	wantFault(t, "Populate of all", v.Populate(), r, name, 2*page, ErrTruncated)
	wantFault(t, "Populate of the end", v.Sub(3*page/4+1, page).Populate(), r, name, 3*page+4, ErrTruncated)
	if err := v.Sub(0, 2*page/4).Populate(); err != nil {
		t.Error(err)
	}
	r.Close()
	wantErr(t, v.Populate(), ErrClosed, name)
	wantErr(t, big.Populate(), ErrClosed, name)
	wantErr(t, v.Sub(3, 3).Populate(), ErrClosed, name)
}
