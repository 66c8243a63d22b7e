package probes

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/seed-498deeca/mmap"
)

const transparent = "/sys/kernel/mm/transparent_hugepage/"

// transparentSize is the size in bytes of a transparent huge page, which programs
// get where they ask for it.
func transparentSize(t *testing.T) int {
	needs(t, "hugepages")
	if _, err := os.Stat(transparent); err != nil {
		t.Skipf("this processor has no transparent huge pages: %v", err)
	}
	size, err := strconv.Atoi(read(t, transparent+"hpage_pmd_size"))
	must(t, err)
	turn(t, transparent+"enabled", "madvise")
	turn(t, transparent+"shmem_enabled", "advise")
	return size
}

func TestTransparentHugePagesAreGivenToMemoryThatAsks(t *testing.T) {
	size := transparentSize(t)
	for _, c := range []mmap.Config{{}, {HugePages: mmap.TransparentHugePages}} {
		c.Reserve = 5 * int64(size)
		r, err := c.Anonymous(3 * int64(size))
		must(t, err)
		check := func(what string) {
			t.Helper()
			must(t, r.Populate(0, mmap.ToEnd))
			in, _ := smaps(t, r.Addr())
			if got := in("AnonHugePages"); (got >= 2*size) != (c.HugePages != 0) {
				t.Errorf("%s, HugePages %d: %d bytes of huge pages", what, c.HugePages, got)
			}
			if r.PageSize() > size/16 {
				t.Errorf("PageSize is %d", r.PageSize())
			}
		}
		check("mapped")
		must(t, r.Resize(int64(size)/2), r.Resize(5*int64(size)))
		check("shrunk and grown")
		must(t, r.Close())
	}
}

func TestTransparentHugePagesAreGivenToMemoryFilesThatAsk(t *testing.T) {
	size := transparentSize(t)
	for _, h := range []mmap.HugePages{mmap.NoHugePages, mmap.TransparentHugePages} {
		f, err := mmap.MemFile("huge", 3*int64(size))
		must(t, err)
		defer f.Close()
		r, err := mmap.Config{Mode: mmap.ReadWrite, HugePages: h}.Map(f)
		must(t, err, r.Advise(0, mmap.ToEnd, mmap.PopulateWrite))
		in, _ := smaps(t, r.Addr())
		if got := in("ShmemPmdMapped"); (got >= size) != (h != mmap.NoHugePages) {
			t.Errorf("HugePages %d: %d bytes of huge pages", h, got)
		}
		must(t, r.Close())
	}
}

func TestAdviceOnTransparentHugePagesIsTaken(t *testing.T) {
	size := transparentSize(t)
	advised := func(advice ...mmap.Advice) *mmap.Region {
		r, err := mmap.Anonymous(3 * int64(size))
		must(t, err)
		t.Cleanup(func() { r.Close() })
		for _, a := range advice {
			must(t, r.Advise(5, mmap.ToEnd, a))
		}
		must(t, r.Populate(0, mmap.ToEnd), mmap.Put(r, 3*size/2, uint64(7)))
		return r
	}
	huge := func(r *mmap.Region) int {
		in, _ := smaps(t, r.Addr()+uintptr(3*size/2))
		return in("AnonHugePages")
	}
	if got := huge(advised(mmap.NoHugePage, mmap.HugePage)); got < size {
		t.Errorf("HugePage: %d bytes of huge pages", got)
	}
	r := advised(mmap.HugePage, mmap.NoHugePage)
	if got := huge(r); got != 0 {
		t.Errorf("NoHugePage: %d bytes of huge pages", got)
	}
	must(t, r.Advise(0, mmap.ToEnd, mmap.HugePage))
	err := r.Advise(0, mmap.ToEnd, mmap.Collapse)
	if !kernelIs(t, 6, 1) {
		wants(t, err, errors.ErrUnsupported, "Linux 6.1")
		return
	}
	if got := huge(r); err != nil || got < size {
		t.Errorf("Collapse: %d bytes of huge pages, %v", got, err)
	}
	if got, err := mmap.Get[uint64](r, 3*size/2); got != 7 || err != nil {
		t.Errorf("after Collapse: %d, %v", got, err)
	}
}
