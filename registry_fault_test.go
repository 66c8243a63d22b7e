package mmap

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// A crowd is regions of one borrowed file that was truncated since, so that every
// access faults.
type crowd struct {
	f       *os.File
	regions []*Region
	views   []View[byte]
	rnd     *rand.Rand
}

func newCrowd(t testing.TB) *crowd {
	page := os.Getpagesize()
	f, err := os.Open(tempFile(t, quiet(page)))
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{f: f, rnd: rand.New(rand.NewPCG(1, 2))}
	t.Cleanup(func() {
		for _, r := range c.regions {
			r.Close()
		}
		f.Close()
	})
	return c
}

// grow makes it a crowd of n.
func (c *crowd) grow(t testing.TB, n int) {
	if err := os.Truncate(c.f.Name(), int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for len(c.regions) < n {
		r, err := Map(c.f, ReadOnly)
		if err != nil {
			t.Skipf("the system has no room for %d mappings: number %d: %v", n, len(c.regions), err)
		}
		v, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		c.regions, c.views = append(c.regions, r), append(c.views, v)
	}
	if err := os.Truncate(c.f.Name(), 0); err != nil {
		t.Fatal(err)
	}
}

// fault loads from one of the regions.
func (c *crowd) fault(t testing.TB) {
	i := c.rnd.IntN(len(c.views))
	v := c.views[i]
	err := Guard(func() error {
		sinkByte = v.At(77)
		return nil
	})
	var fault *FaultError
	if !errors.As(err, &fault) || fault.Region != c.regions[i] || !isAt(fault, 77) || !errors.Is(err, ErrTruncated) {
		t.Fatalf("region %d: %v", i, err)
	}
}

const (
	fewRegions  = 10
	manyRegions = 50_000
)

// One fault, of a region of so many.
func BenchmarkFaultAmong(b *testing.B) {
	for _, n := range []int{fewRegions, manyRegions} {
		b.Run(fmt.Sprintf("regions=%d", n), func(b *testing.B) {
			c := newCrowd(b)
			c.grow(b, n)
			for b.Loop() {
				c.fault(b)
			}
		})
	}
}

// How long a fault takes hardly depends on how many regions there are. In a child,
// for the number of mappings.
func TestAFaultAmongManyRegionsCostsAtMostTwice(t *testing.T) { t.Log(runChild(t, childCrowd)) }

var childCrowd = registerChild("a crowd of regions", func(t testing.TB, args []string) {
	shortensMapped(t)
	c := newCrowd(t)
	// The best of several medians: the others are those of a busy machine.
	best := func(n int) time.Duration {
		c.grow(t, n)
		var medians []time.Duration
		for range 10 {
			took := make([]time.Duration, 500)
			for i := range took {
				begin := time.Now()
				c.fault(t)
				took[i] = time.Since(begin)
			}
			slices.Sort(took)
			medians = append(medians, took[len(took)/2])
		}
		return slices.Min(medians)
	}
	crowded := min(manyRegions, 6*budgetMappings) // where the system allows fewer
	few, many := best(fewRegions), best(crowded)
	fmt.Printf("a fault takes %v among %d regions, %v among %d", few, fewRegions, many, crowded)
	if many > 2*few {
		t.Errorf("a fault takes %v among %d regions, %v among %d", few, fewRegions, many, crowded)
	}
})
