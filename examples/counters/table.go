package main

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/seed-498deeca/mmap"
)

// A Table has the counters of a work that several processes do together, in a file
// that all of them map. Whoever maps it can read them at any time. Call its methods
// within [mmap.Guard]: somebody may truncate the file.
//
// The work is a number of items, in parts of equal size. Each part has a line of the
// table, with counters: which worker has it, how many of its items are done, and the
// sum of what they came to. A worker claims a part by one atomic operation, and from
// then on is the only one that stores in the line.
//
// A worker may be killed between any two stores. Nothing is lost, because an item
// becomes done by a single store: see [Part.Done]. And no part is lost, because the
// line says which worker has it: [Table.Release] gives back the parts of a dead worker.
// The next worker that claims such a part goes on behind the last item that is done.
// What the dead worker had begun is done again, and counts once.
type Table struct {
	region *mmap.Region
	words  mmap.AtomicView[uint64]
}

// A line is 64 bytes long, as in the caches of most processors. In a cache a line
// belongs to one processor at a time: two workers that count in the same line take it
// from each other at every store, and wait for it each time.
const lineWords = 64 / 8

// The first line says what the work is. It does not change.
const (
	wordParts = iota // how many there are
	wordItems        // how many a part has
)

// Each part has one of the lines that follow.
const (
	wordOwner = iota // number of the worker that has claimed the part, or 0
	wordDone         // items that are done
	wordSum          // the sum of those, while their number is even
	_                // and while it is odd
)

// Create makes the file of a table.
func Create(name string, parts, items uint64) (*Table, error) {
	if parts < 1 || parts > 1<<24 || items > math.MaxUint64/parts {
		return nil, fmt.Errorf("no table has %d parts of %d items", parts, items)
	}
	r, err := mmap.Create(name, int64(parts+1)*lineWords*8)
	if err != nil {
		return nil, err
	}
	t, err := newTable(r)
	if err != nil {
		return nil, err
	}
	err = mmap.Guard(func() error {
		t.words.Store(wordItems, items)
		t.words.Store(wordParts, parts)
		return nil
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return t, nil
}

// Open opens a table that another process has made.
func Open(name string) (*Table, error) {
	r, err := mmap.Open(name, mmap.ReadWrite)
	if err != nil {
		return nil, err
	}
	t, err := newTable(r)
	if err != nil {
		return nil, err
	}
	err = mmap.Guard(func() error {
		have := uint64(t.words.Len() / lineWords)
		if have == 0 || t.words.Load(wordParts) != have-1 {
			return fmt.Errorf("%s is no table of counters", name)
		}
		if over, _ := bits.Mul64(have, t.words.Load(wordItems)); over > 0 {
			return fmt.Errorf("%s: more items than can be counted", name)
		}
		return nil
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return t, nil
}

func newTable(r *mmap.Region) (*Table, error) {
	words, err := mmap.AtomicOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &Table{r, words}, nil
}

// Close unmaps the file.
func (t *Table) Close() error { return t.region.Close() }

// Items returns how many items there are in all.
func (t *Table) Items() uint64 { return t.words.Load(wordParts) * t.words.Load(wordItems) }

// A Part is some of the items: those from First on.
type Part struct {
	First uint64
	items uint64
	line  mmap.AtomicView[uint64]
}

// parts calls fn with one part after the other, until it returns false.
func (t *Table) parts(fn func(Part) bool) {
	items := t.words.Load(wordItems)
	for i := range t.words.Len()/lineWords - 1 {
		line := t.words.Sub((i+1)*lineWords, (i+2)*lineWords)
		if !fn(Part{uint64(i) * items, items, line}) {
			return
		}
	}
}

// Claim gives a worker a part that nobody has, if there is one. The number of a worker
// is not 0, and no two processes ever have the same, even one after the other.
func (t *Table) Claim(worker uint64) (part Part, found bool) {
	t.parts(func(p Part) bool {
		// Load first: an operation that may store takes the line from who counts in it.
		if found = p.line.Load(wordOwner) == 0 && p.line.CompareAndSwap(wordOwner, 0, worker); found {
			part = p
		}
		return !found
	})
	return part, found
}

// Release gives back the parts that a worker has claimed and not finished. The
// process must have ended: a worker that still stores would break the sums.
func (t *Table) Release(worker uint64) {
	t.parts(func(p Part) bool {
		if done, _ := p.Count(); done < p.items {
			p.line.CompareAndSwap(wordOwner, worker, 0)
		}
		return true
	})
}

// Next returns the number of the next item to do, unless the part is finished.
func (p Part) Next() (item uint64, left bool) {
	done := p.line.Load(wordDone)
	return p.First + done, done < p.items
}

// Done says that the next item is done, and came to x. It is for the worker that has
// claimed the part. There are two sums, and the number of items that are done says
// which of them counts: Done stores the new sum in the other one, and then the number.
// So both change by one store. A worker that is killed before it has not done the item;
// one that is killed after it has.
func (p Part) Done(x uint64) {
	done := p.line.Load(wordDone)
	sum := p.line.Load(sumAfter(done))
	p.line.Store(sumAfter(done+1), sum+x)
	p.line.Store(wordDone, done+1)
}

// Count returns how many items are done, and the sum of what they came to, both as they
// were at one moment. Any process may call it while the worker goes on.
func (p Part) Count() (done, sum uint64) {
	for {
		done = p.line.Load(wordDone)
		sum = p.line.Load(sumAfter(done))
		if p.line.Load(wordDone) == done { // or else the sum may be a later one
			return done, sum
		}
	}
}

func sumAfter(done uint64) int { return wordSum + int(done%2) }

// Count returns how many items of all parts are done, and the sum.
func (t *Table) Count() (done, sum uint64) {
	t.parts(func(p Part) bool {
		d, s := p.Count()
		done, sum = done+d, sum+s
		return true
	})
	return done, sum
}

// CountOf is Count for the parts that a worker has claimed.
func (t *Table) CountOf(worker uint64) (done, sum uint64) {
	t.parts(func(p Part) bool {
		if p.line.Load(wordOwner) == worker {
			d, s := p.Count()
			done, sum = done+d, sum+s
		}
		return true
	})
	return done, sum
}
