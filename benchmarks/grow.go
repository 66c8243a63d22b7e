package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/seed-498deeca/mmap"
)

const (
	growFrom = 4 << 10
	growStep = 64 << 10
)

// growth makes a file longer, step by step. After each step 8 bytes are stored at the
// new end, and 8 bytes are read at the beginning.
func growth(s *session) error {
	size := 1 << 30
	if s.quick {
		size = 64 << 20
	}
	var ends []int
	for end := growFrom; end < size; {
		end = min(end+growStep, size)
		ends = append(ends, end)
	}
	growers := []*grower{
		{name: "Resize, Sparse", grow: growSparse},
		{name: "Resize", grow: growAllocated, allocates: true},
		{name: "z.MmapFile, the first eighth", grow: growZ, maps: true, waits: true},
		{name: "os.File.WriteAt", grow: growWrite},
	}
	growers = append(growers, growSystem...)
	c := contest{
		name: "growth in steps of 64 KiB",
		work: fmt.Sprintf("A file is made longer, from 4 KiB to %d MiB. With each step 8 bytes are stored at its end, and 8 read at its beginning.", size>>20),
		n:    len(ends), per: "step",
		rounds: 10,
	}
	var peers, allocating []string
	remaps := false
	for _, g := range growers {
		g.ends = ends
		if g.waits {
			g.ends = ends[:len(ends)/8]
		}
		c.ways = append(c.ways, g.way(filepath.Join(s.dir, "growth"), len(ends)))
		switch {
		case g.maps && g.allocates:
			allocating = append(allocating, g.name)
		case g.maps:
			peers = append(peers, g.name)
			remaps = remaps || g.name == growByRemap
		}
	}
	// Not code alone: most of a step is the file system's, which makes the file longer and
	// finds a page for the store.
	c.goals = append(c.goals, goal{text: "the next best that maps takes so many times as long as Resize, Sparse", atLeast: 1.5,
		value: func(r round) float64 { return r.best(peers...) / r["Resize, Sparse"] }})
	if len(allocating) > 0 {
		c.goals = append(c.goals, goal{text: "the next best that maps, and allocates the space on the disk, takes so many times as long as Resize", atLeast: 1.5,
			value: func(r round) float64 { return r.best(allocating...) / r["Resize"] }})
	}
	if remaps {
		c.goals = append(c.goals, goal{text: "to unmap and map again takes so many times as long as Resize, Sparse", atLeast: 1.5, code: true,
			value: func(r round) float64 { return r[growByRemap] / r["Resize, Sparse"] }})
	}
	for _, g := range growers[:2] {
		c.goals = append(c.goals, goal{text: "a step of the last eighth takes so many times as long as one of the first: " + g.name, atMost: 1.25, code: true,
			value: func(round) float64 { return float64(g.last) / float64(g.first) }})
	}
	return s.hold(c)
}

// growByRemap is the way without mremap(2).
const growByRemap = "ftruncate, unmap and map"

// growSystem are ways by system calls, where there are such.
var growSystem []*grower

// A grower makes a file longer, to each of several ends.
type grower struct {
	name      string
	grow      func(name string, g *grower) (sum uint64, err error)
	maps      bool // that is, other than ours
	allocates bool // blocks of the disk
	waits     bool // for the disk, at each step: makes fewer
	ends      []int

	// What the first and the last eighth of the steps took.
	begun, mark time.Time
	first, last time.Duration
}

// growFirst is what stands at the beginning.
const growFirst = 12345678901

// way makes the file longer, and returns what so many steps would take.
func (g *grower) way(name string, steps int) way {
	return way{
		name: g.name,
		before: func() error {
			tidy()
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			p := make([]byte, growFrom)
			binary.NativeEndian.PutUint64(p, growFirst)
			return os.WriteFile(name, p, 0o666)
		},
		turn: func(int) (float64, error) {
			g.begun = time.Now()
			sum, err := g.grow(name, g)
			took := time.Since(g.begun)
			if err != nil {
				return 0, err
			}
			if want := uint64(len(g.ends)) * growFirst; sum != want {
				return 0, fmt.Errorf("read %#x, not %#x", sum, want)
			}
			return float64(took) / float64(len(g.ends)) * float64(steps), errors.Join(g.check(name), os.Remove(name))
		},
	}
}

// done is called after each step.
func (g *grower) done(step int) {
	switch n := len(g.ends); step {
	case n/8 - 1:
		g.first = time.Since(g.begun)
	case n - n/8 - 1:
		g.mark = time.Now()
	case n - 1:
		g.last = time.Since(g.mark)
	}
}

// check reads what must have been stored.
func (g *grower) check(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var p [8]byte
	for i, end := range g.ends {
		if _, err := f.ReadAt(p[:], int64(end-8)); err != nil {
			return err
		}
		if got := binary.NativeEndian.Uint64(p[:]); got != uint64(i) {
			return fmt.Errorf("the file has %d before byte %d, not %d", got, end, i)
		}
	}
	return nil
}

//go:noinline
func growSparse(name string, g *grower) (sum uint64, err error) {
	return growRegion(mmap.Config{Sparse: true}, name, g)
}

//go:noinline
func growAllocated(name string, g *grower) (sum uint64, err error) {
	return growRegion(mmap.Config{}, name, g)
}

func growRegion(c mmap.Config, name string, g *grower) (sum uint64, err error) {
	c.Mode, c.Reserve = mmap.ReadWrite, int64(g.ends[len(g.ends)-1])
	r, err := c.Open(name)
	if err != nil {
		return 0, err
	}
	start, err := mmap.ViewOf[uint64](r, 0, 1)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := r.Resize(int64(end)); err != nil {
			return 0, err
		}
		v, err := mmap.ViewOf[uint64](r, end-8, 1)
		if err != nil {
			return 0, err
		}
		v.Set(0, uint64(i))
		sum += start.At(0)
		g.done(i)
	}
	return sum, r.Close()
}

//go:noinline
func growZ(name string, g *grower) (sum uint64, err error) {
	f, err := z.OpenMmapFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := f.Truncate(int64(end)); err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint64(f.Data[end-8:], uint64(i))
		sum += binary.NativeEndian.Uint64(f.Data)
		g.done(i)
	}
	return sum, errors.Join(z.Munmap(f.Data), f.Fd.Close())
}

//go:noinline
func growWrite(name string, g *grower) (sum uint64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	var p [8]byte
	for i, end := range g.ends {
		binary.NativeEndian.PutUint64(p[:], uint64(i))
		if _, err := f.WriteAt(p[:], int64(end-8)); err != nil {
			return 0, err
		}
		if _, err := f.ReadAt(p[:], 0); err != nil {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(p[:])
		g.done(i)
	}
	return sum, f.Close()
}
