package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-498deeca/mmap"
)

// Bulk copies between a file in memory and ordinary memory.

const (
	bulkCopy = "copy of a slice"
	bulkC    = "C memcpy"
)

func bulkCopies(s *session) error {
	span := 256 << 20
	if s.quick {
		span = 64 << 20
	}
	f, err := memoryFile(s, "bulk")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fillTyped(f, span); err != nil {
		return err
	}
	r, err := mmap.Map(f, mmap.ReadWrite)
	if err != nil {
		return err
	}
	defer r.Close()
	touch(r.Bytes(), true)
	m, err := mmap.Anonymous(int64(span)) // on the other side: memory of pages, too
	if err != nil {
		return err
	}
	defer m.Close()
	other := m.Bytes()
	copy(other, r.Bytes())
	if !haveC {
		s.skip("copies by memcpy: compiled without cgo")
	}
	for _, b := range []struct {
		piece, span int
		where       string
	}{
		{4 << 10, 4 << 10, "in cache"},
		{64 << 10, 64 << 10, "in cache"},
		{64 << 10, span, "in memory, one after the other"},
		{1 << 20, span, "in memory, one after the other"},
		{span, span, "in memory"},
	} {
		for _, store := range []bool{false, true} {
			if err := s.hold(bulkContest(r, other, b.piece, b.span, b.where, store)); err != nil {
				return err
			}
		}
	}
	return nil
}

func bulkContest(r *mmap.Region, other []byte, piece, span int, where string, store bool) contest {
	from, verb := "out of", "Copies %s out of a file in memory, %s. No page fault is left to happen."
	if store {
		from, verb = "into", "Copies %s into a file in memory, %s. No page fault is left to happen."
	}
	n := max(span/piece, 1, (16<<20)/piece)
	c := contest{
		name: fmt.Sprintf("copies of %s %s a file, %s", sizeText(piece), from, where),
		work: fmt.Sprintf(verb, sizeText(piece), where),
		n:    n, per: "copy",
		rounds: 40,
	}
	mapped := r.Bytes()
	// The copies are made of what lies at off, of both sides.
	add := func(name string, out, in func(n, piece, span int) error) {
		do := out
		if store {
			do = in
		}
		c.ways = append(c.ways, way{name: name, before: func() error {
			if store {
				mapped[span-1]++
			} else {
				other[span-1]++
			}
			return nil
		}, turn: func(int) (float64, error) {
			start := time.Now()
			if err := do(n, piece, span); err != nil {
				return 0, err
			}
			took := time.Since(start)
			if mapped[span-1] != other[span-1] {
				return 0, errors.New("the last byte was not copied")
			}
			return float64(took), nil
		}})
	}
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		panic(err)
	}
	numbers := raw[uint64](other)
	add("Region.ReadAt", func(n, piece, span int) error { return bulkReadAt(r, other, n, piece, span) },
		func(n, piece, span int) error { return bulkWriteAt(r, other, n, piece, span) })
	add("View.CopyTo", func(n, piece, span int) error { return bulkCopyTo(v, numbers, n, piece/8, span/8) },
		func(n, piece, span int) error { return bulkCopyFrom(v, numbers, n, piece/8, span/8) })
	if store {
		c.ways[0].name, c.ways[1].name = "Region.WriteAt", "View.CopyFrom"
	}
	add(bulkCopy, func(n, piece, span int) error { return bulkSlices(other, mapped, n, piece, span) },
		func(n, piece, span int) error { return bulkSlices(mapped, other, n, piece, span) })
	against := []string{bulkCopy}
	if haveC {
		add(bulkC, func(n, piece, span int) error { cCopy(other, mapped, n, piece, span); return nil },
			func(n, piece, span int) error { cCopy(mapped, other, n, piece, span); return nil })
		against = append(against, bulkC)
	}
	if piece < 64<<10 {
		return c
	}
	for _, ours := range []string{c.ways[0].name, c.ways[1].name} {
		for _, theirs := range against {
			ofGo := theirs == bulkCopy // whose copy is slower than C's on some processors, without us
			c.goals = append(c.goals, goal{text: "speed of " + ours + " to that of " + theirs, atLeast: 0.97, code: ofGo, compiler: !ofGo,
				value: func(r round) float64 { return r[theirs] / r[ours] }})
		}
	}
	return c
}

//go:noinline
func bulkReadAt(r *mmap.Region, p []byte, n, piece, span int) error {
	off := 0
	for range n {
		if _, err := r.ReadAt(p[off:off+piece], int64(off)); err != nil {
			return err
		}
		if off += piece; off == span {
			off = 0
		}
	}
	return nil
}

//go:noinline
func bulkWriteAt(r *mmap.Region, p []byte, n, piece, span int) error {
	off := 0
	for range n {
		if _, err := r.WriteAt(p[off:off+piece], int64(off)); err != nil {
			return err
		}
		if off += piece; off == span {
			off = 0
		}
	}
	return nil
}

//go:noinline
func bulkCopyTo(v mmap.View[uint64], p []uint64, n, piece, span int) error {
	off := 0
	for range n {
		if _, err := v.Sub(off, off+piece).CopyTo(p[off : off+piece]); err != nil {
			return err
		}
		if off += piece; off == span {
			off = 0
		}
	}
	return nil
}

//go:noinline
func bulkCopyFrom(v mmap.View[uint64], p []uint64, n, piece, span int) error {
	off := 0
	for range n {
		if _, err := v.Sub(off, off+piece).CopyFrom(p[off : off+piece]); err != nil {
			return err
		}
		if off += piece; off == span {
			off = 0
		}
	}
	return nil
}

//go:noinline
func bulkSlices(dst, src []byte, n, piece, span int) error {
	off := 0
	for range n {
		copy(dst[off:off+piece], src[off:off+piece])
		if off += piece; off == span {
			off = 0
		}
	}
	return nil
}
