//go:build race

package mmap

import (
	"testing"
)

// racersOfOrder: what AtomicViews put in order, and what they do not.
func racersOfOrder() []racer {
	releases := map[string]func(v AtomicView[uint32]){ // each makes it 1 of 0
		"Store":          func(v AtomicView[uint32]) { v.Store(0, 1) },
		"Swap":           func(v AtomicView[uint32]) { v.Swap(0, 1) },
		"CompareAndSwap": func(v AtomicView[uint32]) { v.CompareAndSwap(0, 0, 1) },
		"Add":            func(v AtomicView[uint32]) { v.Add(0, 1) },
		"Or":             func(v AtomicView[uint32]) { v.Or(0, 1) },
	}
	acquires := map[string]func(v AtomicView[uint32]) bool{ // each finds that it is 1
		"Load":                      func(v AtomicView[uint32]) bool { return v.Load(0) == 1 },
		"CompareAndSwap":            func(v AtomicView[uint32]) bool { return v.CompareAndSwap(0, 1, 2) },
		"CompareAndSwap that fails": func(v AtomicView[uint32]) bool { return !v.CompareAndSwap(0, 0, 0) },
		"Add":                       func(v AtomicView[uint32]) bool { return v.Add(0, 0) == 1 },
		"And":                       func(v AtomicView[uint32]) bool { return v.And(0, 1) == 1 },
		"Or":                        func(v AtomicView[uint32]) bool { return v.Or(0, 0) == 1 },
	}
	var all []racer
	handOver := func(release, acquire string) {
		all = append(all, racer{"a flag hands over: " + release + ", " + acquire, false, func(t testing.TB) {
			a, b := two(t, 100)
			there, here, heap := atomicAt[uint32](t, a, 8), atomicAt[uint32](t, b, 8), 0
			beside(func() {
				heap = 7
				Put[uint32](a, 40, 7)
				releases[release](there)
			}, func() {
				for !acquires[acquire](here) {
				}
				if x, err := Get[uint32](b, 40); x+uint32(heap) != 14 || err != nil {
					t.Errorf("%d and %d, %v", x, heap, err)
				}
			})
		}})
	}
	for release := range releases {
		handOver(release, "Load")
	}
	for acquire := range acquires {
		handOver("Store", acquire)
	}

	// unordered runs one after the other, what the detector does not know, and looks at
	// a variable that the first has set.
	unordered := func(name string, racy bool, run func(t testing.TB) (first, second func())) {
		all = append(all, racer{name, racy, func(t testing.TB) {
			first, second := run(t)
			heap := new(int)
			unseenTurns(t, func() { *heap = 1; first() }, func() { second(); *heap = 2 })
		}})
	}
	flag := func(t testing.TB) AtomicView[uint32] {
		return must2[AtomicView[uint32]](t)(AtomicOf[uint32](must2[*Region](t)(Open(raceFile(t, 1<<20), ReadWrite)), 0, ToEnd))
	}
	unordered("a Store, then a Load", false, func(t testing.TB) (_, _ func()) {
		f := flag(t)
		return func() { f.Store(5, 1) }, func() { f.Load(5) }
	})
	unordered("a Load releases nothing", true, func(t testing.TB) (_, _ func()) {
		f := flag(t)
		return func() { f.Load(5) }, func() { f.Load(5) }
	})
	unordered("a Store acquires nothing", true, func(t testing.TB) (_, _ func()) {
		f := flag(t)
		return func() { f.Store(5, 1) }, func() { f.Store(5, 2) }
	})
	unordered("a CompareAndSwap that fails releases nothing", true, func(t testing.TB) (_, _ func()) {
		f := flag(t)
		return func() { f.CompareAndSwap(5, 3, 4) }, func() { f.Load(5) }
	})
	unordered("plain accesses order nothing", true, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { Put[uint32](a, 4, 1) }, func() { Get[uint32](b, 8) }
	})
	for _, far := range []int{1, 2, 3, 16, 1000, raceBlock / 4, 200_000} {
		unordered("two flags "+itoa(4*far)+" bytes apart", true, func(t testing.TB) (_, _ func()) {
			f := flag(t)
			return func() { f.Store(4, 1) }, func() { f.Load(4 + far) }
		})
	}
	unordered("flags in two files", true, func(t testing.TB) (_, _ func()) {
		f, g := flag(t), flag(t)
		return func() { f.Store(5, 1) }, func() { g.Load(5) }
	})
	unordered("flags in two regions of memory", true, func(t testing.TB) (_, _ func()) {
		f, g := atomicAt[uint32](t, anonymousRegion(t, 8), 0), atomicAt[uint32](t, anonymousRegion(t, 8), 0)
		return func() { f.Store(0, 1) }, func() { g.Load(0) }
	})
	unordered("a flag that a region shows that copies on write", false, func(t testing.TB) (_, _ func()) {
		rs := sameFile(t, raceFile(t, 100), Config{Mode: ReadWrite}, Config{Mode: CopyOnWrite})
		f, g := atomicAt[uint32](t, rs[0], 8), atomicAt[uint32](t, rs[1], 8)
		return func() { f.Store(0, 1) }, func() { g.Load(0) }
	})
	for _, half := range []int{8, 12} {
		unordered("64 bits stored, half "+itoa(half)+" loaded", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			f, g := atomicAt[uint64](t, a, 8), atomicAt[uint32](t, b, half)
			return func() { f.Store(0, 1) }, func() { g.Load(0) }
		})
		unordered("half "+itoa(half)+" stored, 64 bits loaded", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			f, g := atomicAt[uint32](t, a, half), atomicAt[uint64](t, b, 8)
			return func() { f.Store(0, 1) }, func() { g.Load(0) }
		})
	}

	pair := func(name string, racy bool, run func(t testing.TB) (a, b func())) {
		all = append(all, racer{name, racy, func(t testing.TB) {
			if a, b := run(t); racy {
				unseenTurns(t, a, b)
			} else {
				beside(a, b)
			}
		}})
	}
	pair("AtomicView.Load and View.Set", true, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { atomicAt[uint32](t, a, 40).Load(0) }, func() { viewAt[uint32](t, b, 40).Set(0, 1) }
	})
	pair("AtomicView.Load and View.At", false, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { atomicAt[uint32](t, a, 40).Load(0) }, func() { viewAt[uint32](t, b, 40).At(0) }
	})
	pair("AtomicView.Add of 64 bits and the last byte", true, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { atomicAt[int64](t, a, 40).Add(0, 1) }, func() { Get[uint8](b, 47) }
	})
	pair("AtomicView.Store and the next byte", false, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { atomicAt[uint32](t, a, 40).Store(0, 1) }, func() { Put[uint8](b, 44, 1); Put[uint8](b, 39, 1) }
	})
	pair("AtomicView.Store of 32 and of 64 bits", false, func(t testing.TB) (_, _ func()) {
		a, b := two(t, 100)
		return func() { atomicAt[uint32](t, a, 40).Store(0, 1) }, func() { atomicAt[uint64](t, b, 40).Store(0, 1) }
	})
	// The integer itself is looked at by plain accesses, in order.
	for acquire := range acquires {
		pair("an integer that is read plainly, "+acquire, false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			f, g := atomicAt[uint32](t, a, 40), atomicAt[uint32](t, b, 40)
			return func() { f.Store(0, 1) }, func() {
				for !acquires[acquire](g) {
				}
				Get[uint32](b, 40)
			}
		})
		pair("an integer that was made plainly, "+acquire, false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			f, g, ready := atomicAt[uint32](t, a, 40), atomicAt[uint32](t, b, 40), atomicAt[uint32](t, b, 80)
			return func() { Put[uint32](a, 40, 0); f.Store(0, 1); ready.Store(0, 1) }, func() {
				spin(ready, 1)
				acquires[acquire](g)
			}
		})
		unordered("an integer that was made plainly and stored, "+acquire, false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			f, g := atomicAt[uint32](t, a, 40), atomicAt[uint32](t, b, 40)
			return func() { Put[uint32](a, 40, 0); f.Store(0, 1) }, func() { acquires[acquire](g) }
		})
	}

	all = append(all, racer{"two that count at the same moment", false, func(t testing.TB) {
		a, b := two(t, 100)
		s := newTurns(t)
		for range rounds(20_000) {
			var own [2]int
			f, g := atomicAt[uint32](t, a, 40), atomicAt[uint32](t, b, 40)
			f.Store(0, 0)
			start := *s.n + 2
			count := func(i int, v AtomicView[uint32]) func() {
				return func() {
					own[i] = 1
					s.done()
					s.wait(start)
					if v.Add(0, 1) == 2 && own[1-i] != 1 {
						t.Error("one counted before it stored")
					}
				}
			}
			beside(count(0, f), count(1, g))
		}
	}}, racer{"a counter that the last one reads by", false, func(t testing.TB) {
		a, b := two(t, 100)
		var sums [8]int
		var fns []func()
		for i := range sums {
			v := atomicAt[int64](t, []*Region{a, b}[i%2], 16)
			fns = append(fns, func() {
				for range 100 {
					sums[i]++
				}
				if v.Add(0, 1) == int64(len(sums)) {
					total := 0
					for _, n := range sums {
						total += n
					}
					if total != 800 {
						t.Errorf("the sum is %d", total)
					}
				}
			})
		}
		beside(fns...)
	}}, racer{"a spin lock", false, func(t testing.TB) {
		a, b := two(t, 100)
		heap := 0
		var fns []func()
		for i := range 4 {
			r := []*Region{a, b}[i%2]
			lock, data := atomicAt[uint32](t, r, 16), viewAt[uint64](t, r, 40)
			fns = append(fns, func() {
				for range 200 {
					for !lock.CompareAndSwap(0, 0, 1) {
						procyield()
					}
					heap++
					data.Set(0, data.At(0)+1)
					lock.Store(0, 0)
				}
			})
		}
		beside(fns...)
		if n := viewAt[uint64](t, a, 40).At(0); n != 800 || heap != 800 {
			t.Errorf("counted to %d and %d", n, heap)
		}
	}}, racer{"a spin lock that one forgets", true, func(t testing.TB) {
		a, b := two(t, 100)
		lock, data := atomicAt[uint32](t, a, 16), viewAt[uint64](t, a, 40)
		other := viewAt[uint64](t, b, 40)
		unseenTurns(t, func() {
			for !lock.CompareAndSwap(0, 0, 1) {
			}
			data.Set(0, data.At(0)+1)
			lock.Store(0, 0)
		}, func() { other.Set(0, other.At(0)+1) })
	}})
	return all
}
