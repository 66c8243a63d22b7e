package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"
)

// A typedPlace is where the numbers are.
type typedPlace struct {
	name   string
	size   int
	passes int // in a turn
	rounds int
	reads  []int // the kinds
	writes []int
	shared bool // one file for both mappings, and only the main ways
}

func typedLoops(s *session) error {
	all := []int{kindInt32, kindInt64, kindFloat64, kindTick, kindBig32, kindBig64}
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		s.skip("big-endian numbers: they are the machine's own")
		all = all[:kindBig32]
	}
	if !haveC {
		s.skip("loops in C: compiled without cgo")
	}
	cache := typedPlace{"in cache", 16 << 10, 256, 72, all, all, false}
	memory := typedPlace{"in memory", 256 << 20, 1, 24, all, all, false}
	if s.quick {
		cache.rounds = 48
		memory.size, memory.rounds = 64<<20, 24
	}
	for _, p := range []typedPlace{cache, memory} {
		if err := s.typedMemory(p); err != nil {
			return err
		}
	}
	if s.quick {
		s.skip("loops across a file of 4 GiB: -quick")
		return nil
	}
	return s.typedFile(all)
}

// typedMemory is of files in memory.
func (s *session) typedMemory(p typedPlace) error {
	var files [2]*os.File
	for i := range files {
		f, err := memoryFile(s, fmt.Sprint("loops", i))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := fillTyped(f, p.size); err != nil {
			return err
		}
		files[i] = f
	}
	return s.typedAt(files[0], files[1], p)
}

// typedFile is of a big file: for reads one on a disk, for writes one that is not. There,
// write-back would be most of the time.
func (s *session) typedFile(all []int) error {
	wanted := int64(4) << 30
	size := int(wanted)
	switch {
	case int64(size) != wanted:
		s.skip("loops across a file of 4 GiB: it does not fit into the address space")
		return nil
	case uint64(wanted) > memorySize()/2:
		s.skip("loops across a file of 4 GiB: it is more than half of the memory of this machine, or that is not known")
		return nil
	}
	for _, p := range []typedPlace{
		{"across a file of 4 GiB", size, 1, 10, all[:min(len(all), kindBig64)], nil, true},
		{"across a file of 4 GiB in memory", size, 1, 10, nil, []int{kindInt64}, true},
	} {
		if err := s.typedBig(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) typedBig(p typedPlace) error {
	name := filepath.Join(s.dir, "big")
	defer os.Remove(name)
	progress("making a file of 4 GiB")
	create := func() (*os.File, error) { return os.Create(name) }
	if p.writes != nil {
		create = func() (*os.File, error) { return memoryFile(s, "big") }
	}
	f, err := create()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fillTyped(f, p.size); err != nil {
		return err
	}
	return s.typedAt(f, f, p)
}

func (s *session) typedAt(f, bare *os.File, p typedPlace) error {
	for _, writable := range []bool{false, true} {
		if writable && p.writes == nil || !writable && p.reads == nil {
			continue
		}
		err := s.typedMapped(f, bare, p, writable)
		if errors.Is(err, errors.ErrUnsupported) {
			s.skip("loops %s: %v", p.name, err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) typedMapped(f, bare *os.File, p typedPlace, writable bool) error {
	d, err := newTypedData(f, bare, p.size, writable)
	if err != nil {
		return err
	}
	defer d.close()
	all, kinds, contestOf := passesEverywhere(d), p.reads, typedReads
	if writable {
		kinds, contestOf = p.writes, typedWrites
	}
	for _, kind := range kinds {
		if err := s.hold(contestOf(d, p, kind, all)); err != nil {
			return err
		}
	}
	return nil
}

func typedReads(d *typedData, p typedPlace, kind int, all [][kinds][goWays]pass) contest {
	c := typedContest(d, p, kind, "reads")
	want := all[0][kind][byBare].read() * uint64(p.passes)
	if kind == kindInt32 || kind == kindBig32 { // C adds up in 32 bits only within a pass
		want = uint64(uint32(all[0][kind][byBare].read())) * uint64(p.passes)
	}
	add := func(name string, sum func(round int) uint64) {
		c.ways = append(c.ways, way{name: name, turn: func(round int) (float64, error) {
			start := time.Now()
			got := sum(round)
			took := time.Since(start)
			if got != want {
				return 0, fmt.Errorf("the sum is %d, not %d", got, want)
			}
			return float64(took), nil
		}})
	}
	for w := range goWays {
		if !p.has(w) {
			continue
		}
		add(goWayName(kind, w, "At"), func(round int) (t uint64) {
			one := all[round%len(all)][kind][w].read
			for range p.passes {
				t += one()
			}
			return t
		})
	}
	if haveC {
		for _, l := range []language{scalarC, vectorC} {
			add(l.name, func(round int) uint64 {
				return l.read(round, kind, unsafe.Pointer(&d.ours.Bytes()[0]), d.count(kind), p.passes)
			})
		}
	}
	ours, theirs := c.ways[byView].name, sliceName
	if kind == kindTick { // an index is multiplied by the size of a struct: Values goes by offset
		ours = goWayName(kind, byValues, "")
	}
	if p.shared {
		theirs = bareName
	}
	c.goals = append(c.goals, goal{text: "speed of " + ours + " to that of a " + theirs, atLeast: 0.97, code: true,
		value: func(r round) float64 { return r[theirs] / r[ours] }})
	if haveC {
		c.goals = append(c.goals, goal{text: "speed of " + ours + " to that of scalar C", atLeast: 0.95, compiler: true,
			value: func(r round) float64 { return r[scalarC.name] / r[ours] }})
	}
	return c
}

func typedWrites(d *typedData, p typedPlace, kind int, all [][kinds][goWays]pass) contest {
	c := typedContest(d, p, kind, "writes")
	add := func(name string, check int, write func(round int, seed int64)) {
		number := int64(len(c.ways))
		c.ways = append(c.ways, way{name: name, turn: func(round int) (float64, error) {
			seed := int64(round)*16 + number
			start := time.Now()
			write(round, seed)
			took := time.Since(start)
			if round == 0 || p.size <= 1<<20 {
				if got, want := all[0][kind][check].read(), d.written(kind, seed); got != want {
					return 0, fmt.Errorf("the sum of what was written is %d, not %d", got, want)
				}
			}
			return float64(took), nil
		}})
	}
	for w := range goWays {
		if all[0][kind][w].write == nil || !p.has(w) {
			continue
		}
		check := bySlice
		if w == byBare {
			check = byBare
		}
		add(goWayName(kind, w, "Set"), check, func(round int, seed int64) {
			one := all[round%len(all)][kind][w].write
			for range p.passes {
				one(seed)
			}
		})
	}
	if haveC {
		for _, l := range []language{scalarC, vectorC} {
			add(l.name, bySlice, func(round int, seed int64) {
				l.write(round, kind, unsafe.Pointer(&d.ours.Bytes()[0]), d.count(kind), seed, p.passes)
			})
		}
	}
	return c
}

// written is the sum of what is written with a seed.
func (d *typedData) written(kind int, seed int64) uint64 {
	n := uint64(d.count(kind))
	sum := n*(n-1)/2 + n*uint64(seed)
	switch kind {
	case kindInt32, kindBig32:
		return uint64(uint32(sum))
	case kindTick: // the time and the count go up, the price is the seed
		return n*(n-1) + 2*n*uint64(seed)
	}
	return sum
}

// has reports whether a way is among those that are measured there.
func (p typedPlace) has(way int) bool { return !p.shared || way != bySlice && way != byBinary }

func typedContest(d *typedData, p typedPlace, kind int, what string) contest {
	verb := map[string]string{"reads": "adds up", "writes": "stores to"}[what]
	note := "No page fault is left to happen. Where memory lies changes the speed of a loop: all but the bare mapping go over the same memory."
	if p.shared {
		note = "All of it is in memory. Both mappings are of it, and their page tables are complete."
	}
	return contest{
		name: fmt.Sprintf("%s of %s, %s", what, kindNames[kind], p.name),
		work: fmt.Sprintf("A loop %s %s, %s, all in order. %s %s",
			verb, sizeText(p.size), p.name, note, flagsOfC),
		n: d.count(kind) * p.passes, per: "element",
		rounds: p.rounds,
	}
}

func sizeText(n int) string {
	for _, u := range []struct {
		n    int
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.n {
			return fmt.Sprint(n/u.n, " ", u.name)
		}
	}
	return fmt.Sprint(n, " bytes")
}
