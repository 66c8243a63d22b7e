//go:build windows

package mmap

import (
	"sync"

	"golang.org/x/sys/windows"
)

// The list of what a space is made of: see the head of mmap_windows.go.

// A space has a list of its pieces. Copies of a space share it.
type system struct{ *pieces }

type pieces struct {
	memory bool         // no file
	mu     sync.Mutex   // a leaf; not held while a disk is waited for
	list   []spacePiece // without gaps, from the first byte of the space on
}

// A spacePiece is a part of a space, in whole pages.
type spacePiece struct {
	from, to  uintptr // offsets in the space
	what      pieceKind
	lead      uintptr // of a view: bytes that it has before from
	committed uintptr // of memory: up to here
	store     bool    // of a view: stores can be allowed
	private   bool    // of a view: stores are copies
	access    uint32  // of a view: the protection of all its pages, or 0
}

type pieceKind uint8

const (
	freePiece   pieceKind = iota // a placeholder
	viewPiece                    // of a file
	memoryPiece                  // reserved, and committed in part
)

// overlapping returns the indices of the pieces from one offset to another.
func (p *pieces) overlapping(from, to uintptr) (first, last int) {
	lo, hi := 0, len(p.list)
	for lo < hi {
		if mid := (lo + hi) / 2; p.list[mid].to <= from {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for last = lo; last < len(p.list) && p.list[last].from < to; last++ {
	}
	return lo, last
}

// in returns copies of the views and the memory from one offset to another, cut to
// that. Of memory it is what is committed.
func (p *pieces) in(from, to uintptr) (all []spacePiece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, last := p.overlapping(from, to)
	for _, c := range p.list[first:last] {
		c.from, c.to = max(c.from, from), min(c.to, to)
		if c.what == memoryPiece {
			c.to = min(c.to, c.committed)
		}
		if c.what != freePiece && c.from < c.to {
			all = append(all, c)
		}
	}
	return all
}

// has reports whether there still is a view or memory at an offset.
func (p *pieces) has(off uintptr) bool { return len(p.in(off, off+1)) > 0 }

// carve makes the part of the free piece i from one offset to another a piece of
// its own, and returns its index.
func (s *space) carve(i int, from, to uintptr) (int, error) {
	c := s.list[i]
	if from == c.from && to == c.to {
		return i, nil // where there is nothing to split off, the call fails
	}
	if err := free(s.address(from), to-from, windows.MEM_RELEASE|memPreservePlaceholder); err != nil {
		return i, err
	}
	parts := []spacePiece{{from: c.from, to: from}, {from: from, to: to}, {from: to, to: c.to}}
	if to == c.to {
		parts = parts[:2]
	}
	if from == c.from {
		parts = parts[1:]
	} else {
		i++
	}
	first, last := s.overlapping(c.from, c.to)
	s.list = append(s.list[:first:first], append(parts, s.list[last:]...)...)
	return i, nil
}

// eachFree calls fn with the free pieces from one offset to another, cut to that,
// and has it take them.
func (s *space) eachFree(from, to uintptr, fn func(i int, from, to uintptr) error) error {
	for from < to {
		i, _ := s.overlapping(from, to)
		c := s.list[i]
		end := min(c.to, to)
		if c.what == freePiece {
			if err := fn(i, from, end); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// coalesce makes one placeholder of adjacent ones.
func (s *space) coalesce() {
	for i := 0; i < len(s.list); i++ {
		j := i
		for j < len(s.list) && s.list[j].what == freePiece {
			j++
		}
		if j-i < 2 {
			continue
		}
		from, to := s.list[i].from, s.list[j-1].to
		if free(s.address(from), to-from, windows.MEM_RELEASE|memCoalesce) == nil {
			s.list = append(s.list[:i+1], s.list[j:]...)
			s.list[i].to = to
		}
	}
}

// releaseFrom gives address space back from an offset on, as far as whole pieces
// allow.
func (s *space) releaseFrom(keep uintptr) {
	if first, last := s.overlapping(keep, s.size); first < last && s.list[first].what == freePiece && s.list[first].from < keep {
		s.carve(first, keep, s.list[first].to)
	}
	for n := len(s.list) - 1; n >= 0 && s.list[n].from >= keep; n-- {
		if s.release(s.list[n]) != nil {
			return
		}
		s.size = s.list[n].from
		s.list = s.list[:n]
	}
}

// release gives a piece and its address space back.
func (s *space) release(c spacePiece) error {
	if c.what == viewPiece {
		return unmapView(s.address(c.from - c.lead))
	}
	return free(s.address(c.from), 0, windows.MEM_RELEASE)
}

// each calls fn with the address and size of every view, and of committed memory,
// from one offset to another: Windows refuses ranges that span two of them. It holds
// no lock meanwhile, so a piece may go. Then fn's error counts for nothing.
func (s *space) each(from, to uintptr, fn func(addr, size uintptr) error) error {
	for _, c := range s.in(from, to) {
		if err := fn(s.address(c.from), c.to-c.from); err != nil && s.has(c.from) {
			return err
		}
	}
	return nil
}
