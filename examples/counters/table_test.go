package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-498deeca/mmap"
)

func newTestTable(t *testing.T, parts, items uint64) *Table {
	t.Helper()
	needCounters(t)
	table, err := Create(filepath.Join(t.TempDir(), "table"), parts, items)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// A worker that is killed after any of the stores of Done has done the item or not.
// The one that goes on makes the sum exact.
func TestNoItemIsLostOrCountedTwice(t *testing.T) {
	for before := range uint64(4) { // items that are done already
		for stores := range 4 {
			table := newTestTable(t, 1, 8)
			part, _ := table.Claim(1)
			for range before {
				item, _ := part.Next()
				part.Done(1 << item)
			}
			// The worker dies in the middle of Done.
			item, _ := part.Next()
			if stores > 0 {
				part.line.Store(sumAfter(before+1), part.line.Load(sumAfter(before))+1<<item)
			}
			if stores > 1 {
				part.line.Store(wordDone, before+1)
			}
			done, sum := table.Count()
			if sum != 1<<done-1 || done < before || done > before+1 {
				t.Errorf("%d items before, killed after %d stores: %d items are done, with %b", before, stores, done, sum)
			}
			if _, found := table.Claim(2); found {
				t.Error("the part of a worker that may be alive was claimed")
			}
			table.Release(1)
			part, found := table.Claim(2)
			if !found {
				t.Fatal("the part was not released")
			}
			for item, left := part.Next(); left; item, left = part.Next() {
				part.Done(1 << item)
			}
			if done, sum := table.Count(); done != 8 || sum != 1<<8-1 {
				t.Errorf("%d items before, killed after %d stores: at the end %d are done, with %b", before, stores, done, sum)
			}
		}
	}
}

// Done itself makes the stores of the test above, and the one of the number last.
func TestDoneLeavesTheOldSumUntilTheItemIsDone(t *testing.T) {
	table := newTestTable(t, 1, 100)
	part, _ := table.Claim(1)
	for i := range uint64(100) {
		_, before := part.Count()
		part.Done(i)
		if part.line.Load(sumAfter(i)) != before || part.line.Load(sumAfter(i+1)) != before+i {
			t.Fatalf("after item %d the sums are %d and %d, and the one before was %d", i, part.line.Load(wordSum), part.line.Load(wordSum+1), before)
		}
	}
}

// Workers claim the same part and give it back, again and again. No two have it at a
// time.
func TestAPartIsClaimedByOne(t *testing.T) {
	table := newTestTable(t, 1, 1)
	var claims atomic.Int64
	var all sync.WaitGroup
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8)) // so that the system stops some of them anywhere
	end := time.Now().Add(300 * time.Millisecond)
	for worker := range uint64(8) {
		all.Go(func() {
			for time.Now().Before(end) {
				for range 100 {
					part, found := table.Claim(worker + 1)
					if !found {
						continue
					}
					claims.Add(1)
					for range 10 {
						if owner := part.line.Load(wordOwner); owner != worker+1 {
							t.Errorf("worker %d has claimed the part, and it is that of %d", worker+1, owner)
							return
						}
					}
					table.Release(worker + 1)
				}
			}
		})
	}
	all.Wait()
	if claims.Load() == 0 {
		t.Error("nobody has claimed the part")
	}
}

func TestAllPartsAreClaimed(t *testing.T) {
	const parts, items, workers = 100, 3, 4
	table := newTestTable(t, parts, items)
	var all sync.WaitGroup
	for worker := range uint64(workers) {
		all.Go(func() {
			claimed := uint64(0)
			for part, found := table.Claim(worker + 1); found; part, found = table.Claim(worker + 1) {
				claimed++
				for _, left := part.Next(); left; _, left = part.Next() {
					part.Done(1)
				}
			}
			if done, sum := table.CountOf(worker + 1); done != claimed*items || sum != done {
				t.Errorf("of %d parts %d items are done, with %d", claimed, done, sum)
			}
		})
	}
	all.Wait()
	if done, sum := table.Count(); done != parts*items || sum != done || table.Items() != done {
		t.Errorf("%d of %d items are done, with %d", done, table.Items(), sum)
	}
}

// What is finished stays with whom has done it.
func TestReleaseGivesBackWhatIsNotFinished(t *testing.T) {
	table := newTestTable(t, 3, 2)
	for _, count := range []int{2, 1, 0} {
		part, _ := table.Claim(7)
		for range count {
			part.Done(10)
		}
	}
	table.Release(8)
	if _, found := table.Claim(9); found {
		t.Error("the parts of another worker were released")
	}
	table.Release(7)
	for _, first := range []uint64{3, 4} {
		part, found := table.Claim(9)
		if item, left := part.Next(); !found || !left || item != first {
			t.Errorf("claimed: %v, and the next item is %d, not %d", found, item, first)
		}
	}
	if part, found := table.Claim(9); found {
		t.Errorf("the part from %d on was released too", part.First)
	}
	if done, sum := table.CountOf(7); done != 2 || sum != 20 {
		t.Errorf("the dead worker has %d items with %d", done, sum)
	}
	if done, sum := table.CountOf(9); done != 1 || sum != 10 {
		t.Errorf("the other has %d items with %d", done, sum)
	}
}

// Whoever counts while a worker goes on finds a number and the sum that belongs to it.
func TestCountIsOfOneMoment(t *testing.T) {
	table := newTestTable(t, 1, math.MaxUint64/2)
	part, _ := table.Claim(1)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				for range 100 {
					part.Done(3)
				}
			}
		}
	})
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		for range 1000 {
			if done, sum := part.Count(); sum != 3*done {
				t.Errorf("%d items with %d", done, sum)
				end = time.Now()
				break
			}
		}
	}
	close(stop)
	all.Wait()
	if done, _ := part.Count(); done == 0 {
		t.Error("nothing was done meanwhile")
	}
}

func TestTablesThatCannotBe(t *testing.T) {
	needCounters(t)
	name := filepath.Join(t.TempDir(), "table")
	for _, c := range [][2]uint64{{0, 1}, {1<<24 + 1, 1}, {2, math.MaxUint64}, {math.MaxUint64, math.MaxUint64}} {
		if table, err := Create(name, c[0], c[1]); err == nil {
			table.Close()
			t.Errorf("a table of %d parts of %d items was made", c[0], c[1])
		}
	}
	words := func(n int, first ...uint64) []byte {
		r, err := mmap.Anonymous(int64(8 * n))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for i, x := range first {
			if err := mmap.Put(r, 8*i, x); err != nil {
				t.Fatal(err)
			}
		}
		return append([]byte(nil), r.Bytes()...)
	}
	for text, content := range map[string][]byte{
		"empty":         {},
		"a byte":        {1},
		"a line":        words(8, 1, 1),
		"half a line":   words(4, 0, 1),
		"no parts":      words(16),
		"other parts":   words(16, 2, 1),
		"huge parts":    words(16, math.MaxUint64, 1),
		"some text":     []byte("some text, of any kind"),
		"too many":      words(32, 3, math.MaxUint64/2),
		"cut in a line": words(16, 1, 1)[:100],
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if table, err := Open(name); err == nil {
			table.Close()
			t.Errorf("%s was opened", text)
		}
	}
	if err := os.WriteFile(name, words(32, 3, 5), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if table.Items() != 15 {
		t.Errorf("%d items", table.Items())
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

// Counters of different parts are in different cache lines.
func TestEachPartHasALineOfItsOwn(t *testing.T) {
	table := newTestTable(t, 10, 1)
	next := 64
	table.parts(func(p Part) bool {
		if p.line.Offset() != next || p.line.Len() != 8 || table.region.Addr()%64 != 0 {
			t.Errorf("a line at %d", p.line.Offset())
		}
		next += 64
		return true
	})
	if next != 64*11 {
		t.Errorf("the last line ends at %d", next)
	}
}
