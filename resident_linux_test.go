package mmap

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResidentTellsWhichPagesAreInMemory(t *testing.T) {
	page := os.Getpagesize()
	const pages = 64
	sparse := func(offset int64) *Region {
		r, err := Config{Sparse: true, Offset: offset}.Create(t.TempDir()+"/sparse", int64(pages*page))
		return need(t, r, err)
	}
	for what, r := range map[string]*Region{"memory": anonymousRegion(t, int64(pages*page)), "file": sparse(0), "file from byte 100 on": sparse(100)} {
		if err := r.Advise(0, ToEnd, Random); err != nil { // touch one page, get one page
			t.Fatal(err)
		}
		if err := r.Advise(0, ToEnd, NoHugePage); err != nil {
			t.Logf("%s: %v", what, err) // there are none, then
		}
		first := page - int(r.Offset()) // of the second page
		for _, at := range []int{first, first + 2*page + 5} {
			if err := Put(r, at, byte(1)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.Resident(0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != pages {
			t.Fatalf("%s: %d pages, want %d", what, len(got), pages)
		}
		for i, in := range got {
			if in != (i == 1 || i == 3) {
				t.Errorf("%s: page %d is in memory: %v", what, i, in)
			}
		}
		got, err = r.Resident(first+page-1, 2) // the last byte of a page that is there not, and one of the next
		diff(t, what+": two bytes of pages 1 and 2", got, []bool{true, false})
		if err != nil {
			t.Error(err)
		}
		got, err = r.Resident(5, 0)
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("%s: no bytes: %v, %v", what, got, err)
		}
	}
}

// More pages than one call of mincore(2) is asked for.
func TestResidentOfManyPages(t *testing.T) {
	page := os.Getpagesize()
	const pages = 150_000
	if uint64(pages*page) > 1<<30 && ^uint(0)>>32 == 0 {
		t.Skip("a 32-bit address space has no room for it")
	}
	r, err := Config{Flags: unix.MAP_NORESERVE}.Anonymous(int64(pages * page)) // more than the machine may have
	need(t, r, err)
	want := []int{0, 65535, 65536, 131071, 131072, pages - 1}
	if err := r.Advise(0, ToEnd, NoHugePage); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	for _, i := range want {
		if err := Put(r, i*page, byte(1)); err != nil {
			t.Fatal(err)
		}
	}
	in, err := r.Resident(0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for i := range in {
		if in[i] {
			got = append(got, i)
		}
	}
	diff(t, "the pages in memory", got, want)
}

func TestResidentCountsHugePagesOfAPool(t *testing.T) {
	needLinuxWays(t, "a pool of huge pages")
	hugePool(t, 4)
	const huge = 2 << 20
	r, err := Config{HugePages: HugePages2M}.Anonymous(3 * huge)
	need(t, r, err)
	if err := Put(r, huge+5, byte(1)); err != nil {
		t.Fatal(err)
	}
	got, err := r.Resident(0, ToEnd)
	diff(t, "huge pages in memory", got, []bool{false, true, false})
	if err != nil {
		t.Error(err)
	}
}

// lockedBytes is what the kernel says that the process has locked.
func lockedBytes(t testing.TB) int { return processStatus(t, "VmLck") << 10 }

func TestLockAndUnlockDoNotNest(t *testing.T) {
	page := os.Getpagesize()
	for what, c := range map[string]Config{"file": {Mode: ReadWrite}, "read only": {}, "copies": {Mode: CopyOnWrite}, "offset": {Offset: 100}} {
		before := lockedBytes(t)
		r, err := c.Open(tempFile(t, pattern(8*page)))
		need(t, r, err)
		locked := func(pages int) {
			t.Helper()
			if got := lockedBytes(t) - before; got != pages*page {
				t.Errorf("%s: %d bytes are locked, want %d pages of %d bytes", what, got, pages, page)
			}
		}
		first := page - int(r.Offset())
		for range 3 {
			if err := r.Lock(first+page-1, 2); errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
				t.Skipf("RLIMIT_MEMLOCK does not allow two pages: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			locked(2)
		}
		in, err := r.Resident(first, 2*page)
		diff(t, what+": locked pages are in memory", in, []bool{true, true})
		if err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := r.Unlock(first+page-1, 1); err != nil {
				t.Fatal(err)
			}
			locked(1)
		}
		if err := r.Unlock(0, ToEnd); err != nil {
			t.Fatal(err)
		}
		locked(0)
		if err := r.Lock(0, 1); err != nil {
			t.Fatal(err)
		}
		r.Close()
		locked(0)
	}
}

func TestLockWhereTheFileWasTruncatedIsAFaultAndLocksNothing(t *testing.T) {
	page := os.Getpagesize()
	before := lockedBytes(t)
	name := tempFile(t, pattern(4*page))
	r := open(t, name, ReadOnly)
	if err := r.Lock(0, 4*page); errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		t.Skipf("RLIMIT_MEMLOCK does not allow four pages: %v", err)
	}
	if err := r.Unlock(0, ToEnd); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, int64(page+1)); err != nil {
		t.Fatal(err)
	}
	onCalls(t, func(call string) error {
		if call == "mlock" && linuxWays {
			t.Error("mlock(2) was asked for a page that cannot be had: for one of a broken disk it never returns")
		}
		return nil
	})
	wantFault(t, "Lock", r.Lock(0, ToEnd), r, name, 2*page, ErrTruncated)
	if got := lockedBytes(t); got != before {
		t.Errorf("%d bytes are locked", got-before)
	}
}

// A Lock that comes after Close must not lock the tombstone.
func TestLockDuringCloseLocksNothing(t *testing.T) {
	page := os.Getpagesize()
	before := lockedBytes(t)
	for i, c := range []Config{{}, {Mode: ReadWrite}, {}} {
		r, err := c.Open(tempFile(t, pattern(4*page)))
		need(t, r, err)
		onCalls(t, func(call string) error {
			if call == "mlock" || i > 0 && call == "mlock2" {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		wantErr(t, r.Lock(0, ToEnd), ErrClosed, r.Name())
		if got := lockedBytes(t); got != before {
			t.Errorf("%d bytes of a tombstone are locked", got-before)
		}
	}
}
