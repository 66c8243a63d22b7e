package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	edsrzf "github.com/edsrzf/mmap-go"
	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// scale has few and many regions at a time, each of one page of the same file.
func scale(s *session) error {
	many := 50_000 // Linux allows 65,530 mappings a process, unless told otherwise
	if s.quick {
		many = 10_000
	}
	name := filepath.Join(s.dir, "scale")
	if err := makeFile(name, os.Getpagesize()); err != nil {
		return err
	}
	defer os.Remove(name)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()

	counts := []int{1, 1000, many}
	unmap, err := scaleOurs(f, many)
	if err != nil {
		s.skip("%d regions at a time: %v", many, err)
		counts = counts[:2]
	}
	if err := unmap(); err != nil {
		return err
	}
	for _, n := range counts {
		if err := s.hold(scaleTime(f, n)); err != nil {
			return err
		}
	}
	if len(counts) == 3 {
		if err := s.hold(scaleHeap(f, many)); err != nil {
			return err
		}
		if err := scaleFaults(s, f, many); err != nil {
			return err
		}
	}
	return scaleSparse(s)
}

// A scaleLibrary maps a page of a file n times, and returns a function that unmaps all, also
// when there is an error.
type scaleLibrary struct {
	name string
	open func(f *os.File, n int) (unmap func() error, err error)
	ours bool
}

var scaleLibraries = []scaleLibrary{
	{"Map", scaleOurs, true},
	{"edsrzf/mmap-go", scaleEdsrzf, false},
}

// scaleTime maps and unmaps n times.
func scaleTime(f *os.File, n int) contest {
	c := contest{
		name: fmt.Sprintf("borrowed file, regions at a time: %d", n),
		work: "Map a page of a file that is open, so many times, and unmap them all.",
		n:    n, per: "region",
		rounds: 3,
	}
	for _, lib := range scaleLibraries {
		passes := max(2000/n, 1)
		if lib.ours { // see smallTurn
			passes = max(smallTurn/n, 1)
		}
		var space int
		c.ways = append(c.ways, way{
			name:   lib.name,
			before: func() error { space = tidy(); return nil },
			turn: func(int) (float64, error) {
				start := time.Now()
				for range passes {
					unmap, err := lib.open(f, n)
					if err := errors.Join(err, unmap()); err != nil {
						return 0, err
					}
				}
				if lib.ours {
					giveBack(space)
				}
				return float64(time.Since(start)) / float64(passes), nil
			},
		})
	}
	return c
}

// scaleHeap is what regions take of Go's heap.
func scaleHeap(f *os.File, many int) contest {
	c := contest{
		name: "memory of regions",
		work: "Go's heap for each region of those that are there at a time, after a collection. The pointer to it is counted.",
		n:    1, per: "region", unit: "bytes",
		rounds: 3,
	}
	name := func(n int) string { return fmt.Sprint("Map, ", n) }
	for _, n := range []int{many, 1000} {
		c.ways = append(c.ways, way{name: name(n), turn: func(int) (float64, error) {
			var before, after runtime.MemStats
			tidy()
			runtime.ReadMemStats(&before)
			unmap, err := scaleOurs(f, n)
			tidy()
			runtime.ReadMemStats(&after)
			return float64(int64(after.HeapAlloc-before.HeapAlloc)) / float64(n), errors.Join(err, unmap())
		}})
	}
	c.goals = []goal{{text: "bytes a region, of many", atMost: 400, code: true,
		value: func(r round) float64 { return r[name(many)] }}}
	return c
}

func scaleOurs(f *os.File, n int) (unmap func() error, err error) {
	regions := make([]*mmap.Region, 0, n)
	unmap = func() (err error) {
		for _, r := range regions {
			err = errors.Join(err, r.Close())
		}
		return err
	}
	for range n {
		r, err := mmap.Map(f, mmap.ReadOnly)
		if err != nil {
			return unmap, err
		}
		regions = append(regions, r)
	}
	return unmap, nil
}

func scaleEdsrzf(f *os.File, n int) (unmap func() error, err error) {
	regions := make([]edsrzf.MMap, 0, n)
	unmap = func() (err error) {
		for _, m := range regions {
			err = errors.Join(err, m.Unmap())
		}
		return err
	}
	for range n {
		m, err := edsrzf.Map(f, edsrzf.RDONLY, 0)
		if err != nil {
			return unmap, err
		}
		regions = append(regions, m)
	}
	return unmap, nil
}

// scaleFaults has accesses that cannot be made, among few regions and many.
func scaleFaults(s *session, f *os.File, many int) error {
	const few, faults = 10, 5000
	among := &scaleRegions{file: f}
	defer among.none()
	c := contest{
		name: "faults among regions",
		work: "Guard, and an access that faults: the region was closed, or the file truncated.",
		n:    faults, per: "fault",
	}
	fault := func(kind string, n int, want error, prepare func() error, views func() []mmap.View[uint64]) string {
		name := fmt.Sprintf("%s, among %d", kind, n)
		c.ways = append(c.ways, way{name: name,
			before: func() error {
				if err := among.get(n); err != nil {
					return err
				}
				return prepare()
			},
			turn: timed(func() error {
				from := views()
				for range faults {
					v := from[rand.IntN(len(from))]
					err := mmap.Guard(func() error { sink += v.At(0); return nil })
					if !errors.Is(err, want) {
						return fmt.Errorf("%v, not %v", err, want)
					}
				}
				return nil
			}),
		})
		return name
	}
	for _, kind := range []struct {
		name    string
		want    error
		prepare func() error
		views   func() []mmap.View[uint64]
	}{
		{"closed", mmap.ErrClosed, func() error { return nil }, func() []mmap.View[uint64] { return among.closed }},
		{"truncated", mmap.ErrTruncated, func() error { return f.Truncate(0) }, func() []mmap.View[uint64] { return among.open }},
	} {
		one := fault(kind.name, few, kind.want, kind.prepare, kind.views)
		other := fault(kind.name, many, kind.want, kind.prepare, kind.views)
		c.goals = append(c.goals, goal{text: fmt.Sprintf("%s: a fault among %d takes so many times as long as one among %d", kind.name, many, few), atMost: 2, code: true,
			value: func(r round) float64 { return r[other] / r[one] }})
	}
	// Those of one number beside each other, so that it changes twice a round.
	c.ways[1], c.ways[2], c.ways[3] = c.ways[2], c.ways[3], c.ways[1]
	return s.hold(c)
}

// scaleRegions are regions of one file, of which one in ten is closed.
type scaleRegions struct {
	file    *os.File
	regions []*mmap.Region
	open    []mmap.View[uint64]
	closed  []mmap.View[uint64]
}

// get makes it n regions, if it is another number.
func (a *scaleRegions) get(n int) error {
	if len(a.regions) == n {
		return nil
	}
	if err := a.none(); err != nil {
		return err
	}
	if err := a.file.Truncate(int64(os.Getpagesize())); err != nil {
		return err
	}
	for i := range n {
		r, err := mmap.Map(a.file, mmap.ReadOnly)
		if err != nil {
			return err
		}
		a.regions = append(a.regions, r)
		v, err := mmap.ViewOf[uint64](r, 0, 1)
		if err != nil {
			return err
		}
		if i%10 > 0 {
			a.open = append(a.open, v)
			continue
		}
		a.closed = append(a.closed, v)
		if err := r.Close(); err != nil {
			return err
		}
	}
	tidy()
	return nil
}

// none closes all.
func (a *scaleRegions) none() (err error) {
	for _, r := range a.regions {
		err = errors.Join(err, r.Close())
	}
	a.regions, a.open, a.closed = nil, nil, nil
	tidy()
	return err
}

// scaleSparse reads at random places of a sparse file, none of which is in memory.
func scaleSparse(s *session) error {
	const reads = 100
	size := int64(8 << 40)
	if size > math.MaxInt {
		s.skip("a file of 8 TiB: the address space has 4 GiB")
		return nil
	}
	name := filepath.Join(s.dir, "sparse")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer os.Remove(name)
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		s.skip("a file of 8 TiB: %v", err)
		return nil
	}
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		s.skip("a file of 8 TiB: %v", err)
		return nil
	}
	defer r.Close()
	advised, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		s.skip("a file of 8 TiB twice: %v", err)
		return nil
	}
	defer advised.Close()
	if err := advised.Advise(0, mmap.ToEnd, mmap.Random); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	peer, err := expmmap.Open(name)
	if err != nil {
		return err
	}
	defer peer.Close()

	const mark = 123456789
	places := make([]int, reads)
	before := func() error {
		for i := range places {
			places[i] = rand.IntN(int(size / 8))
		}
		// Nothing stays in memory, but the page of one of the places.
		if err := errors.Join(f.Truncate(0), f.Truncate(size)); err != nil {
			return err
		}
		_, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, mark), int64(places[reads/2])*8)
		return err
	}
	read := func(name string, sum func(places []int) (uint64, error)) way {
		return way{name: name, before: before, turn: timed(func() error {
			got, err := sum(places)
			if err == nil && got != mark {
				err = fmt.Errorf("read %#x, not %#x", got, mark)
			}
			return err
		})}
	}
	view := func(r *mmap.Region) func(places []int) (uint64, error) {
		return func(places []int) (sum uint64, err error) {
			v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
			if err != nil {
				return 0, err
			}
			for _, i := range places {
				sum += v.At(i)
			}
			return sum, nil
		}
	}
	readAt := func(r io.ReaderAt) func(places []int) (uint64, error) {
		return func(places []int) (sum uint64, err error) {
			var p [8]byte
			for _, i := range places {
				if _, err := r.ReadAt(p[:], int64(i)*8); err != nil {
					return 0, err
				}
				sum += binary.NativeEndian.Uint64(p[:])
			}
			return sum, nil
		}
	}
	c := contest{
		name: "a sparse file of 8 TiB",
		work: "Reads of 8 bytes at random places. They are in holes, none of which is in memory.",
		n:    reads, per: "read",
		ways: []way{
			read("View.At, after Advise Random", view(advised)),
			read("os.File.ReadAt", readAt(f)),
		},
	}
	if !s.quick { // a page fault reads much around the place: /sys/block/*/queue/read_ahead_kb
		c.ways = append(c.ways, read("View.At", view(r)), read("x/exp/mmap", readAt(peer)))
	}
	return s.hold(c)
}
