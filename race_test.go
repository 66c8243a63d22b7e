package mmap

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// These tests are of outcomes: every file holds a value of its own and no other, and
// whoever looks for one file must find its value or an error. They race on purpose:
// under the race detector only raw memory stores, which it does not see.

const (
	raceFiles   = 32
	raceReaders = 64
	raceReserve = 32 // pages
)

func raceValue(file int) uint32 { return 0x01010101 * uint32(file+1) }

// A holding is what a reader works with: a region's file, and a view and a raw
// slice, either of which may be all that is left of the region.
type holding struct {
	value uint32
	view  View[uint32]
	raw   []uint32
}

func TestNoForeignByteIsEverSeen(t *testing.T) {
	growsFiles(t)
	t.Log(runChild(t, childForeign))
}

var childForeign = registerChild("foreign bytes", func(t testing.TB, args []string) {
	rounds := max(1000, rounds(10_000)) // in fewer, no address is used again
	page := os.Getpagesize()
	dir := t.TempDir()
	names := make([]string, raceFiles)
	for i := range names {
		names[i] = filepath.Join(dir, fmt.Sprint(i))
		r, err := Create(names[i], int64((1+i%8)*page))
		if err != nil {
			t.Fatal(err)
		}
		v, err := ViewOf[uint32](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		v.Fill(raceValue(i))
		r.Close()
	}

	// Each slot has one region at a time. Views and raw slices are handed out
	// apart, so that the collector finds regions of which only a slice is left.
	const slots = 16
	var views, raws [slots]atomic.Pointer[holding]
	var regions [slots]atomic.Pointer[Region]
	addresses := make(map[uintptr]int)
	reopen := func(slot, file int) {
		r, err := Config{Mode: ReadWrite, Reserve: int64(raceReserve * page)}.Open(names[file])
		if err != nil {
			t.Fatal(err)
		}
		v, err := ViewOf[uint32](r, 0, r.Len()/4)
		if err != nil {
			t.Fatal(err)
		}
		h := &holding{value: raceValue(file)}
		if file%2 == 0 {
			h.view = v
			views[slot].Store(h)
		} else {
			h.raw = v.Slice()
			raws[slot].Store(h)
		}
		regions[slot].Store(r)
		addresses[r.Addr()]++
	}
	for i := range slots {
		reopen(i, i)
	}

	var stop atomic.Bool
	var seen, faults atomic.Int64
	var wg sync.WaitGroup
	look := func(x, value uint32, how string) {
		// What was grown into and not yet written to is zero.
		if x != value && x != 0 {
			stop.Store(true)
			t.Errorf("%s: found %#08x in the file of %#08x", how, x, value)
		}
	}
	// allowed checks what Guard returned: nothing else may go wrong here.
	allowed := func(err error) {
		var f *FaultError
		switch {
		case err == nil:
		case !errors.As(err, &f) || f.Err != ErrClosed && f.Err != ErrTruncated:
			stop.Store(true)
			t.Errorf("a reader or writer got %v", err)
		default:
			faults.Add(1)
		}
	}
	for g := range raceReaders {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			copied := make([]uint32, 64)
			for !stop.Load() {
				slot := rnd.IntN(slots)
				if h := views[slot].Load(); h != nil {
					n := int64(0)
					allowed(Guard(func() error {
						for range 50 {
							i := rnd.IntN(h.view.Len())
							look(h.view.At(i), h.value, "View.At")
							if g%2 == 0 && !raceEnabled {
								h.view.Set(i, h.value)
							}
							n++
						}
						part := h.view.Sub(h.view.Len()/2, h.view.Len())
						n, err := part.CopyTo(copied)
						if err != nil {
							return err
						}
						for _, x := range copied[:n] {
							look(x, h.value, "View.CopyTo")
							n++
						}
						return nil
					}))
					seen.Add(n)
				}
				if h := raws[slot].Load(); h != nil {
					n := int64(0)
					allowed(Guard(func() error {
						for range 50 {
							i := rnd.IntN(len(h.raw))
							look(h.raw[i], h.value, "element of Slice")
							if g%2 == 0 {
								h.raw[i] = h.value
							}
							n++
						}
						for _, x := range copied[:copy(copied, h.raw[len(h.raw)/2:])] {
							look(x, h.value, "copy out of Slice")
							n++
						}
						return nil
					}))
					seen.Add(n)
				}
				runtime.Gosched() // or those who close wait for 64 others
			}
		})
	}
	wg.Go(func() {
		// Growing and shrinking goes on at the same regions.
		rnd := rand.New(rand.NewPCG(2, 0))
		for !stop.Load() {
			r := regions[rnd.IntN(slots)].Load()
			err := r.Resize(int64(1+rnd.IntN(raceReserve)) * int64(page))
			if err != nil && !errors.Is(err, ErrClosed) && (canShortenMapped || !errors.Is(err, errors.ErrUnsupported)) {
				stop.Store(true)
				t.Errorf("Resize: %v", err)
			}
			runtime.Gosched()
		}
	})

	rnd := rand.New(rand.NewPCG(3, 0))
	for round := 0; round < rounds && !stop.Load(); round++ {
		slot := rnd.IntN(slots)
		if err := regions[slot].Load().Close(); err != nil {
			t.Fatal(err)
		}
		reopen(slot, rnd.IntN(raceFiles))
		if round%200 == 0 {
			runtime.GC() // gives address space back, to be used again
		}
		if round%10 == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
	again := 0
	for _, n := range addresses {
		again += n - 1
	}
	fmt.Printf("%d rounds, %d values looked at, %d faults, %d regions where another had been", rounds, seen.Load(), faults.Load(), again)
	if seen.Load() < int64(rounds) || faults.Load() == 0 || again == 0 {
		t.Errorf("%d values looked at, %d faults, %d addresses used again: this proves nothing", seen.Load(), faults.Load(), again)
	}
})
