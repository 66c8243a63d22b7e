package mmap

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// byteOf loads a byte of raw memory under Guard.
func byteOf(b []byte, i int) (x byte, err error) {
	err = Guard(func() error { x = b[i]; return nil })
	return x, err
}

func TestReservedShowsWhatTheFileGrowsInto(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(page))
	r, err := Config{Mode: ReadWrite, Reserve: int64(8*page) - 100}.Open(name)
	need(t, r, err)
	b := r.Reserved()
	if len(b) != r.Cap() || cap(b) != r.Cap() || &b[0] != &r.Bytes()[0] {
		t.Fatalf("Reserved has length %d and capacity %d, want %d, from the first byte on", len(b), cap(b), r.Cap())
	}
	_, err = byteOf(b, 3*page)
	wantFault(t, "beyond the file", err, r, name, 3*page, ErrTruncated)
	if err := os.WriteFile(name, quiet(5*page), 0o600); err != nil { // as another process might
		t.Fatal(err)
	}
	if x, err := byteOf(b, 3*page); err != nil || x != quiet(5 * page)[3*page] || r.Len() != page {
		t.Errorf("after the file has grown: %#x, %v, Len %d", x, err, r.Len())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = byteOf(b, 7*page)
	wantFault(t, "after Close", err, r, name, 7*page, ErrClosed)
	if r.Reserved() != nil {
		t.Error("Reserved of a closed region is not nil")
	}
}

func TestReservedDoesNotShowWhatFollowsTheRegion(t *testing.T) {
	page := os.Getpagesize()
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		name := tempFile(t, quiet(6*page))
		r, err := Config{Mode: mode, Length: int64(page), Reserve: int64(8 * page)}.Open(name)
		need(t, r, err)
		b := r.Reserved()
		_, err = byteOf(b, page)
		wantFault(t, mode.String()+": what follows", err, r, name, page, ErrTruncated)
		if err := r.Refresh(); err != nil || r.Len() != 6*page {
			t.Fatalf("%v: Refresh: %v, Len %d", mode, err, r.Len())
		}
		if x, err := byteOf(b, 5*page); err != nil || x != quiet(6 * page)[5*page] {
			t.Errorf("%v: what the region has grown into: %#x, %v", mode, x, err)
		}
	}
	// A region that grows within its file ends before it again.
	name := tempFile(t, quiet(6*page))
	r, err := Config{Mode: ReadWrite, Length: int64(page), Reserve: int64(8 * page)}.Open(name)
	need(t, r, err)
	b := r.Reserved()
	if err := r.Resize(int64(2 * page)); err != nil {
		t.Fatal(err)
	}
	if x, err := byteOf(b, page); err != nil || x != quiet(6 * page)[page] {
		t.Errorf("within the region: %#x, %v", x, err)
	}
	_, err = byteOf(b, 2*page)
	wantFault(t, "beyond a region that has grown", err, r, name, 2*page, ErrTruncated)
}

func TestReservedMemoryFaultsUntilItIsGrownInto(t *testing.T) {
	page := os.Getpagesize()
	r, err := Config{Reserve: int64(8 * page)}.Anonymous(10)
	need(t, r, err)
	b := r.Reserved()
	_, err = byteOf(b, 2*page)
	wantFault(t, "beyond Len", err, r, r.Name(), 2*page, ErrTruncated)
	if err := r.Resize(int64(3 * page)); err != nil {
		t.Fatal(err)
	}
	if x, err := byteOf(b, 2*page); err != nil || x != 0 {
		t.Errorf("grown into: %#x, %v", x, err)
	}
	var none *Region
	if none.Reserved() != nil {
		t.Error("a nil Region has something reserved")
	}
}

// What Bytes and Reserved return while another goroutine closes lies in address
// space that stays.
func TestRawMemoryThatIsHandedOutDuringCloseStays(t *testing.T) {
	page := os.Getpagesize()
	for i := range 20 + rounds(2000) {
		r, err := Config{Reserve: int64(64 * page)}.Anonymous(int64(page))
		if err != nil {
			t.Fatal(err)
		}
		m := r.o.mapping
		const takers = 4
		got := make([][]byte, takers)
		var begin, all sync.WaitGroup
		begin.Add(1)
		for g := range takers {
			all.Go(func() {
				begin.Wait()
				if g%2 == 0 {
					got[g] = r.Bytes()
				} else {
					got[g] = r.Reserved()
				}
			})
		}
		all.Go(func() {
			begin.Wait()
			r.Close()
		})
		begin.Done()
		all.Wait()
		for g, b := range got {
			if b == nil {
				continue
			}
			if last := uintptr(unsafe.Pointer(&b[len(b)-1])); registry.find(last) != m || mapsAt(t, last) != tombstone {
				t.Fatalf("round %d: the slice of goroutine %d, %d bytes, ends in address space that is free", i, g, len(b))
			}
		}
		runtime.KeepAlive(r)
	}
}

func TestAnEmptyViewHoldsNoPointerBeyondTheRegion(t *testing.T) {
	page := os.Getpagesize()
	r, err := Anonymous(int64(2 * page))
	need(t, r, err)
	end := r.Addr() + uintptr(2*page)
	for off := 0; off <= 2*page; off += page {
		v, err := ViewOf[int64](r, off, 0)
		if err != nil {
			t.Fatal(err)
		}
		if v.Offset() != off || v.Len() != 0 || uintptr(unsafe.Pointer(v.base)) >= end {
			t.Errorf("an empty view at %d has offset %d and points to %#x, the region ends at %#x", off, v.Offset(), v.base, end)
		}
	}
	all, err := ViewOf[int64](r, 8, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all.Len() + 1 {
		s := all.Sub(i, i)
		if s.Offset() != 8+8*i || uintptr(unsafe.Pointer(s.base)) >= end || s.Sub(0, 0).Offset() != s.Offset() {
			t.Fatalf("Sub(%d, %d) has offset %d and points to %#x", i, i, s.Offset(), s.base)
		}
	}
	first, err := BigEndianOf[uint16](r, 0, 3)
	if err != nil || first.Sub(0, 0).Offset() != 0 || first.Sub(2, 2).Offset() != 4 {
		t.Errorf("empty views of numbers: %v, %v, %v", first.Sub(0, 0).Offset(), first.Sub(2, 2).Offset(), err)
	}
}

// An unlinked file, a memory file and shared memory are dumped whole by the system,
// and 1 TiB of reservation would take it minutes.
func TestAReservationIsNotInCoreDumpsUntilItIsGrownInto(t *testing.T) {
	needLinuxWays(t, "advice on core dumps")
	page := os.Getpagesize()
	reserve := int64(64 * page)
	for what, make := range map[string]func() (*Region, error){
		"unlinked": func() (*Region, error) {
			name := tempFile(t, quiet(page))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { f.Close() })
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			return Config{Mode: ReadWrite, Reserve: reserve}.Map(f)
		},
		"memory file": func() (*Region, error) {
			fd, err := unix.MemfdCreate("dumped", unix.MFD_CLOEXEC)
			if err != nil {
				t.Skipf("this system has no memfd_create: %v", err)
			}
			f := os.NewFile(uintptr(fd), "dumped")
			t.Cleanup(func() { f.Close() })
			if err := f.Truncate(int64(page)); err != nil {
				return nil, err
			}
			return Config{Mode: ReadWrite, Reserve: reserve}.Map(f)
		},
		"shared memory": func() (*Region, error) {
			return Config{Flags: unix.MAP_SHARED, Reserve: reserve}.Anonymous(int64(page))
		},
	} {
		r, err := make()
		need(t, r, err)
		check := func(off int, dumped bool) {
			t.Helper()
			v, _ := vmaAt(t, r.Addr()+uintptr(off))
			if strings.Contains(v.flags, " dd") == dumped {
				t.Errorf("%s: the flags at offset %d are %q, want it dumped: %v", what, off, v.flags, dumped)
			}
		}
		check(0, true)
		check(page, false)
		check(int(reserve)-1, false)
		if err := r.Resize(int64(3 * page)); err != nil {
			t.Fatal(err)
		}
		check(2*page, true)
		check(3*page, false)
	}
	name := filepath.Join(t.TempDir(), "named")
	calls := 0
	ask := func(call string) error {
		if call == "madvise" {
			calls++
		}
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	r, err := Config{Reserve: reserve}.Create(name, int64(page))
	need(t, r, err)
	if err := r.Resize(int64(2 * page)); err != nil || calls != 0 {
		t.Errorf("a file that has a name costs %d calls of madvise(2); %v", calls, err)
	}
}

func TestAnUnreachableRegionLetsItsFileGo(t *testing.T) {
	dir := t.TempDir()
	descriptors := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("cannot count descriptors: %v", err)
		}
		return len(e)
	}
	collectAll(t)
	before := descriptors()
	var ids []fileID
	var raw [][]byte
	var open []*mapping
	for i := range 20 {
		r, err := Create(filepath.Join(dir, string(rune('a'+i))), 100) // its directory is open, too
		if err != nil {
			t.Fatal(err)
		}
		m := r.o.mapping
		ids = append(ids, m.file.inode.id)
		if i%2 == 0 {
			raw, open = append(raw, r.Bytes()), append(open, m)
		}
	}
	if got := descriptors() - before; got < 40 {
		t.Fatalf("20 regions have %d descriptors", got)
	}
	known := func() (n int) {
		inodes.Lock()
		defer inodes.Unlock()
		for _, id := range ids {
			if inodes.of[id] != nil {
				n++
			}
		}
		return n
	}
	collectTill(t, func() bool { return known() == 0 && descriptors() <= before })
	for i, m := range open {
		if !listed(m) || m.closed.Load() {
			t.Fatal("a region of which raw memory is out was unmapped without Close")
		}
		for _, q := range []*quarantine{&rawQuarantine, &guardQuarantine} {
			for _, held := range heldIn(q) {
				if held == m {
					t.Fatal("an open region is in a quarantine")
				}
			}
		}
		if x, err := byteOf(raw[i], 99); x != 0 || err != nil {
			t.Fatalf("raw memory of an unreachable region: %#x, %v", x, err)
		}
		m.release() // nobody else can any more
	}
}

// A Guard that runs for hours keeps no more for each region that comes and goes.
func TestALongGuardKeepsABoundedAmountOfMemory(t *testing.T) {
	runChild(t, childGuardMemory)
}

var childGuardMemory = registerChild("the memory of a long guard", func(t testing.TB, args []string) {
	name := tempFile(t, quiet(100))
	heap := func() uint64 {
		collectAll(t)
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	err := Guard(func() error {
		n := 2*budgetMappings + rounds(20_000)
		comeAndGo := func() error {
			for i := range n {
				r, err := Open(name, ReadOnly)
				if err != nil {
					return err
				}
				if err := r.Close(); err != nil {
					return err
				}
				if i%1000 == 0 {
					runtime.GC()
				}
			}
			return nil
		}
		if err := comeAndGo(); err != nil {
			return err
		}
		first := heap()
		if err := comeAndGo(); err != nil {
			return err
		}
		if second := heap(); second > first+1<<20 {
			return errors.New("the heap has grown")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
})
