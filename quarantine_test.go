package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATombstoneStaysAsLongAsItCanBeReached(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(7*page))
	for what, keep := range map[string]func(r *Region) any{
		"a region": func(r *Region) any { return r },
		"a view": func(r *Region) any {
			v, err := ViewOf[int32](r, 8, 5)
			if err != nil {
				t.Fatal(err)
			}
			return v.Sub(1, 3)
		},
		"an atomic view": func(r *Region) any {
			v, err := AtomicOf[int32](r, 8, 5)
			if err != nil {
				t.Fatal(err)
			}
			return v
		},
	} {
		r := open(noCleanup{t}, name, ReadWrite)
		m, addr := r.o.mapping, r.Addr()
		kept := keep(r)
		if got := mapsAt(t, addr); got != "rw-s" {
			t.Fatalf("the kernel says %q", got)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = nil
		for range 5 {
			runtime.GC()
			for _, a := range []uintptr{addr, addr + uintptr(7*page) - 1} {
				if got := mapsAt(t, a); got != fileTombstone {
					t.Errorf("%s is left: the kernel says %q after Close, want %q", what, got, fileTombstone)
				}
			}
		}
		runtime.KeepAlive(kept)
		kept = nil
		collectTill(t, func() bool { return registry.find(addr) != m && gone(t, m, addr) })
	}
}

func TestRegionsNeverClosedAreUnmappedUnlessRawMemoryIsOut(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(9*page))
	var raws [][]byte
	var plain, out []*mapping
	for i := range 40 {
		r := open(noCleanup{t}, name, ReadWrite)
		if x, err := Get[byte](r, i); x != quiet(100)[i] || err != nil {
			t.Fatal(x, err)
		}
		if i%2 == 0 {
			plain = append(plain, r.o.mapping)
			continue
		}
		out = append(out, r.o.mapping)
		v, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			raws = append(raws, r.Bytes())
		case 1:
			raws = append(raws, v.Slice())
		case 2:
			v.Ptr(7)
			raws = append(raws, v.Slice())
		}
	}
	collectTill(t, func() bool { return !slices.ContainsFunc(plain, listed) })
	// The others were as unreachable, and the collector has been through them.
	collectTill(t, func() bool {
		return !slices.ContainsFunc(out, func(m *mapping) bool { return m.owner.Value() != nil })
	})
	runtime.GC()
	for i, m := range out {
		if !listed(m) || !bytes.Equal(raws[i], quiet(9*page)) {
			t.Fatal("raw memory was unmapped, or reads something else")
		}
		if i == 0 && mapsAt(t, uintptr(m.base)) != "rw-s" {
			t.Errorf("the kernel says %q of raw memory", mapsAt(t, uintptr(m.base)))
		}
	}
	for _, m := range out {
		m.release() // nobody else can any more
	}
}

func TestTheQuarantineReleasesTheOldestFirst(t *testing.T) { runChild(t, childQuarantine) }

var childQuarantine = registerChild("quarantine", func(t testing.TB, args []string) {
	closeOne := func() *mapping {
		r, err := Anonymous(1)
		if err != nil {
			t.Fatal(err)
		}
		r.Bytes()
		r.Close()
		return r.o.mapping
	}
	held := func() []*mapping { return heldIn(&rawQuarantine) }
	var all []*mapping
	const over = 100
	for len(all) < budgetMappings+over {
		all = append(all, closeOne())
		if len(all)%over == 0 {
			// So that they come into the quarantine in this order.
			collectTill(t, func() bool { return len(held()) > min(len(all)-1, budgetMappings-batch) })
		}
	}
	collectTill(t, func() bool {
		return !slices.ContainsFunc(all, func(m *mapping) bool { return m.owner.Value() != nil })
	})
	released := func() (n int) {
		for _, m := range all {
			if !listed(m) {
				n++
			}
		}
		return n
	}
	// What leaves the quarantine is released a moment later, and some may not be in it yet.
	collectTill(t, func() bool { return released() >= over && len(held()) >= budgetMappings })
	if got := released(); got != over || len(held()) != budgetMappings {
		t.Errorf("%d were released and %d are held, want %d and %d", got, len(held()), over, budgetMappings)
	}
	for i, m := range all {
		// Within one collection the order is the collector's.
		if i >= 2*over && !listed(m) {
			t.Errorf("number %d of %d was released before its time", i, len(all))
		}
	}
	if got := countMappings(t); got > 2*budgetMappings {
		t.Errorf("%d mappings", got)
	}

	// The budget of bytes: two that are larger than it together.
	size := int64(limits().share(1, budgetShare).bytes)/2 + 1<<20
	var large [2]*mapping
	for i := range large {
		r, err := Config{Reserve: size}.Anonymous(1)
		if err != nil {
			t.Skipf("cannot reserve %d bytes: %v", size, err)
		}
		r.Reserved()
		r.Close()
		large[i] = r.o.mapping
		r = nil
		collectTill(t, func() bool { return slices.Contains(held(), large[i]) })
	}
	collectTill(t, func() bool { return !listed(large[0]) && released() == len(all) })
	if h := held(); len(h) != 1 || h[0] != large[1] || !listed(large[1]) {
		t.Errorf("%d are held, of which the newest alone is within the budget", len(h))
	}
	rawQuarantine.mu.Lock()
	if got := rawQuarantine.bytes; got != large[1].space.size {
		t.Errorf("the quarantine counts %d bytes and has %d", got, large[1].space.size)
	}
	rawQuarantine.mu.Unlock()
})

func TestTombstonesAreCollectedAlthoughTheHeapHardlyGrows(t *testing.T) {
	runChild(t, childQuietHeap)
}

// A Region is a small thing for the Go heap: with no other garbage, a collection
// must come of the tombstones themselves. Here none comes of the heap at all.
var childQuietHeap = registerChild("a quiet heap", func(t testing.TB, args []string) {
	debug.SetGCPercent(-1)
	name := tempFile(t, quiet(100))
	for i := range 5 * budgetMappings {
		r, err := Open(name, ReadOnly)
		if err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
		r.Close()
		r = nil
	}
	left := func() int {
		tombstones.mu.Lock()
		defer tombstones.mu.Unlock()
		return tombstones.now.mappings
	}
	for begin := time.Now(); left() > 3*budgetMappings; runtime.Gosched() {
		if time.Since(begin) > puppetPatience {
			t.Fatalf("%d tombstones, and no collection", left())
		}
	}
})

// The deferred calls of a guarded function run between a fault and the question
// why, and may take as long as they like.
func TestARegionLastsUntilItsFaultIsExplained(t *testing.T) {
	needMappings(t)
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprintf("closes=%v", closes), func(t *testing.T) {
			name := tempFile(t, quiet(20000))
			var m *mapping
			err := Guard(func() error {
				defer collectAll(t)
				r, err := Open(name, ReadWrite)
				if err != nil {
					return err
				}
				m = r.o.mapping
				if closes {
					defer r.Close()
				}
				v, err := ViewOf[byte](r, 0, ToEnd)
				if err != nil {
					return err
				}
				if !canShortenMapped {
					r.Resize(0) // which leaves the file alone and says so
				} else if err := os.Truncate(name, 0); err != nil {
					return err
				}
				sinkInt64(int64(v.At(17)))
				return nil
			})
			var fault *FaultError
			want := ErrTruncated
			if closes {
				want = ErrClosed // by the time that it is explained
			}
			if !errors.As(err, &fault) || !isAt(fault, 17) || !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
				t.Errorf("error is %v, want a fault at offset 17 of %s with %v", err, name, want)
			}
			fault, err = nil, nil // they hold the region
			collectTill(t, func() bool { return !listed(m) })
		})
	}
}

func TestALongGuardHoldsOnlySoMuchBack(t *testing.T) { runChild(t, childLongGuard) }

// In a child, for the number of mappings.
var childLongGuard = registerChild("a long guard", func(t testing.TB, args []string) {
	name := tempFile(t, quiet(100))
	held := func() int { return len(heldIn(&guardQuarantine)) }
	before := countMappings(t)
	Guard(func() error {
		for i := range 3 * budgetMappings {
			r, err := Open(name, ReadOnly)
			if err != nil {
				t.Fatalf("number %d: %v", i, err)
			}
			if i%2 == 0 {
				r.Close() // so that every other is a mapping of its own
			}
			if i%1024 == 0 {
				runtime.GC()
			}
		}
		collectTill(t, func() bool { return held() > budgetMappings-batch })
		if n := held(); n > budgetMappings {
			t.Errorf("%d are held", n)
		}
		if n := countMappings(t) - before; n > 2*budgetMappings+100 { // the heap has some
			t.Errorf("%d mappings", n)
		}
		return nil
	})
	collectTill(t, func() bool { return held() == 0 })
	if n := countMappings(t) - before; n > budgetMappings {
		t.Errorf("%d mappings after it", n)
	}
	if guardQuarantine.bytes != 0 {
		t.Errorf("%d bytes are held", guardQuarantine.bytes)
	}
})

func TestACopyOfARegionKeepsIt(t *testing.T) {
	type store struct{ Region }
	name := tempFile(t, pattern(9000))
	s := func() *store { r, err := Open(name, ReadOnly); return &store{*need(noCleanup{t}, r, err)} }()
	collectAll(t)
	got := make([]byte, 9000)
	if n, err := s.ReadAt(got, 0); n != 9000 || err != nil || !bytes.Equal(got, pattern(9000)) {
		t.Errorf("ReadAt of the copy: %d, %v", n, err)
	}
	m := s.o.mapping
	runtime.KeepAlive(s)
	s = nil
	collectTill(t, func() bool { return !listed(m) })
}
