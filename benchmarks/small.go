package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	blevesearch "github.com/blevesearch/mmap-go"
	"github.com/dgraph-io/ristretto/v2/z"
	edsrzf "github.com/edsrzf/mmap-go"
	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

const smallSize = 4 << 10

// smallFiles opens, maps, reads a value of, unmaps and closes many small files. Package
// mmap leaves part of the work to the garbage collector, which comes now and then. So
// its turns are long enough for several collections, and end when all was given back.
func smallFiles(s *session) error {
	files := 10_000
	if s.quick {
		files = 2_000
	}
	dir := filepath.Join(s.dir, "small")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	names := make([]string, files)
	want := uint64(0)
	for i := range names {
		names[i] = filepath.Join(dir, strconv.Itoa(i))
		p := make([]byte, smallSize)
		value := uint64(i) * 0x9e3779b97f4a7c15
		want += value
		binary.NativeEndian.PutUint64(p, value)
		if err := os.WriteFile(names[i], p, 0o666); err != nil {
			return err
		}
	}
	if err := settled(dir); err != nil {
		return err
	}

	readers := []smallReader{
		{"View", smallView, true, false},
		{"x/exp/mmap", smallExp, false, true},
		{"edsrzf/mmap-go", smallEdsrzf, false, true},
		{"blevesearch/mmap-go", smallBlevesearch, false, true},
		{"z.MmapFile", smallZ, false, true},
		{"os.ReadFile", smallReadFile, false, false},
		{"os.File.ReadAt", smallPread, false, false},
	}
	readers = append(readers, smallSystem...)
	const bare = "bare system calls"
	hasBare := len(smallSystem) > 0
	if !hasBare {
		s.skip("small files by bare system calls: they are for Unix")
	}
	var peers []string
	for _, r := range readers {
		if r.maps {
			peers = append(peers, r.name)
		}
	}
	one := contest{
		name: "small files, 1 goroutine",
		work: "Open, map, read 8 bytes of, unmap and close files of 4 KiB that are in memory.",
		n:    files, per: "file",
		goals: []goal{{text: "View takes so many times as long as the fastest other that maps", atMost: 1.10,
			value: func(r round) float64 { return r["View"] / r.best(peers...) }}},
	}
	two := one
	two.goals = nil
	two.name = "small files, 2 goroutines"
	two.work = "The same by two goroutines, each with half of the files: time for one of all files."
	for _, r := range readers {
		one.ways = append(one.ways, r.way(names, want, 1))
		if !s.quick || r.name == "View" || r.name == bare {
			two.ways = append(two.ways, r.way(names, want, 2))
		}
	}
	if !s.quick {
		one.ways = append(one.ways, smallReader{"Get", smallGet, true, false}.way(names, want, 1))
	}
	if hasBare {
		one.goals = append(one.goals, goal{text: "View takes so many times as long as bare system calls", atMost: 1.35,
			value: func(r round) float64 { return r["View"] / r[bare] }})

		// How both scale is compared within a round.
		const by1 = " by 1"
		for _, r := range readers {
			if r.name == "View" || r.name == bare {
				w := r.way(names, want, 1)
				w.name += by1
				two.ways = append(two.ways, w)
			}
		}
		two.goals = append(two.goals, goal{text: "what a second goroutine gains: View's factor, of that of bare system calls", atLeast: 0.9,
			value: func(r round) float64 { return r["View"+by1] / r["View"] / (r[bare+by1] / r[bare]) }})
	}
	if err := s.hold(one); err != nil {
		return err
	}
	return s.hold(two)
}

// smallSystem are ways by system calls, where there are such.
var smallSystem []smallReader

// A smallReader reads the first 8 bytes of a file.
type smallReader struct {
	name string
	read func(name string) (uint64, error)
	ours bool
	maps bool // that is, other than ours and bare system calls
}

// smallTurn is how many files package mmap opens in a turn, at least. With fewer the
// collections would be left out.
const smallTurn = 20_000

// way has goroutines read all files.
func (r smallReader) way(names []string, want uint64, goroutines int) way {
	passes := 1
	if r.ours {
		passes = (smallTurn + len(names) - 1) / len(names)
	}
	var space int
	return way{
		name:   r.name,
		before: func() error { space = tidy(); return nil },
		turn: func(int) (float64, error) {
			start := time.Now()
			for range passes {
				if err := r.readAll(names, want, goroutines); err != nil {
					return 0, err
				}
			}
			if r.ours {
				giveBack(space)
			}
			return float64(time.Since(start)) / float64(passes), nil
		},
	}
}

func (r smallReader) readAll(names []string, want uint64, goroutines int) error {
	sums, errs := make([]uint64, goroutines), make([]error, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		part := names[g*len(names)/goroutines : (g+1)*len(names)/goroutines]
		all.Go(func() { sums[g], errs[g] = smallSum(part, r.read) })
	}
	all.Wait()
	sum := uint64(0)
	for _, x := range sums {
		sum += x
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if sum != want {
		return fmt.Errorf("the values add up to %#x, not %#x", sum, want)
	}
	return nil
}

//go:noinline
func smallSum(names []string, read func(name string) (uint64, error)) (sum uint64, err error) {
	for _, name := range names {
		x, err := read(name)
		if err != nil {
			return 0, err
		}
		sum += x
	}
	return sum, nil
}

// tidy leaves nothing for the collector to do, and returns how much address space the
// process has then.
func tidy() (space int) {
	var heap uint64
	for i, same := 0, 0; i < 100 && same < 3; i++ {
		runtime.GC()
		time.Sleep(100 * time.Microsecond) // for what runs on goroutines of the collector
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if now := addressSpace(); now == space && heap < m.HeapAlloc+1<<10 {
			same++
		} else {
			same = 0
		}
		space, heap = addressSpace(), m.HeapAlloc
	}
	return space
}

// giveBack has the collector give back what is unreachable, and waits until the
// process has hardly more address space than it had.
func giveBack(space int) {
	const little = 1 << 20
	for range 6 { // collections
		runtime.GC()
		for range 3 {
			if addressSpace() <= space+little {
				return
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
}

//go:noinline
func smallView(name string) (uint64, error) {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return 0, err
	}
	v, err := mmap.ViewOf[uint64](r, 0, 1)
	if err != nil {
		return 0, err
	}
	x := v.At(0)
	return x, r.Close()
}

//go:noinline
func smallGet(name string) (uint64, error) {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return 0, err
	}
	x, err := mmap.Get[uint64](r, 0)
	if err != nil {
		return 0, err
	}
	return x, r.Close()
}

//go:noinline
func smallExp(name string) (uint64, error) {
	r, err := expmmap.Open(name)
	if err != nil {
		return 0, err
	}
	var p [8]byte
	if _, err := r.ReadAt(p[:], 0); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(p[:]), r.Close()
}

//go:noinline
func smallEdsrzf(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	p, err := edsrzf.Map(f, edsrzf.RDONLY, 0)
	if err != nil {
		return 0, err
	}
	x := binary.NativeEndian.Uint64(p)
	return x, errors.Join(p.Unmap(), f.Close())
}

//go:noinline
func smallBlevesearch(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	p, err := blevesearch.Map(f, blevesearch.RDONLY, 0)
	if err != nil {
		return 0, err
	}
	x := binary.NativeEndian.Uint64(p)
	return x, errors.Join(p.Unmap(), f.Close())
}

//go:noinline
func smallZ(name string) (uint64, error) {
	f, err := z.OpenMmapFile(name, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	x := binary.NativeEndian.Uint64(f.Data)
	return x, errors.Join(z.Munmap(f.Data), f.Fd.Close()) // Close would wait for the disk
}

//go:noinline
func smallReadFile(name string) (uint64, error) {
	p, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(p), nil
}

//go:noinline
func smallPread(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	var p [8]byte
	if _, err := f.ReadAt(p[:], 0); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(p[:]), f.Close()
}

// settled makes what was written durable, so that no write-back disturbs.
func settled(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
