//go:build race

package mmap

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// An access is one way to load or store the 4 bytes at off.
type raceAccess struct {
	name string
	do   func(t testing.TB, r *Region, off int)
}

func bigAt(t testing.TB, r *Region, off int) BigEndian[uint32] {
	t.Helper()
	return must2[BigEndian[uint32]](t)(BigEndianOf[uint32](r, off, 1))
}

func littleAt(t testing.TB, r *Region, off int) LittleEndian[uint32] {
	t.Helper()
	return must2[LittleEndian[uint32]](t)(LittleEndianOf[uint32](r, off, 1))
}

var raceStores = []raceAccess{
	{"View.Set", func(t testing.TB, r *Region, off int) { viewAt[uint32](t, r, off).Set(0, 1) }},
	{"StructView.Set", func(t testing.TB, r *Region, off int) {
		must2[View[[2]uint16]](t)(StructViewOf[[2]uint16](r, off, 1)).Set(0, [2]uint16{1, 2})
	}},
	{"View.CopyFrom", func(t testing.TB, r *Region, off int) {
		must2[int](t)(viewAt[uint32](t, r, off).CopyFrom([]uint32{1}))
	}},
	{"View.Fill", func(t testing.TB, r *Region, off int) { must(t, viewAt[uint32](t, r, off).Fill(1)) }},
	{"BigEndian.Set", func(t testing.TB, r *Region, off int) { bigAt(t, r, off).Set(0, 1) }},
	{"BigEndian.CopyFrom", func(t testing.TB, r *Region, off int) { must2[int](t)(bigAt(t, r, off).CopyFrom([]uint32{1})) }},
	{"BigEndian.Fill", func(t testing.TB, r *Region, off int) { must(t, bigAt(t, r, off).Fill(1)) }},
	{"LittleEndian.Set", func(t testing.TB, r *Region, off int) { littleAt(t, r, off).Set(0, 1) }},
	{"LittleEndian.CopyFrom", func(t testing.TB, r *Region, off int) {
		must2[int](t)(littleAt(t, r, off).CopyFrom([]uint32{1}))
	}},
	{"Put", func(t testing.TB, r *Region, off int) { must(t, Put[uint32](r, off, 1)) }},
	{"Region.WriteAt", func(t testing.TB, r *Region, off int) { must2[int](t)(r.WriteAt([]byte{1, 2, 3, 4}, int64(off))) }},
}

var raceLoads = []raceAccess{
	{"View.At", func(t testing.TB, r *Region, off int) { viewAt[uint32](t, r, off).At(0) }},
	{"View.All", func(t testing.TB, r *Region, off int) {
		for range viewAt[uint32](t, r, off).All() {
		}
	}},
	{"View.Values", func(t testing.TB, r *Region, off int) {
		for range viewAt[uint32](t, r, off).Values() {
		}
	}},
	{"View.CopyTo", func(t testing.TB, r *Region, off int) {
		must2[int](t)(viewAt[uint32](t, r, off).CopyTo(make([]uint32, 1)))
	}},
	{"BigEndian.At", func(t testing.TB, r *Region, off int) { bigAt(t, r, off).At(0) }},
	{"BigEndian.All", func(t testing.TB, r *Region, off int) {
		for range bigAt(t, r, off).All() {
		}
	}},
	{"LittleEndian.Values", func(t testing.TB, r *Region, off int) {
		for range littleAt(t, r, off).Values() {
		}
	}},
	{"LittleEndian.CopyTo", func(t testing.TB, r *Region, off int) {
		must2[int](t)(littleAt(t, r, off).CopyTo(make([]uint32, 1)))
	}},
	{"Get", func(t testing.TB, r *Region, off int) { must2[uint32](t)(Get[uint32](r, off)) }},
	{"Region.ReadAt", func(t testing.TB, r *Region, off int) { must2[int](t)(r.ReadAt(make([]byte, 4), int64(off))) }},
	{"Region.WriteTo", func(t testing.TB, r *Region, off int) { must2[int64](t)(r.WriteTo(new(bytes.Buffer))) }},
	{"Region.WriteTo a file", func(t testing.TB, r *Region, off int) {
		f := must2[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "copy")))
		defer f.Close()
		must2[int64](t)(r.WriteTo(f))
	}},
}

// racersOfAccesses: each store with a load, and each load with a store, without order
// and with one, through two regions of a file.
func racersOfAccesses() (all []racer) {
	add := func(store, load raceAccess) {
		all = append(all, racer{store.name + " and " + load.name, true, func(t testing.TB) {
			a, b := two(t, 100)
			unseenTurns(t, func() { store.do(t, a, 40) }, func() { load.do(t, b, 40) })
		}}, racer{store.name + " before " + load.name, false, func(t testing.TB) {
			a, b := two(t, 100)
			flag, seen := atomicAt[uint32](t, a, 8), atomicAt[uint32](t, b, 8)
			if _, to := load.name, "Region.WriteTo"; len(load.name) >= len(to) && load.name[:len(to)] == to {
				seen = atomicAt[uint32](t, anonymousRegion(t, 100), 8) // it loads the flag plainly, too
				flag = seen
			}
			beside(func() { store.do(t, a, 40); flag.Store(0, 1) }, func() { spin(seen, 1); load.do(t, b, 40) })
		}}, racer{store.name + " beside " + load.name, false, func(t testing.TB) {
			a, b := two(t, 100)
			if load.name == "Region.WriteTo" || load.name == "Region.WriteTo a file" {
				b = must2[*Region](t)(Config{Mode: CopyOnWrite}.Open(b.Name()))
			}
			beside(func() { store.do(t, a, 40) }, func() { load.do(t, b, 44) }, func() { load.do(t, b, 36) })
		}})
	}
	for _, s := range raceStores {
		add(s, raceLoads[0])
	}
	for _, l := range raceLoads[1:] {
		add(raceStores[0], l)
	}
	return all
}

// spin waits until integer 0 of v is x.
func spin(v AtomicView[uint32], x uint32) {
	for v.Load(0) != x {
	}
}

func racersOfRegions() []racer {
	store := func(r *Region, off int) func() { return func() { Put[uint32](r, off, 1) } }
	load := func(r *Region, off int) func() { return func() { Get[uint32](r, off) } }
	pair := func(name string, racy bool, run func(t testing.TB) (a, b func())) racer {
		return racer{name, racy, func(t testing.TB) { a, b := run(t); unseenTurns(t, a, b) }}
	}
	page := int64(os.Getpagesize())
	return []racer{
		pair("one region", true, func(t testing.TB) (_, _ func()) {
			a, _ := two(t, 100)
			return store(a, 40), store(a, 40)
		}),
		pair("two loads", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return load(a, 40), load(b, 40)
		}),
		pair("regions at different offsets", true, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 4*page), Config{Mode: ReadWrite, Offset: page + 7}, Config{Mode: ReadWrite, Offset: 100})
			return store(rs[0], 0), store(rs[1], int(page)+7-100)
		}),
		pair("regions at different offsets, other bytes", false, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 4*page), Config{Mode: ReadWrite, Offset: page + 7}, Config{Mode: ReadWrite, Offset: 100})
			return store(rs[0], 0), store(rs[1], 0)
		}),
		pair("a read-only region beside one that stores", true, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 100), Config{Mode: ReadWrite}, Config{Mode: ReadOnly})
			return store(rs[0], 40), load(rs[1], 40)
		}),
		pair("regions of one os.File", true, func(t testing.TB) (_, _ func()) {
			f := must2[*os.File](t)(os.OpenFile(raceFile(t, 100), os.O_RDWR, 0))
			defer f.Close()
			a, err := Map(f, ReadWrite)
			need(t, a, err)
			b, err := Map(f, ReadWrite)
			return store(a, 40), load(need(t, b, err), 40)
		}),
		pair("two files", false, func(t testing.TB) (_, _ func()) {
			a, _ := two(t, 100)
			b, _ := two(t, 100)
			return store(a, 40), store(b, 40)
		}),
		pair("anonymous memory", true, func(t testing.TB) (_, _ func()) {
			a := anonymousRegion(t, 100)
			return store(a, 40), load(a, 40)
		}),
		pair("two regions of memory", false, func(t testing.TB) (_, _ func()) {
			return store(anonymousRegion(t, 100), 40), store(anonymousRegion(t, 100), 40)
		}),
		pair("two regions that copy on write", false, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 100), Config{Mode: CopyOnWrite}, Config{Mode: CopyOnWrite})
			return store(rs[0], 40), store(rs[1], 40)
		}),
		pair("one that copies on write and one that shares", false, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 100), Config{Mode: CopyOnWrite}, Config{Mode: ReadWrite})
			return store(rs[0], 40), store(rs[1], 40)
		}),
		pair("one region that copies on write", true, func(t testing.TB) (_, _ func()) {
			rs := sameFile(t, raceFile(t, 100), Config{Mode: CopyOnWrite})
			return store(rs[0], 40), store(rs[0], 40)
		}),
		pair("two bytes of a word", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return func() { Put[uint8](a, 40, 1) }, func() { Put[uint8](b, 41, 1) }
		}),
		pair("the same byte of a word", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return func() { Put[uint8](a, 41, 1) }, func() { Put[uint16](b, 40, 1) }
		}),
		pair("an unaligned number and the byte after it", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return store(a, 37), func() { Put[uint8](b, 41, 1) }
		}),
		pair("an unaligned number and its last byte", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return store(a, 37), func() { Put[uint8](b, 40, 1) }
		}),
		pair("ranges that touch", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 1000)
			return func() { a.WriteAt(make([]byte, 333), 100) }, func() { b.ReadAt(make([]byte, 100), 433); b.ReadAt(make([]byte, 100), 0) }
		}),
		pair("ranges that overlap at the end", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 1000)
			return func() { a.WriteAt(make([]byte, 333), 100) }, func() { b.ReadAt(make([]byte, 100), 432) }
		}),
		pair("ranges that overlap at the beginning", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 1000)
			return func() { a.WriteAt(make([]byte, 333), 100) }, func() { b.ReadAt(make([]byte, 101), 0) }
		}),
		pair("a range over several blocks", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 3*raceBlock)
			return func() { a.WriteAt(make([]byte, raceBlock+10), raceBlock-5) }, func() { Get[uint8](b, 2*raceBlock+4) }
		}),
		pair("the byte after a range over several blocks", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 3*raceBlock)
			return func() { a.WriteAt(make([]byte, raceBlock+10), raceBlock-5) }, func() { Get[uint8](b, 2*raceBlock+5) }
		}),
		pair("a copy that ends with a fault", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 4*page)
			if err := os.Truncate(a.Name(), page); err != nil {
				t.Skip(err)
			}
			return func() { a.WriteAt(make([]byte, 4*page), 0) }, func() { Get[uint8](b, int(2*page)) }
		}),
		pair("a copy before its fault", true, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 4*page)
			if err := os.Truncate(a.Name(), page); err != nil {
				t.Skip(err)
			}
			return func() { a.WriteAt(make([]byte, 4*page), 0) }, func() { Get[uint8](b, int(page-1)) }
		}),
		pair("the slice that ReadAt fills", true, func(t testing.TB) (_, _ func()) {
			a, _ := two(t, 100)
			p := make([]byte, 10)
			return func() { a.ReadAt(p, 0) }, func() { p[9] = 1 }
		}),
		pair("raw memory, which cannot be seen", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 100)
			return func() { a.Bytes()[40] = 1 }, func() { Get[uint8](b, 40) }
		}),
		pair("what the library touches itself", false, func(t testing.TB) (_, _ func()) {
			a, b := two(t, 4*page)
			return func() { a.Populate(0, ToEnd); a.Sync(); a.Resize(8 * page); b.Refresh() }, func() {
				for off := range int(page) {
					Put[uint8](b, off, 1)
				}
			}
		}),
	}
}
