package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// Reads and writes of 8 bytes at random places of a file that is in memory.

// A randomWay accesses the given places, which are numbers of 8 bytes. Reads return the
// sum of what was there. Writes store the number of the place plus x.
type randomWay struct {
	name  string
	read  func(at []uint32) (uint64, error)
	write func(at []uint32, x uint64) error
}

// A randomFile is the file and all that is open or mapped of it.
type randomFile struct {
	size    int
	data    []byte // the bare mapping, by which writes are checked
	windows [][]uint32
	sums    []uint64 // of what is there, window by window
	next    int
	ways    []randomWay
	closers closers
}

func randomAccess(s *session) error {
	size := 1 << 30
	if s.quick {
		size = 256 << 20
	}
	name := filepath.Join(s.dir, "random")
	progress("making a file of %s", sizeText(size))
	if err := makeFile(name, size); err != nil {
		return err
	}
	defer os.Remove(name)
	if !haveC {
		s.skip("random access in C: compiled without cgo")
	}
	if err := randomHot(s, name); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := randomContests(s, f, size, false); err != nil {
		return err
	}
	// Writes go to a file that is not on a disk. Write-back makes pages read-only again,
	// whenever it likes, and the next store to each is a page fault.
	m, err := memoryFile(s, "random-writes")
	if err != nil {
		return err
	}
	defer m.Close()
	if err := fillTyped(m, size); err != nil {
		return err
	}
	return randomContests(s, m, size, true)
}

func randomContests(s *session, f *os.File, size int, writable bool) error {
	r, err := openRandom(f, size, writable)
	defer r.closers.close()
	if errors.Is(err, errors.ErrUnsupported) {
		s.skip("random access: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, fresh := range []bool{false, true} {
		for goroutines := 1; goroutines <= 2; goroutines++ {
			if err := s.hold(r.contest(writable, fresh, goroutines)); err != nil {
				return err
			}
		}
	}
	return nil
}

// openRandom maps the file in all ways, and accesses each page of each mapping.
func openRandom(f *os.File, size int, writable bool) (*randomFile, error) {
	r := &randomFile{size: size}
	mode := mmap.ReadOnly
	if writable {
		mode = mmap.ReadWrite
	}
	if err := f.Sync(); err != nil { // so that no write-back goes on meanwhile
		return r, err
	}
	if err := r.addOurs(f, mode); err != nil {
		return r, err
	}
	if !writable {
		x, err := expmmap.Open(f.Name())
		if err != nil {
			return r, err
		}
		r.closers.add(x)
		touchReader(x)
		r.add("x/exp/mmap ReadAt", func(at []uint32) (uint64, error) { return randomExpReads(x, at) }, nil)
	}
	all, err := mapAll(f, writable)
	if err != nil {
		return r, err
	}
	for _, m := range all {
		r.closers.add(unmapper(m.unmap))
		touch(m.data, writable)
		if r.data == nil {
			r.data = m.data
			words := raw[uint64](m.data)
			r.add("slice over bare mmap", func(at []uint32) (uint64, error) { return randomSliceReads(words, at), nil },
				func(at []uint32, x uint64) error { randomSliceWrites(words, at, x); return nil })
			continue
		}
		r.add(m.name, func(at []uint32) (uint64, error) { return randomBytesReads(m.data, at), nil },
			func(at []uint32, x uint64) error { randomBytesWrites(m.data, at, x); return nil })
	}
	if haveC {
		r.add("C load and store", func(at []uint32) (uint64, error) { return cRandomRead(r.data, at), nil },
			func(at []uint32, x uint64) error { cRandomWrite(r.data, at, x); return nil })
	}
	r.addCalls(f)
	r.choose()
	return r, nil
}

func (r *randomFile) addOurs(f *os.File, mode mmap.Mode) error {
	region, err := mmap.Map(f, mode)
	if err != nil {
		return err
	}
	r.closers.add(region)
	touch(region.Bytes(), mode == mmap.ReadWrite)
	v, err := mmap.ViewOf[uint64](region, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	names := [3]string{"View.At", "Get", "Region.ReadAt"}
	if mode == mmap.ReadWrite {
		names = [3]string{"View.Set", "Put", "Region.WriteAt"}
	}
	r.add(names[0], func(at []uint32) (uint64, error) { return randomViewReads(v, at), nil },
		func(at []uint32, x uint64) error { randomViewWrites(v, at, x); return nil })
	r.add(names[1], func(at []uint32) (uint64, error) { return randomGets(region, at) },
		func(at []uint32, x uint64) error { return randomPuts(region, at, x) })
	r.add(names[2], func(at []uint32) (uint64, error) { return randomRegionReads(region, at) },
		func(at []uint32, x uint64) error { return randomRegionWrites(region, at, x) })
	return nil
}

// addCalls adds the ways that make a system call for each access.
func (r *randomFile) addCalls(f *os.File) {
	r.add(randomFileName, func(at []uint32) (uint64, error) { return randomFileReads(f, at) },
		func(at []uint32, x uint64) error { return randomFileWrites(f, at, x) })
	fd := f.Fd()
	if haveC {
		r.add("C pread and pwrite", func(at []uint32) (uint64, error) { return cRandomPread(fd, at) },
			func(at []uint32, x uint64) error { return cRandomPwrite(fd, at, x) })
	}
}

const randomFileName = "os.File ReadAt and WriteAt"

func (r *randomFile) add(name string, read func([]uint32) (uint64, error), write func([]uint32, uint64) error) {
	r.ways = append(r.ways, randomWay{name, read, write})
}

// touchReader accesses every page.
func touchReader(x *expmmap.ReaderAt) {
	for i := 0; i < x.Len(); i += os.Getpagesize() {
		sink += uint64(x.At(i))
	}
}

// choose chooses the places, in windows: a turn takes one.
func (r *randomFile) choose() {
	src := rand.New(rand.NewPCG(1, 2))
	for range 1 << 7 {
		at := make([]uint32, 1<<15)
		for i := range at {
			at[i] = uint32(src.IntN(r.size / 8))
		}
		r.windows = append(r.windows, at)
		r.sums = append(r.sums, randomSliceReads(raw[uint64](r.data), at))
	}
}

// contest is of the same places each turn, or of fresh ones: those were not accessed for a
// while, and have left the caches.
func (r *randomFile) contest(writable, fresh bool, goroutines int) contest {
	what, per := "reads", "read"
	if writable {
		what, per = "writes", "write"
	}
	places, measured := "the same places each turn", "Each turn is done twice, and the second time counts: the bytes and the page table are in the caches of the processor. Most pages miss its TLB."
	if fresh {
		places, measured = "fresh places each turn", "The bytes are in memory, not in the caches of the processor: misses are most of the time."
	}
	c := contest{
		name: fmt.Sprintf("random %s of 8 bytes, %s, goroutines: %d", what, places, goroutines),
		work: fmt.Sprintf("%d %s of 8 bytes at random places of a file of %s that is in the page cache, %s. %s "+
			"No page fault is left to happen. The time is that of all, divided by their number.", len(r.windows[0]), what, sizeText(r.size), places, measured),
		n: len(r.windows[0]), per: per,
	}
	for i, w := range r.ways {
		turn := r.reads(w, fresh, goroutines)
		if writable {
			turn = r.writes(w, fresh, goroutines, uint64(i))
		}
		c.ways = append(c.ways, way{name: w.name, turn: turn})
	}
	if writable || fresh {
		return c
	}
	for _, g := range []struct {
		name  string
		times float64
		code  bool
	}{{"View.At", 100, true}, {"Region.ReadAt", 30, false}} {
		c.goals = append(c.goals, goal{text: "os.File.ReadAt takes so many times as long as " + g.name, atLeast: g.times, code: g.code, compiler: !g.code,
			value: func(r round) float64 { return r[randomFileName] / r[g.name] }})
	}
	return c
}

// window chooses the places of a turn.
func (r *randomFile) window(fresh bool) int {
	if fresh {
		r.next = (r.next + 1) % len(r.windows)
	}
	return r.next
}

// twice does a turn twice, unless the places are to be fresh, and returns how long the
// last took: for that, what it needs is in the caches, its page table too.
func twice(fresh bool, turn func() (float64, error)) (float64, error) {
	if !fresh {
		if _, err := turn(); err != nil {
			return 0, err
		}
	}
	return turn()
}

func (r *randomFile) reads(w randomWay, fresh bool, goroutines int) func(int) (float64, error) {
	return func(int) (float64, error) {
		k := r.window(fresh)
		return twice(fresh, func() (float64, error) {
			sums, errs := make([]uint64, goroutines), make([]error, goroutines)
			took := atOnce(goroutines, r.windows[k], func(i int, at []uint32) { sums[i], errs[i] = w.read(at) })
			sum := uint64(0)
			for _, x := range sums {
				sum += x
			}
			if sum != r.sums[k] {
				return 0, errors.Join(append(errs, errors.New("the sum is wrong"))...)
			}
			return took, nil
		})
	}
}

func (r *randomFile) writes(w randomWay, fresh bool, goroutines int, number uint64) func(int) (float64, error) {
	return func(round int) (float64, error) {
		k := r.window(fresh)
		x := uint64(round)<<32 + number<<48 + uint64(goroutines)<<56
		errs := make([]error, goroutines)
		took, err := twice(fresh, func() (float64, error) {
			x++
			return atOnce(goroutines, r.windows[k], func(i int, at []uint32) { errs[i] = w.write(at, x) }), nil
		})
		for _, i := range r.windows[k] {
			if raw[uint64](r.data)[i] != uint64(i)+x {
				return 0, errors.Join(append(errs, fmt.Errorf("number %d was not written", i))...)
			}
		}
		return took, err
	}
}

// atOnce calls fn on so many goroutines, each for a part of the places, and returns how
// many nanoseconds that took.
func atOnce(goroutines int, at []uint32, fn func(i int, at []uint32)) float64 {
	if goroutines == 1 {
		start := time.Now()
		fn(0, at)
		return float64(time.Since(start))
	}
	var done sync.WaitGroup
	var ready atomic.Int32
	part, took := len(at)/goroutines, make([]float64, goroutines)
	for i := range goroutines {
		done.Go(func() {
			for ready.Add(1); int(ready.Load()) < goroutines; { // what it takes to start one does not count
				runtime.Gosched()
			}
			start := time.Now()
			fn(i, at[i*part:(i+1)*part])
			took[i] = float64(time.Since(start))
		})
	}
	done.Wait()
	return slices.Max(took)
}

type unmapper func() error

func (u unmapper) Close() error { return u() }
