package main

import (
	"errors"
	"os"
	"time"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// randomHot reads 8 bytes at places of one page: what the way itself costs, without the
// misses of caches and TLB that hide it elsewhere.
func randomHot(s *session, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		return err
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	x, err := expmmap.Open(name)
	if err != nil {
		return err
	}
	defer x.Close()
	at := make([]uint32, 1<<13)
	for i := range at {
		at[i] = uint32(i * 7 % (4096 / 8))
	}
	want := randomViewReads(v, at)
	const ours, theirs = "Region.ReadAt", "x/exp/mmap ReadAt"
	c := contest{
		name: "reads of 8 bytes in one page",
		work: "Reads of 8 bytes at places of one page, which is in the first-level cache.",
		n:    len(at), per: "read",
		rounds: 4 * s.rounds(),
		goals: []goal{{text: "ns that Region.ReadAt takes more than x/exp/mmap, which does not survive a truncated file", atMost: 4, compiler: true,
			value: func(r round) float64 { return r[ours] - r[theirs] }}},
	}
	add := func(name string, read func(at []uint32) (uint64, error)) {
		c.ways = append(c.ways, way{name: name, turn: func(int) (float64, error) {
			start := time.Now()
			got, err := read(at)
			took := time.Since(start)
			if err == nil && got != want {
				err = errors.New("the sum is wrong")
			}
			return float64(took), err
		}})
	}
	add(ours, func(at []uint32) (uint64, error) { return randomRegionReads(r, at) })
	add("Get", func(at []uint32) (uint64, error) { return randomGets(r, at) })
	add("View.At", func(at []uint32) (uint64, error) { return randomViewReads(v, at), nil })
	add(theirs, func(at []uint32) (uint64, error) { return randomExpReads(x, at) })
	add("slice", func(at []uint32) (uint64, error) { return randomSliceReads(v.Slice(), at), nil })
	add("os.File.ReadAt", func(at []uint32) (uint64, error) { return randomFileReads(f, at) })
	return s.hold(c)
}
