package mmap

import (
	"errors"
	"math"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

func testAtomic[T AtomicInteger](t *testing.T) {
	t.Helper()
	r := anonymousRegion(t, 4096)
	v, err := AtomicOf[T](r, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ViewOf[T](r, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != 4 || v.Region() != r {
		t.Errorf("Len %d, Region %v", v.Len(), v.Region())
	}
	top := ^T(0)
	if top < 0 { // signed
		top = top<<1 ^ top<<2>>1 // any large one
	}
	check := func(what string, got, want T) {
		t.Helper()
		if got != want || v.Load(2) != plain.At(2) {
			t.Errorf("%T: %s is %v, want %v; memory has %v", want, what, got, want, plain.At(2))
		}
	}
	v.Store(2, 5)
	check("Load after Store", v.Load(2), 5)
	check("Swap", v.Swap(2, top), 5)
	check("Load after Swap", v.Load(2), top)
	if v.CompareAndSwap(2, 5, 6) {
		t.Errorf("%T: CompareAndSwap of another value", top)
	}
	if !v.CompareAndSwap(2, top, 12) {
		t.Errorf("%T: no CompareAndSwap of the value", top)
	}
	check("Load after CompareAndSwap", v.Load(2), 12)
	check("Add", v.Add(2, 30), 42)
	check("Add of less than nothing", v.Add(2, ^T(0)), 41)
	check("And", v.And(2, 0x0f), 41)
	check("Load after And", v.Load(2), 9)
	check("Or", v.Or(2, 6), 9)
	check("Load after Or", v.Load(2), 15)
	for _, i := range []int{0, 1, 3} {
		if plain.At(i) != 0 {
			t.Errorf("%T: element %d has changed to %v", top, i, plain.At(i))
		}
	}
}

func skipWithout64(t testing.TB) {
	if !atomic64 {
		t.Skipf("%s has no 64-bit atomic instructions", runtime.GOARCH)
	}
}

func TestAtomicOperations(t *testing.T) {
	testAtomic[int32](t)
	testAtomic[uint32](t)
	testAtomic[myInt](t)
	skipWithout64(t)
	testAtomic[int64](t)
	testAtomic[uint64](t)
}

func TestAtomicWhereTheProcessorCannot(t *testing.T) {
	r := anonymousRegion(t, 4096)
	if _, err := AtomicOf[int64](r, 0, 1); atomic64 != (err == nil) || err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a 64-bit view on %s: %v", runtime.GOARCH, err)
	}
}

func TestAtomicAlignmentIsTheSameEverywhere(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	r := open(t, name, ReadWrite)
	_, err := AtomicOf[int32](r, 2, 1)
	wantErr(t, err, ErrAlignment, "offset 2", "4-byte aligned", name)
	if v, err := AtomicOf[uint32](r, 4, ToEnd); err != nil || v.Len() != 24 {
		t.Errorf("%d elements, %v", v.Len(), err)
	}
	skipWithout64(t)
	_, err = AtomicOf[uint64](r, 4, 1) // enough for a load on 386, not for an atomic one
	wantErr(t, err, ErrAlignment, "offset 4", "8-byte aligned")
	_, err = AtomicOf[uint64](r, 0, ToEnd)
	wantErr(t, err, ErrLayout)
	for _, tt := range [][2]int{{0, 13}, {-8, 1}, {0, -2}, {0, math.MaxInt}, {0, math.MaxInt/8 + 1}, {math.MaxInt - 7, 1}} {
		_, err := AtomicOf[int64](r, tt[0], tt[1])
		wantErr(t, err, ErrRange, name)
	}
}

func TestAtomicMisusePanics(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	rw, err := AtomicOf[int32](open(t, name, ReadWrite), 0, 25)
	if err != nil {
		t.Fatal(err)
	}
	ro, err := AtomicOf[int32](open(t, name, ReadOnly), 0, 25)
	if err != nil {
		t.Fatal(err)
	}
	stores := func(v AtomicView[int32], i int) []func() {
		return []func(){
			func() { v.Store(i, 1) }, func() { v.Swap(i, 1) }, func() { v.CompareAndSwap(i, 0, 1) },
			func() { v.Add(i, 1) }, func() { v.And(i, 1) }, func() { v.Or(i, 1) },
		}
	}
	for _, i := range []int{-1, 25, math.MaxInt, math.MinInt} {
		for _, fn := range append(stores(rw, i), func() { rw.Load(i) }, func() { ro.Load(i) }) {
			wantPanic(t, ErrRange, fn, strconv.Itoa(i), "25 elements")
		}
	}
	for _, fn := range stores(ro, 3) {
		wantPanic(t, ErrReadOnly, fn, "index 3", "25 elements", "read-only")
	}
	if ro.Load(3) != 0 {
		t.Error("something was stored")
	}
}

func TestGoroutinesCountTogether(t *testing.T) {
	r := anonymousRegion(t, 4096)
	v, err := AtomicOf[uint32](r, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	each := rounds(100_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range each {
				v.Add(0, 1)
				for old := v.Load(1); !v.CompareAndSwap(1, old, old+2); old = v.Load(1) {
				}
			}
		})
	}
	wg.Wait()
	if v.Load(0) != uint32(8*each) || v.Load(1) != uint32(16*each) {
		t.Errorf("counted %d and %d, want %d and %d", v.Load(0), v.Load(1), 8*each, 16*each)
	}
}

// sharedCounter is the memory of the tests below: a file of one page.
func sharedCounter(t testing.TB, name string) (AtomicView[uint32], *Region) {
	r := open(t, name, ReadWrite)
	v, err := AtomicOf[uint32](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	return v, r
}

var counting32 = registerChild("counting 32", func(t testing.TB, args []string) {
	v, _ := sharedCounter(t, args[0])
	n, _ := strconv.Atoi(args[1])
	count(v, n)
})

var counting64 = registerChild("counting 64", func(t testing.TB, args []string) {
	r := open(t, args[0], ReadWrite)
	v, err := AtomicOf[int64](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(args[1])
	count(v, n)
})

//go:noinline
func count[T AtomicInteger](v AtomicView[T], n int) {
	for range n {
		v.Add(3, 1)
	}
}

func TestTwoProcessesCountTogether(t *testing.T) {
	n := rounds(10_000_000)
	t.Run("32 bits", func(t *testing.T) {
		name := tempFile(t, make([]byte, 4096))
		v, _ := sharedCounter(t, name)
		ended := start(t, counting32, name, strconv.Itoa(n))
		count(v, n)
		<-ended
		if got := v.Load(3); got != uint32(2*n) {
			t.Errorf("two processes counted to %d each: %d", n, got)
		}
	})
	t.Run("64 bits", func(t *testing.T) {
		skipWithout64(t)
		name := tempFile(t, make([]byte, 4096))
		r := open(t, name, ReadWrite)
		v, err := AtomicOf[int64](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		v.Store(3, math.MaxUint32-int64(n)) // so that the carry matters
		ended := start(t, counting64, name, strconv.Itoa(n))
		count(v, n)
		<-ended
		if got := v.Load(3); got != math.MaxUint32+int64(n) {
			t.Errorf("two processes counted to %d each: %d", n, got-(math.MaxUint32-int64(n)))
		}
	})
}

// The elements of the litmus test's memory, each in a cache line of its own.
const (
	litmusData   = 16
	litmusFlag   = 32
	litmusAnswer = 48
	litmusMore   = 64 // data that is stored with the other
)

var litmusWriter = registerChild("litmus writer", func(t testing.TB, args []string) {
	v, _ := sharedCounter(t, args[0])
	data, err := ViewOf[uint32](v.Region(), 0, v.Len())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(args[1])
	for i := 1; i <= n; i++ {
		data.Set(litmusData, uint32(i)) // an ordinary store
		data.Set(litmusMore, 3*uint32(i))
		v.Store(litmusFlag, uint32(i))
		if i%4096 == 0 { // let the reader catch up, so that both run
			for spin := 0; v.Load(litmusAnswer) < uint32(i); spin++ {
				if spin%1000 == 999 {
					runtime.Gosched()
				}
			}
		}
	}
})

// TestMessagePassing: whoever sees the flag sees the data that was stored before
// it, or newer, in another process too.
func TestMessagePassing(t *testing.T) {
	n := rounds(1_000_000)
	name := tempFile(t, make([]byte, 4096))
	v, r := sharedCounter(t, name)
	data, err := ViewOf[uint32](r, 0, v.Len())
	if err != nil {
		t.Fatal(err)
	}
	ended := start(t, litmusWriter, name, strconv.Itoa(n))
	defer func() { <-ended }()
	for seen, spin := uint32(0), 0; seen < uint32(n); spin++ {
		flag := v.Load(litmusFlag)
		x, y := data.At(litmusData), data.At(litmusMore)
		if x < flag || y < 3*flag {
			t.Errorf("flag %d, but the data are of %d and %d", flag, x, y/3)
			v.Store(litmusAnswer, math.MaxUint32) // the writer may end
			return
		}
		if flag != seen {
			seen = flag
			v.Store(litmusAnswer, seen)
		} else if spin%1000 == 999 {
			select {
			case <-ended:
				if v.Load(litmusFlag) < uint32(n) {
					t.Errorf("the writer ended after %d rounds", v.Load(litmusFlag))
					return
				}
			default:
				runtime.Gosched()
			}
		}
	}
}
