package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"
)

// Copies between mapped memory and other memory are tried against a model: the
// built-in copy, stopped before the first element of which a byte is missing.

// A stretch is memory that a copy loads from or stores to, with its pages. It is a
// region's, or ordinary memory, in which nothing is missing.
type stretch struct {
	r       *Region // nil: ordinary
	mem     []byte
	missing []bool  // by page
	cause   []error // why, by page
}

const stretchPages = 6

func ordinaryStretch() *stretch { return &stretch{mem: make([]byte, stretchPages*os.Getpagesize())} }

// mappedStretch is a file's memory whose pages are missing as the bits of lost say.
// The last ones in a row are truncated, the others have no access.
func mappedStretch(t testing.TB, dir string, lost byte) *stretch {
	t.Helper()
	page := os.Getpagesize()
	f, err := os.CreateTemp(dir, "stretch")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(int64(stretchPages * page)); err != nil {
		t.Fatal(err)
	}
	r, err := Open(f.Name(), ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	s := &stretch{r: r, mem: r.Bytes(), missing: make([]bool, stretchPages), cause: make([]error, stretchPages)}
	copy(s.mem, pattern(len(s.mem)))
	end := stretchPages
	for ; canShortenMapped && end > 0 && lost>>(end-1)&1 == 1; end-- {
		s.missing[end-1], s.cause[end-1] = true, ErrTruncated
	}
	if err := f.Truncate(int64(end * page)); err != nil {
		t.Fatal(err)
	}
	for i := range end {
		if lost>>i&1 == 1 {
			s.missing[i], s.cause[i] = true, ErrIO
			if err := r.o.space.forbid(uintptr(i*page), uintptr((i+1)*page)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func (s *stretch) close() {
	if s.r != nil {
		s.r.Close()
	}
}

// lacks returns the first missing byte of n at off, and why it is missing.
func (s *stretch) lacks(off, n int) (at int, cause error) {
	page := os.Getpagesize()
	for i := off / page; s.missing != nil && i <= (off+n-1)/page; i++ {
		if s.missing[i] {
			return max(off, i*page), s.cause[i]
		}
	}
	return 0, nil
}

// snapshot returns the bytes. Those of missing pages are zero.
func (s *stretch) snapshot() []byte {
	page := os.Getpagesize()
	b := make([]byte, len(s.mem))
	for i := range stretchPages {
		if s.missing == nil || !s.missing[i] {
			copy(b[i*page:], s.mem[i*page:(i+1)*page])
		}
	}
	return b
}

// A job is a copy of n elements from one place to another.
type job struct {
	dst, src       *stretch
	to, from, n    int
	size           int
	reversed       bool
	run            func() (int, error)
	shortIsNoError error // the error where nothing is missing
}

// try makes the copy and compares with the model.
func (j job) try() error {
	want, count := j.src.snapshot()[j.from:], j.n
	want = bytes.Clone(want[:j.n*j.size])
	if j.reversed {
		for e := range slices.Chunk(want, j.size) {
			slices.Reverse(e)
		}
	}
	before, others := j.dst.snapshot(), j.src.snapshot()
	var stores, loads error // what is missing first, on either side
	for i := range j.n {
		_, stores = j.dst.lacks(j.to+i*j.size, j.size)
		_, loads = j.src.lacks(j.from+i*j.size, j.size)
		if stores != nil || loads != nil {
			count = i
			break
		}
	}

	n, err := j.run()

	after := j.dst.snapshot()
	end := j.to + j.n*j.size
	switch got := after[j.to : j.to+count*j.size]; {
	case n != count:
		return fmt.Errorf("count is %d, want %d (%v)", n, count, err)
	case !bytes.Equal(got, want[:count*j.size]):
		return fmt.Errorf("of %d elements, those from %d on are not the source's", count, firstDifference(got, want)/j.size)
	case !bytes.Equal(after[:j.to], before[:j.to]) || !bytes.Equal(after[end:], before[end:]):
		return errors.New("bytes outside of the destination were changed")
	case j.src != j.dst && !bytes.Equal(j.src.snapshot(), others):
		return errors.New("the source was changed")
	case count == j.n && err != j.shortIsNoError:
		return fmt.Errorf("error is %v, want %v", err, j.shortIsNoError)
	case count == j.n:
		return nil
	}
	var f *FaultError
	if !errors.As(err, &f) {
		return fmt.Errorf("error is %v, want a *FaultError", err)
	}
	for _, side := range []struct {
		s     *stretch
		at    int
		cause error
	}{{j.dst, j.to, stores}, {j.src, j.from, loads}} {
		// The first missing byte of the element, on a side where one is missing.
		at, cause := side.s.lacks(side.at+count*j.size, j.size)
		if side.cause != nil && f.Region == side.s.r && f.Offset == at && f.Err == cause {
			return nil
		}
	}
	return fmt.Errorf("%v, in %v, blames no side whose bytes are missing (store: %v, load: %v)", f, f.Region, stores, loads)
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

type (
	three      struct{ A, B, C uint8 }
	twentyFour struct{ A, B, C uint64 }
)

// A bulkCopy makes the run of a job, for elements of one type. It works with the
// region of either side through a view, and with the memory of the other.
type bulkCopy struct {
	size     int
	reversed bool
	align    int // of either place
	unview   int // how far the view's place may be off that
	make     func(j *job, viewSrc bool) error
}

// elementsAt is memory as a slice of another type.
func elementsAt[T any](mem []byte, off, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[off])), n)
}

// copier is what a View, a BigEndian and a LittleEndian have.
type copier[T any] interface {
	CopyTo([]T) (int, error)
	CopyFrom([]T) (int, error)
}

func viewCopy[T any, V copier[T]](viewOf func(r *Region, off, n int) (V, error), align int, reversed bool) bulkCopy {
	size := int(unsafe.Sizeof(*new(T)))
	unview := 1 << 20
	if align > 1 {
		unview = align
	}
	return bulkCopy{size, reversed && size > 1, int(unsafe.Alignof(*new(T))), unview, func(j *job, viewSrc bool) error {
		view, off, other, at := j.dst, j.to, j.src, j.from
		if viewSrc {
			view, off, other, at = j.src, j.from, j.dst, j.to
		}
		v, err := viewOf(view.r, off, j.n)
		mem := elementsAt[T](other.mem, at, j.n)
		if viewSrc {
			j.run = func() (int, error) { return v.CopyTo(mem) }
		} else {
			j.run = func() (int, error) { return v.CopyFrom(mem) }
		}
		return err
	}}
}

// ioCopy is ReadAt and WriteAt.
func ioCopy(j *job, viewSrc bool) error {
	if viewSrc {
		j.run = func() (int, error) { return j.src.r.ReadAt(j.dst.mem[j.to:j.to+j.n], int64(j.from)) }
	} else {
		j.run = func() (int, error) { return j.dst.r.WriteAt(j.src.mem[j.from:j.from+j.n], int64(j.to)) }
	}
	return nil
}

var bulkCopies = []bulkCopy{
	{1, false, 1, 1 << 20, ioCopy},
	viewCopy[uint8](ViewOf[uint8], 1, false),
	viewCopy[int16](ViewOf[int16], 2, false),
	viewCopy[three](StructViewOf[three], 1, false),
	viewCopy[float32](ViewOf[float32], 4, false),
	viewCopy[uint64](ViewOf[uint64], 8, false),
	viewCopy[twentyFour](StructViewOf[twentyFour], 8, false),
	viewCopy[int8](BigEndianOf[int8], 1, hostBig == 0),
	viewCopy[uint16](BigEndianOf[uint16], 1, hostBig == 0),
	viewCopy[int32](BigEndianOf[int32], 1, hostBig == 0),
	viewCopy[float64](BigEndianOf[float64], 1, hostBig == 0),
	viewCopy[uint16](LittleEndianOf[uint16], 1, hostBig == 1),
	viewCopy[int32](LittleEndianOf[int32], 1, hostBig == 1),
	viewCopy[float64](LittleEndianOf[float64], 1, hostBig == 1),
}

// tryTransfer makes one copy: of which kind, in which direction, between which
// memory, from and to which byte, with which pages missing.
func tryTransfer(t testing.TB, dir string, kind, where uint8, to, from, n uint32, lostDst, lostSrc byte) error {
	c := bulkCopies[int(kind)%len(bulkCopies)]
	viewSrc := where&1 == 1
	j := job{size: c.size, reversed: c.reversed}
	switch where >> 1 & 3 {
	case 0, 1: // overlapping, as a rule
		j.dst = mappedStretch(t, dir, lostDst)
		j.src = j.dst
	case 2:
		j.dst, j.src = mappedStretch(t, dir, lostDst), mappedStretch(t, dir, lostSrc)
	case 3:
		if viewSrc {
			j.dst, j.src = ordinaryStretch(), mappedStretch(t, dir, lostSrc)
		} else {
			j.dst, j.src = mappedStretch(t, dir, lostDst), ordinaryStretch()
			copy(j.src.mem, pattern(len(j.src.mem)))
		}
	}
	defer j.dst.close()
	defer j.src.close()
	size := len(j.dst.mem)
	place := func(x uint32, views bool) int {
		at := int(x) % size
		switch {
		case !views:
			return at - at%c.align
		case c.unview < 1<<20:
			return at - at%c.unview
		}
		return at
	}
	j.to, j.from = place(to, !viewSrc), place(from, viewSrc)
	j.n = min(int(n)%(size+1), size-j.to, size-j.from) / c.size
	if j.n == 0 {
		return nil
	}
	if err := c.make(&j, viewSrc); err != nil {
		return err
	}
	if err := j.try(); err != nil {
		return fmt.Errorf("%d elements of %d bytes (reversed: %v) from byte %d to %d, through a view of the source: %v, pages missing %08b and %08b: %w",
			j.n, j.size, j.reversed, j.from, j.to, viewSrc, lostSrc, lostDst, err)
	}
	return nil
}

// TestCopiesAreAsTheBuiltInCopyUpToTheFirstMissingByte goes through every kind of
// copy, with pages missing at the start, in the middle and at the end.
func TestCopiesAreAsTheBuiltInCopyUpToTheFirstMissingByte(t *testing.T) {
	needMappings(t)
	leavesOut(t, "pages that are missing at the end of a file")
	page := uint32(os.Getpagesize())
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	distances := []uint32{0, 1, 2, 3, 8, 24, 100, page - 8, page, page + 8, 2*page + 7}
	holes := []byte{0, 0b000001, 0b000100, 0b001000, 0b100000, 0b110000, 0b100100, 0b111111}
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for kind := range bulkCopies {
		for where := range uint8(8) {
			for range rounds {
				for _, lost := range holes {
					d := distances[rnd.IntN(len(distances))]
					at := rnd.Uint32N(page + 16)
					to, from := at+d, at
					if rnd.IntN(2) == 0 {
						to, from = from, to
					}
					n := rnd.Uint32N(stretchPages * page)
					if err := tryTransfer(t, dir, uint8(kind), where, to, from, n, lost, holes[rnd.IntN(len(holes))]); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

func FuzzTransfer(f *testing.F) {
	needMappings(f)
	page := uint32(os.Getpagesize())
	f.Add(uint8(0), uint8(0), page-1, uint32(0), 3*page, byte(0b000100), byte(0))
	f.Add(uint8(0), uint8(1), uint32(0), page+1, 3*page, byte(0b000100), byte(0))
	f.Add(uint8(3), uint8(5), uint32(5), uint32(7), 2*page, byte(0b000010), byte(0b000100))
	f.Add(uint8(6), uint8(2), uint32(24), uint32(0), 5*page, byte(0b101000), byte(0))
	f.Add(uint8(9), uint8(3), uint32(8), uint32(13), 5*page, byte(0b110000), byte(0))
	f.Add(uint8(10), uint8(7), uint32(1), uint32(3), 4*page, byte(0), byte(0b000100))
	f.Fuzz(func(t *testing.T, kind, where uint8, to, from, n uint32, lostDst, lostSrc byte) {
		if err := tryTransfer(t, t.TempDir(), kind, where, to, from, n, lostDst, lostSrc); err != nil {
			t.Error(err)
		}
	})
}

// At the ends of the region, a copy is short as the contract says, missing pages
// or not.
func TestACopyAcrossTheEndIsShort(t *testing.T) {
	page := os.Getpagesize()
	size := page + 100
	r := open(t, tempFile(t, pattern(size)), ReadWrite)
	p := make([]byte, 200)
	if n, err := r.ReadAt(p, int64(size-50)); n != 50 || err != io.EOF {
		t.Errorf("ReadAt across the end: %d, %v; want 50, io.EOF", n, err)
	}
	n, err := r.WriteAt(p, int64(size-50))
	if n != 50 {
		t.Errorf("WriteAt across the end: count is %d, want 50", n)
	}
	wantSentence(t, err, ErrRange, "200 bytes", fmt.Sprintf("offset %d", size-50), fmt.Sprintf("has %d bytes", size), r.Name())
	if n, err := r.ReadAt(p, int64(size)); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end: %d, %v; want 0, io.EOF", n, err)
	}
	n, err = r.WriteAt(p, int64(size))
	if n != 0 {
		t.Errorf("WriteAt at the end: count is %d", n)
	}
	wantSentence(t, err, ErrRange)

	shortensMapped(t)
	// What the region still has, and no more, also where the end is near.
	if err := os.Truncate(r.Name(), int64(page)); err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() (int, error){
		func() (int, error) { return r.ReadAt(p, int64(page-50)) },
		func() (int, error) { return r.WriteAt(p, int64(page-50)) },
	} {
		n, err := do()
		if n != 50 {
			t.Errorf("count is %d, want the 50 bytes that are there", n)
		}
		wantFaultAt(t, err, r, page, ErrTruncated)
	}
}

// wantFaultAt checks that err is a FaultError with these fields.
func wantFaultAt(t testing.TB, err error, r *Region, off int, kind error) {
	t.Helper()
	var f *FaultError
	if !errors.As(err, &f) || f.Region != r || !isAt(f, off) || f.Err != kind {
		t.Errorf("error is %v, want a fault at offset %d of %v: %v", err, off, r, kind)
	}
	if err != nil {
		wantSentence(t, err, kind)
	}
}

// A copy within one page of a region that is read-only is refused for that, not
// for what a load there would meet.
func TestACopyIntoReadOnlyMemoryBlamesTheStore(t *testing.T) {
	page := os.Getpagesize()
	a := open(t, tempFile(t, pattern(2*page)), ReadOnly)
	b := open(t, tempFile(t, pattern(2*page)), ReadOnly)
	v, err := ViewOf[uint16](a, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	for _, dst := range []*Region{a, b} {
		for _, at := range []int{0, 2, 64, page - 2, page, page + 10} {
			for _, from := range []int{0, 8, page - 8, page, page + 8} {
				n, err := a.ReadAt(dst.Bytes()[at:at+20], int64(from))
				if n != 0 {
					t.Errorf("ReadAt counts %d bytes stored to read-only memory", n)
				}
				wantFaultAt(t, err, dst, at, ErrReadOnly)
				n, err = v.Sub(from/2, v.Len()).CopyTo(elementsAt[uint16](dst.Bytes(), at, 10))
				if n != 0 {
					t.Errorf("CopyTo counts %d elements stored to read-only memory", n)
				}
				wantFaultAt(t, err, dst, at, ErrReadOnly)
			}
		}
	}
}

// TestAFaultOfACopyDownwardsHarmsNobody is for x86, whose direction flag a fault in
// the middle of the built-in copy leaves set. Run it with GODEBUG=cpu.avx=off too.
func TestAFaultOfACopyDownwardsHarmsNobody(t *testing.T) { runChild(t, childDownwards) }

var childDownwards = registerChild("copy downwards", func(t testing.TB, _ []string) {
	shortensMapped(t)
	page := os.Getpagesize()
	name := tempFile(t, nil)
	for i := range 30 {
		if err := os.WriteFile(name, pattern(4*page), 0o600); err != nil {
			t.Fatal(err)
		}
		r := open(t, name, ReadWrite)
		if err := os.Truncate(name, int64(i%3*page)); err != nil {
			t.Fatal(err)
		}
		for _, distance := range []int{0, 1, 100, page / 2} {
			n, err := r.ReadAt(r.Bytes()[distance:], 0)
			if want := max(i%3*page-distance, 0); n != want {
				t.Errorf("count is %d, want %d", n, want)
			}
			if !errors.Is(err, ErrTruncated) {
				t.Errorf("error is %v, want ErrTruncated", err)
			}
		}
		r.Close()
	}
})

// Few bytes go by words. Nothing beside them may change.
func TestCopiesOfFewBytesTouchNothingElse(t *testing.T) {
	r := anonymousRegion(t, 64)
	for n := range 25 {
		for off := range 9 {
			was, src := bytes.Repeat([]byte{0xee}, 64), pattern(64)[off:off+n]
			copy(r.Bytes(), was)
			if k, err := r.WriteAt(src, int64(16+off)); k != n || err != nil {
				t.Fatalf("WriteAt of %d bytes: %d, %v", n, k, err)
			}
			copy(was[16+off:], src)
			if !bytes.Equal(r.Bytes(), was) {
				t.Fatalf("after WriteAt of %d bytes at %d: %x", n, 16+off, r.Bytes())
			}
			got, want := bytes.Repeat([]byte{0xaa}, 64), bytes.Repeat([]byte{0xaa}, 64)
			if k, err := r.ReadAt(got[24+off:24+off+n], int64(16+off)); k != n || err != nil {
				t.Fatalf("ReadAt of %d bytes: %d, %v", n, k, err)
			}
			copy(want[24+off:], src)
			if !bytes.Equal(got, want) {
				t.Fatalf("ReadAt of %d bytes at %d: %x", n, 16+off, got)
			}
		}
	}
}
