//go:build race

package mmap

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
)

func procyield() { runtime.Gosched() }

// racersOfLife: closed files and used ids, and where stand-ins end.
func racersOfLife() []racer {
	var all []racer
	// The first file is stored to by a goroutine that nothing orders before the rest.
	again := func(name string, use func(t testing.TB, name string) (r *Region, close func())) {
		all = append(all, racer{name, false, func(t testing.TB) {
			file := raceFile(t, 100)
			r, closeOld := use(t, file)
			id := r.o.file.inode.id
			second := make(chan *Region)
			s := newTurns(t)
			beside(func() { Put[uint32](r, 40, 1); s.done() }, func() {
				s.wait(1)
				closeOld()
				os.Remove(file)
				for range 100 { // until a file gets the id of the first, which most systems use again
					must(t, os.WriteFile(file, make([]byte, 100), 0o600))
					n, _ := use(t, file)
					if n.o.file.inode.id == id {
						second <- n
						return
					}
					n.Close()
					os.Remove(file)
				}
				must(t, os.WriteFile(file, make([]byte, 100), 0o600))
				n, _ := use(t, file)
				second <- n
			}, func() { Put[uint32](<-second, 40, 2) })
		}})
	}
	again("an id that is used again", func(t testing.TB, name string) (*Region, func()) {
		r := open(t, name, ReadWrite)
		return r, func() { r.Close() }
	})
	again("an id that is used again, of a borrowed file", func(t testing.TB, name string) (*Region, func()) {
		f := must2[*os.File](t)(os.OpenFile(name, os.O_RDWR, 0))
		r, err := Map(f, ReadWrite)
		need(t, r, err)
		f.Close()
		return r, func() { r.Close() }
	})
	return append(all, racer{"beyond the bound", false, func(t testing.TB) {
		a, b, end := manyBlocks(t)
		unseenTurns(t, func() { Put[uint32](a, end, 1) }, func() { Put[uint32](b, end, 1) })
	}}, racer{"a flag beyond the bound", false, func(t testing.TB) {
		a, b, end := manyBlocks(t)
		heap := new(int)
		beside(func() { *heap = 1; atomicAt[uint32](t, a, end).Store(0, 1) }, func() { spin(atomicAt[uint32](t, b, end), 1); *heap = 2 })
	}}, racer{"a flag beyond all bounds", false, func(t testing.TB) {
		a, b, end := manyBlocks(t)
		allFlags(t, a, end)
		heap := new(int)
		beside(func() { *heap = 1; atomicAt[uint64](t, a, end).Store(0, 1) }, func() {
			for v := atomicAt[uint64](t, b, end); v.Load(0) != 1; {
			}
			*heap = 2
		})
	}}, racer{"two flags beyond all bounds", true, func(t testing.TB) {
		a, b, end := manyBlocks(t)
		allFlags(t, a, end)
		f, g, heap := atomicAt[uint32](t, a, end), atomicAt[uint32](t, b, end+4), new(int)
		unseenTurns(t, func() { *heap = 1; f.Store(0, 1) }, func() { g.Load(0); *heap = 2 })
	}}, racer{"a flag beyond all bounds, which others then give back", false, func(t testing.TB) {
		a, b, end := manyBlocks(t)
		allFlags(t, a, end)
		c, d := two(t, 100)
		f, g, heap := atomicAt[uint32](t, c, 8), atomicAt[uint32](t, d, 8), new(int)
		unseenTurns(t, func() { *heap = 1; f.Store(0, 1) }, func() { a.Close(); b.Close(); g.Load(0); *heap = 2 })
	}}, racer{"within the bound, when the regions that used it up are closed", true, func(t testing.TB) {
		a, b, _ := manyBlocks(t)
		a.Close()
		b.Close()
		a, b = two(t, 100)
		unseenTurns(t, func() { Put[uint32](a, 40, 1) }, func() { Put[uint32](b, 40, 1) })
	}}, racer{"64 goroutines and Close", false, func(t testing.TB) {
		for range 20 {
			a, b := two(t, 8192)
			var wg sync.WaitGroup
			for g := range 64 {
				r := []*Region{a, b}[g%2]
				v, counter := viewAt[uint32](t, r, 4*g), atomicAt[uint32](t, r, 4096)
				wg.Go(func() {
					for {
						err := Guard(func() error {
							v.Set(0, v.At(0)+1)
							counter.Add(0, 1)
							return Put[uint8](r, 5000+g, 1)
						})
						var f *FaultError
						if errors.Is(err, ErrClosed) {
							return
						} else if err != nil && !errors.As(err, &f) {
							t.Error(err)
							return
						}
						runtime.Gosched()
					}
				})
			}
			a.Close()
			b.Close()
			wg.Wait()
		}
	}})
}

// manyBlocks makes two regions of a file that has used up what there is for plain
// accesses, and finds a part of it without stand-ins.
func manyBlocks(t testing.TB) (a, b *Region, end int) {
	t.Helper()
	const blocks = raceBlocks + 10
	a, b = two(t, blocks*raceBlock)
	for i := range blocks - 1 {
		must2[uint8](t)(Get[uint8](a, i*raceBlock))
	}
	return a, b, (blocks - 1) * raceBlock
}

// allFlags uses up what there is for AtomicViews.
func allFlags(t testing.TB, r *Region, end int) {
	t.Helper()
	for off := 0; off < end; off += raceBlock {
		atomicAt[uint32](t, r, off).Load(0)
	}
}

var childStandIns = registerChild("stand-ins", func(t testing.TB, args []string) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 3 {
		a, b, _ := manyBlocks(t)
		flags := must2[AtomicView[uint32]](t)(AtomicOf[uint32](a, 0, 1))
		if n := raceMemory.blocks; n != racePlainBlocks {
			t.Errorf("%d blocks of stand-ins, want %d", n, racePlainBlocks)
		}
		if now := heap(); now < before+racePlainBlocks*raceBlock || now > before+raceBlocks*raceBlock {
			t.Errorf("%d bytes of heap, %d before", now, before)
		}
		a.Close()
		if n := raceMemory.blocks; n == 0 {
			t.Error("a region of the file is open, and its stand-ins are gone")
		}
		b.Close()
		if now := heap(); raceMemory.blocks != 0 || len(mirrors.of) != 0 || now > before+2<<20 {
			t.Errorf("after Close of all: %d blocks, %d mirrors, %d bytes of heap, %d before", raceMemory.blocks, len(mirrors.of), now, before)
		}
		runtime.KeepAlive(flags)
	}
})

func TestStandInsAreBoundedAndGoWithTheLastRegion(t *testing.T) {
	runChild(t, childStandIns)
}
