//go:build linux

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// collectTill runs the garbage collector until done. Its cleanups run on
// goroutines of the runtime, at no promised time.
func collectTill(t testing.TB, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); runtime.Gosched() {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the garbage collector did not do it within 20 seconds")
		}
		runtime.GC()
	}
}

// collectAll runs the garbage collector, and what it calls, through the things
// that are unreachable now, and those that only they hold.
func collectAll(t testing.TB) {
	t.Helper()
	for range 3 {
		var done atomic.Bool
		runtime.AddCleanup(&struct{ *int }{}, func(done *atomic.Bool) { done.Store(true) }, &done)
		collectTill(t, done.Load)
	}
}

// budgetMappings is how many mappings a quarantine holds.
var budgetMappings = limits().share(1, budgetShare).mappings

// listed reports whether m has its address space.
func listed(m *mapping) bool { return registry.find(uintptr(m.base)) == m }

// heldIn returns what a quarantine holds, oldest first.
func heldIn(q *quarantine) (held []*mapping) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.held.Front(); e != nil; e = e.Next() {
		held = append(held, e.Value.(*mapping))
	}
	return held
}

// mapsAt returns what /proc/self/maps says of an address: the protection, and
// "" if nothing is mapped there.
func mapsAt(t testing.TB, addr uintptr) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("cannot look at the process's mappings: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		var start, end uintptr
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &start, &end, &perms); n == 3 && start <= addr && addr < end {
			return perms
		}
	}
	return ""
}

const tombstone = "---p"

// countMappings returns the number of the process's mappings.
func countMappings(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("cannot count the process's mappings: %v", err)
	}
	return bytes.Count(b, []byte("\n"))
}

// processStatus returns a line of /proc/self/status, in KiB.
func processStatus(t testing.TB, field string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("cannot look at the process's memory: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if value, is := strings.CutPrefix(line, field+":"); is {
			n := 0
			if _, err := fmt.Sscanf(value, "%d kB", &n); err == nil {
				return n
			}
		}
	}
	t.Skipf("this system does not say %s", field)
	return 0
}

// growables make a region of each kind that can grow.
var growables = map[string]func(t testing.TB, size, reserve int64) (r *Region, name string){
	"file": func(t testing.TB, size, reserve int64) (*Region, string) {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Reserve: reserve}.Create(name, size)
		return need(t, r, err), name
	},
	"sparse file": func(t testing.TB, size, reserve int64) (*Region, string) {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Reserve: reserve, Sparse: true}.Create(name, size)
		return need(t, r, err), name
	},
	"memory": func(t testing.TB, size, reserve int64) (*Region, string) {
		r, err := Config{Reserve: reserve}.Anonymous(size)
		return need(t, r, err), ""
	},
}

func TestViewsStayValidWhenTheRegionGrows(t *testing.T) {
	const size, large = 10000, 1 << 20
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			r, name := make(t, size, large)
			if r.Cap() != large {
				t.Errorf("Cap is %d, want %d", r.Cap(), large)
			}
			v, err := ViewOf[int32](r, 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			raw, ptr, addr := v.Slice(), v.Ptr(17), r.Addr()
			for i := range v.Len() {
				v.Set(i, int32(i))
			}
			for _, n := range []int64{size + 1, 2 * size, 5 * size, large} {
				old := r.Len()
				if err := r.Resize(n); err != nil {
					t.Fatal(err)
				}
				if r.Len() != int(n) || r.Addr() != addr || r.Cap() != large {
					t.Fatalf("Resize(%d): %v at %#x, was at %#x", n, r, r.Addr(), addr)
				}
				if !isZero(r.Bytes()[old:]) {
					t.Errorf("Resize(%d): what was grown into is not zero", n)
				}
				for i := range v.Len() {
					if v.At(i) != int32(i) || raw[i] != int32(i) {
						t.Fatalf("element %d is %d, %d after Resize(%d)", i, v.At(i), raw[i], n)
					}
				}
				if *ptr != 17 {
					t.Errorf("the pointer points to %d", *ptr)
				}
				// All of them are the same memory.
				raw[5] = 55
				if x, err := Get[int32](r, 20); x != 55 || err != nil {
					t.Errorf("stored through the slice 55, read %d, %v", x, err)
				}
				raw[5] = 5
				if err := Put(r, int(n)-1, uint8(1)); err != nil {
					t.Error(err)
				}
				if err := Put(r, int(n)-1, uint8(0)); err != nil {
					t.Error(err)
				}
			}
			if name != "" && !bytes.Equal(contents(t, name), r.Bytes()) {
				t.Error("the file is not what the region has")
			}
		})
	}
}

func TestShrinkingTakesBytesAwayForGood(t *testing.T) {
	page := os.Getpagesize()
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			for _, size := range []int{5 * page, 4*page + 100, 777} {
				for _, n := range []int{0, 1, page / 2, page, page + 1, 3*page - 1, size - 1} {
					if n >= size {
						continue
					}
					r, name := make(t, int64(size), int64(8*page))
					v, err := ViewOf[byte](r, 0, ToEnd)
					if err != nil {
						t.Fatal(err)
					}
					v.CopyFrom(quiet(size))
					if err := r.Resize(int64(n)); err != nil {
						t.Fatalf("from %d to %d bytes: %v", size, n, err)
					}
					if r.Len() != n || !bytes.Equal(r.Bytes(), quiet(n)) {
						t.Errorf("from %d to %d bytes: Len is %d, or other bytes", size, n, r.Len())
					}
					if name != "" && !bytes.Equal(contents(t, name), quiet(n)) {
						t.Errorf("from %d to %d bytes: the file has others", size, n)
					}
					if _, err := r.ReadAt(p1(), int64(n)); err == nil {
						t.Errorf("from %d to %d bytes: the byte beyond can be read", size, n)
					}
					if gone := int(roundUp(uintptr(n), uintptr(page))); gone < size {
						err := Guard(func() error { sinkInt += int64(v.At(gone)); return nil })
						wantFault(t, "a view beyond the new end", err, r, r.o.mapping.name, gone, ErrTruncated)
					}
					if err := r.Resize(int64(8 * page)); err != nil {
						t.Fatalf("from %d to %d and all bytes: %v", size, n, err)
					}
					if !bytes.Equal(r.Bytes()[:n], quiet(n)) || !isZero(r.Bytes()[n:]) {
						t.Errorf("from %d to %d and all bytes: what was taken away came back", size, n)
					}
				}
			}
		})
	}
}

func p1() []byte { return make([]byte, 1) }

func TestShrinkingMemoryGivesItBack(t *testing.T) {
	const size = 64 << 20
	r, err := Anonymous(size)
	need(t, r, err)
	before := processStatus(t, "VmRSS")
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	v.Fill(1)
	full := processStatus(t, "VmRSS")
	if err := r.Resize(100); err != nil {
		t.Fatal(err)
	}
	after := processStatus(t, "VmRSS")
	if full-before < size/1024/2 || full-after < size/1024/2 {
		t.Errorf("resident: %d KiB, %d when stored to, %d when shrunk", before, full, after)
	}
}

func TestAHugeReservationCostsNothing(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("a 32-bit address space has no 1 TiB to reserve")
	}
	var reserve int64 = 1 << 40
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			rss, tables := processStatus(t, "VmRSS"), processStatus(t, "VmPTE")
			r, _ := make(t, 4096, reserve)
			if int64(r.Cap()) != reserve {
				t.Fatalf("Cap is %d", r.Cap())
			}
			if err := Put(r, 0, int64(1)); err != nil {
				t.Fatal(err)
			}
			if err := r.Resize(8192); err != nil {
				t.Fatal(err)
			}
			if err := Put(r, 8184, int64(1)); err != nil {
				t.Fatal(err)
			}
			// The page tables alone of 1 TiB would be 2 GiB.
			if got := processStatus(t, "VmRSS") - rss; got > 4096 {
				t.Errorf("1 TiB reserved over 4 KiB costs %d KiB of memory", got)
			}
			if got := processStatus(t, "VmPTE") - tables; got > 256 {
				t.Errorf("1 TiB reserved over 4 KiB costs %d KiB of page tables", got)
			}
		})
	}
}

func TestResizeBeyondCapIsRefused(t *testing.T) {
	for what, make := range growables {
		r, name := make(t, 10000, 20000)
		for _, n := range []int64{20001, -1, math.MaxInt64, math.MinInt64} {
			wantErr(t, r.Resize(n), ErrRange, "20000", strconv.FormatInt(n, 10))
		}
		if r.Len() != 10000 {
			t.Errorf("%s: Len is %d after Resizes that were refused", what, r.Len())
		}
		if name != "" && len(contents(t, name)) != 10000 {
			t.Errorf("%s: the file's size changed", what)
		}
		if err := r.Resize(20000); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestARegionThatCannotWriteCannotResize(t *testing.T) {
	name := tempFile(t, quiet(10000))
	for _, mode := range []Mode{ReadOnly, CopyOnWrite} {
		r, err := Config{Mode: mode, Reserve: 20000}.Open(name)
		need(t, r, err)
		for _, n := range []int64{0, 5000, 10000, 20000} {
			wantErr(t, r.Resize(n), ErrReadOnly, name, mode.String())
		}
	}
	w, err := Config{Mode: ReadWrite, Reserve: 20000}.Open(name)
	need(t, w, err)
	if err := w.Protect(ReadOnly); err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.Resize(5), ErrReadOnly, name)
	if len(contents(t, name)) != 10000 {
		t.Error("the file's size changed")
	}
}

var childResizer = registerChild("one that changes a file's size", func(t testing.TB, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Stat(args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(args[0], size); err != nil {
		t.Fatal(err)
	}
	if size > old.Size() {
		f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(quiet(int(size))[old.Size():], old.Size()); err != nil {
			t.Fatal(err)
		}
	}
})

func TestRefreshTakesUpWhatAnotherProcessDidToTheSize(t *testing.T) {
	page := os.Getpagesize()
	const size, reserve = 10000, 100000
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		for _, offset := range []int{0, 5, page + 8} {
			name := tempFile(t, quiet(size))
			r, err := Config{Mode: mode, Offset: int64(offset), Reserve: reserve}.Open(name)
			need(t, r, err)
			v, err := ViewOf[byte](r, 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			addr := r.Addr()
			for _, now := range []int{20000, 150000, 15000, 15000, offset + 3, offset, offset / 2, 30000} {
				runChild(t, childResizer, name, strconv.Itoa(now))
				was := r.Len()
				if r.Len() != was {
					t.Errorf("Len changed without Refresh")
				}
				if err := r.Refresh(); err != nil {
					t.Fatal(err)
				}
				want := min(max(now-offset, 0), reserve)
				if r.Len() != want || r.Addr() != addr {
					t.Errorf("%v from %d: Len is %d with a file of %d bytes, want %d", mode, offset, r.Len(), now, want)
					break
				}
				if got := contents(t, name)[min(offset, now):min(offset+want, now)]; !bytes.Equal(r.Bytes(), got) {
					t.Errorf("%v from %d: other bytes than the file's %d", mode, offset, now)
				}
				if v.Len() <= want && v.At(v.Len()-1) != r.Bytes()[v.Len()-1] {
					t.Errorf("%v from %d: the view from before Refresh reads something else", mode, offset)
				}
			}
		}
	}
}

func TestRefreshNeedsNoName(t *testing.T) {
	name := tempFile(t, quiet(100))
	r := open(t, name, ReadOnly)
	w := open(t, name, ReadWrite)
	if err := errors.Join(os.Remove(name), os.WriteFile(name, quiet(5), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Region{r, w} {
		if err := r.Refresh(); err != nil || r.Len() != 100 {
			t.Errorf("Refresh of a region of a removed file: %v, Len %d", err, r.Len())
		}
	}
}

// A window is a region that ends before its file does.
func TestAWindowNeverCutsWhatLiesBeyondIt(t *testing.T) {
	page := os.Getpagesize()
	size := 10 * page
	for _, sparse := range []bool{false, true} {
		for _, offset := range []int{0, 5, page} {
			name := tempFile(t, quiet(size))
			r, err := Config{Mode: ReadWrite, Offset: int64(offset), Length: int64(2 * page), Reserve: int64(20 * page), Sparse: sparse}.Open(name)
			need(t, r, err)
			for _, n := range []int{page, 0, 3 * page, 1, 5*page + 7, 2} {
				if err := r.Resize(int64(n)); err != nil {
					t.Fatal(err)
				}
				if r.Len() != n || !bytes.Equal(r.Bytes(), quiet(size)[offset:offset+n]) {
					t.Errorf("from %d, Resize(%d): Len %d, or other bytes", offset, n, r.Len())
				}
				if !bytes.Equal(contents(t, name), quiet(size)) {
					t.Fatalf("from %d, Resize(%d) changed the file", offset, n)
				}
			}
			// Grown beyond the file's end, the region has no window any more.
			if err := r.Resize(int64(15 * page)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); len(got) != offset+15*page || !bytes.Equal(got[:size], quiet(size)) || !isZero(got[size:]) {
				t.Errorf("grown beyond the file's end: the file has %d bytes, or others", len(got))
			}
			if err := r.Resize(int64(page)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); !bytes.Equal(got, quiet(size)[:offset+page]) {
				t.Errorf("shrunk from the file's end: the file has %d bytes, or others", len(got))
			}
		}
	}
}

func TestGrowthKeepsWhatAnotherProcessAppended(t *testing.T) {
	page := os.Getpagesize()
	for _, sparse := range []bool{false, true} {
		name := tempFile(t, quiet(page))
		r, err := Config{Mode: ReadWrite, Reserve: int64(20 * page), Sparse: sparse}.Open(name)
		need(t, r, err)
		runChild(t, childResizer, name, strconv.Itoa(5*page))
		for _, n := range []int{2 * page, page, 3 * page, 100} {
			if err := r.Resize(int64(n)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); !bytes.Equal(got, quiet(5*page)) {
				t.Fatalf("sparse %v: Resize(%d) changed a file that goes on beyond the region: it has %d bytes", sparse, n, len(got))
			}
			if !bytes.Equal(r.Bytes(), quiet(n)) {
				t.Errorf("sparse %v: Resize(%d): what was appended cannot be read", sparse, n)
			}
		}
	}
}

func TestATombstoneStaysAsLongAsItCanBeReached(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(7*page))
	for what, keep := range map[string]func(r *Region) any{
		"a region": func(r *Region) any { return r },
		"a view": func(r *Region) any {
			v, err := ViewOf[int32](r, 8, 5)
			if err != nil {
				t.Fatal(err)
			}
			return v.Sub(1, 3)
		},
		"an atomic view": func(r *Region) any {
			v, err := AtomicOf[int32](r, 8, 5)
			if err != nil {
				t.Fatal(err)
			}
			return v
		},
	} {
		r := open(noCleanup{t}, name, ReadWrite)
		m, addr := r.o.mapping, r.Addr()
		kept := keep(r)
		if got := mapsAt(t, addr); got != "rw-s" {
			t.Fatalf("the kernel says %q", got)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = nil
		for range 5 {
			runtime.GC()
			for _, a := range []uintptr{addr, addr + uintptr(7*page) - 1} {
				if got := mapsAt(t, a); got != tombstone {
					t.Errorf("%s is left: the kernel says %q after Close, want %q", what, got, tombstone)
				}
			}
		}
		runtime.KeepAlive(kept)
		kept = nil
		collectTill(t, func() bool { return registry.find(addr) != m && gone(t, m, addr) })
	}
}

// gone reports whether the address space of m is given back. Something else may
// have come there since.
func gone(t testing.TB, m *mapping, addr uintptr) bool {
	return mapsAt(t, addr) != tombstone || registry.find(addr) == nil
}

func TestRegionsNeverClosedAreUnmappedUnlessRawMemoryIsOut(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(9*page))
	var raws [][]byte
	var plain, out []*mapping
	for i := range 40 {
		r := open(noCleanup{t}, name, ReadWrite)
		if x, err := Get[byte](r, i); x != quiet(100)[i] || err != nil {
			t.Fatal(x, err)
		}
		if i%2 == 0 {
			plain = append(plain, r.o.mapping)
			continue
		}
		out = append(out, r.o.mapping)
		v, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			raws = append(raws, r.Bytes())
		case 1:
			raws = append(raws, v.Slice())
		case 2:
			v.Ptr(7)
			raws = append(raws, v.Slice())
		}
	}
	collectTill(t, func() bool { return !slices.ContainsFunc(plain, listed) })
	// The others were as unreachable, and the collector has been through them.
	collectTill(t, func() bool {
		return !slices.ContainsFunc(out, func(m *mapping) bool { return m.owner.Value() != nil })
	})
	runtime.GC()
	for i, m := range out {
		if !listed(m) || !bytes.Equal(raws[i], quiet(9*page)) {
			t.Fatal("raw memory was unmapped, or reads something else")
		}
		if i == 0 && mapsAt(t, uintptr(m.base)) != "rw-s" {
			t.Errorf("the kernel says %q of raw memory", mapsAt(t, uintptr(m.base)))
		}
	}
	for _, m := range out {
		m.release() // nobody else can any more
	}
}

func TestTheQuarantineReleasesTheOldestFirst(t *testing.T) { runChild(t, childQuarantine) }

var childQuarantine = registerChild("quarantine", func(t testing.TB, args []string) {
	closeOne := func() *mapping {
		r, err := Anonymous(1)
		if err != nil {
			t.Fatal(err)
		}
		r.Bytes()
		r.Close()
		return r.o.mapping
	}
	held := func() []*mapping { return heldIn(&rawQuarantine) }
	var all []*mapping
	const over = 100
	for len(all) < budgetMappings+over {
		all = append(all, closeOne())
		if len(all)%over == 0 {
			// So that they come into the quarantine in this order.
			collectTill(t, func() bool { return len(held()) >= min(len(all), budgetMappings) })
		}
	}
	collectTill(t, func() bool {
		return !slices.ContainsFunc(all, func(m *mapping) bool { return m.owner.Value() != nil })
	})
	released := func() (n int) {
		for _, m := range all {
			if !listed(m) {
				n++
			}
		}
		return n
	}
	// What leaves the quarantine is released a moment later.
	collectTill(t, func() bool { return released() >= over })
	if got := released(); got != over || len(held()) != budgetMappings {
		t.Errorf("%d were released and %d are held, want %d and %d", got, len(held()), over, budgetMappings)
	}
	for i, m := range all {
		// Within one collection the order is the collector's.
		if i >= 2*over && !listed(m) {
			t.Errorf("number %d of %d was released before its time", i, len(all))
		}
	}
	if got := countMappings(t); got > 2*budgetMappings {
		t.Errorf("%d mappings", got)
	}

	// The budget of bytes: two that are larger than it together.
	size := int64(limits().share(1, budgetShare).bytes)/2 + 1<<20
	var large [2]*mapping
	for i := range large {
		r, err := Config{Reserve: size}.Anonymous(1)
		if err != nil {
			t.Skipf("cannot reserve %d bytes: %v", size, err)
		}
		r.Reserved()
		r.Close()
		large[i] = r.o.mapping
		r = nil
		collectTill(t, func() bool { return slices.Contains(held(), large[i]) })
	}
	collectTill(t, func() bool { return !listed(large[0]) && released() == len(all) })
	if h := held(); len(h) != 1 || h[0] != large[1] || !listed(large[1]) {
		t.Errorf("%d are held, of which the newest alone is within the budget", len(h))
	}
	rawQuarantine.mu.Lock()
	if got := rawQuarantine.bytes; got != large[1].space.size {
		t.Errorf("the quarantine counts %d bytes and has %d", got, large[1].space.size)
	}
	rawQuarantine.mu.Unlock()
})

func TestAMillionOpensAndClosesLeakNothing(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceDetector {
		n = 100_000
	}
	t.Log(runChild(t, childMillion, strconv.Itoa(n)))
}

// In a child, whose mappings and processor time are those of the loop alone.
var childMillion = registerChild("opens and closes", func(t testing.TB, args []string) {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		t.Fatal(err)
	}
	name := tempFile(t, quiet(100))
	descriptors := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("cannot count descriptors: %v", err)
		}
		return len(e)
	}
	processorTime := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Skipf("cannot measure processor time: %v", err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	mappingsBefore, filesBefore := countMappings(t), descriptors()
	peak := 0
	var tenths []time.Duration
	for i := range n {
		if i%(n/10) == 0 {
			tenths = append(tenths, processorTime())
		}
		r, err := Open(name, []Mode{ReadOnly, ReadWrite}[i%2])
		if err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
		if i%4 == 0 {
			r.Bytes() // every fourth goes by the quarantine
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if i%(n/100) == n/200 {
			peak = max(peak, countMappings(t))
		}
	}
	tenths = append(tenths, processorTime())
	begin, end := tenths[1]-tenths[0], tenths[10]-tenths[9]
	collectTill(t, func() bool {
		tombstones.mu.Lock()
		defer tombstones.mu.Unlock()
		return tombstones.now.mappings <= 1
	})
	left := countMappings(t) - mappingsBefore
	fmt.Printf("%d opens and closes: at most %d mappings at a time, %d left; the first tenth took %v, the last %v", n, peak, left, begin, end)
	if peak > 20_000 {
		t.Errorf("%d mappings at a time: the system has room for 65530", peak)
	}
	if left > budgetMappings+100 {
		t.Errorf("%d mappings are left", left)
	}
	if got := descriptors() - filesBefore; got > 2 { // the runtime may have opened some for itself
		t.Errorf("%d descriptors are left", got)
	}
	if end > 2*begin {
		t.Errorf("the first tenth took %v, the last %v", begin, end)
	}
})

func TestTombstonesAreCollectedAlthoughTheHeapHardlyGrows(t *testing.T) {
	runChild(t, childQuietHeap)
}

// A Region is a small thing for the Go heap: with no other garbage, a collection
// must come of the tombstones themselves. Here none comes of the heap at all.
var childQuietHeap = registerChild("a quiet heap", func(t testing.TB, args []string) {
	debug.SetGCPercent(-1)
	name := tempFile(t, quiet(100))
	for i := range 5 * budgetMappings {
		r, err := Open(name, ReadOnly)
		if err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
		r.Close()
		r = nil
	}
	left := func() int {
		tombstones.mu.Lock()
		defer tombstones.mu.Unlock()
		return tombstones.now.mappings
	}
	for begin := time.Now(); left() > 3*budgetMappings; runtime.Gosched() {
		if time.Since(begin) > 5*time.Second {
			t.Fatalf("%d tombstones, and no collection", left())
		}
	}
})

// The deferred calls of a guarded function run between a fault and the question
// why, and may take as long as they like.
func TestARegionLastsUntilItsFaultIsExplained(t *testing.T) {
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprintf("closes=%v", closes), func(t *testing.T) {
			name := tempFile(t, quiet(20000))
			var m *mapping
			err := Guard(func() error {
				defer collectAll(t)
				r, err := Open(name, ReadOnly)
				if err != nil {
					return err
				}
				m = r.o.mapping
				if closes {
					defer r.Close()
				}
				v, err := ViewOf[byte](r, 0, ToEnd)
				if err != nil {
					return err
				}
				if err := os.Truncate(name, 0); err != nil {
					return err
				}
				sinkInt64(int64(v.At(17)))
				return nil
			})
			var fault *FaultError
			want := ErrTruncated
			if closes {
				want = ErrClosed // by the time that it is explained
			}
			if !errors.As(err, &fault) || fault.Offset != 17 || !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
				t.Errorf("error is %v, want a fault at offset 17 of %s with %v", err, name, want)
			}
			fault, err = nil, nil // they hold the region
			collectTill(t, func() bool { return !listed(m) })
		})
	}
}

func TestALongGuardHoldsOnlySoMuchBack(t *testing.T) { runChild(t, childLongGuard) }

// In a child, for the number of mappings.
var childLongGuard = registerChild("a long guard", func(t testing.TB, args []string) {
	name := tempFile(t, quiet(100))
	held := func() int { return len(heldIn(&guardQuarantine)) }
	Guard(func() error {
		for i := range 3 * budgetMappings {
			r, err := Open(name, ReadOnly)
			if err != nil {
				t.Fatalf("number %d: %v", i, err)
			}
			if i%2 == 0 {
				r.Close() // so that every other is a mapping of its own
			}
			if i%1024 == 0 {
				runtime.GC()
			}
		}
		collectTill(t, func() bool { return held() == budgetMappings })
		if n := countMappings(t); n > 2*budgetMappings {
			t.Errorf("%d mappings", n)
		}
		return nil
	})
	collectTill(t, func() bool { return held() == 0 })
	if n := countMappings(t); n > budgetMappings {
		t.Errorf("%d mappings after it", n)
	}
	if guardQuarantine.bytes != 0 {
		t.Errorf("%d bytes are held", guardQuarantine.bytes)
	}
})

func TestACopyOfARegionKeepsIt(t *testing.T) {
	type store struct{ Region }
	name := tempFile(t, pattern(9000))
	s := func() *store { r, err := Open(name, ReadOnly); return &store{*need(noCleanup{t}, r, err)} }()
	collectAll(t)
	got := make([]byte, 9000)
	if n, err := s.ReadAt(got, 0); n != 9000 || err != nil || !bytes.Equal(got, pattern(9000)) {
		t.Errorf("ReadAt of the copy: %d, %v", n, err)
	}
	m := s.o.mapping
	runtime.KeepAlive(s)
	s = nil
	collectTill(t, func() bool { return !listed(m) })
}

func TestAddressSpaceOfDroppedRegionsIsFoundAgain(t *testing.T) { runChild(t, childDropped) }

var childDropped = registerChild("dropped reservations", func(t testing.TB, args []string) {
	debug.SetGCPercent(-1)
	name := tempFile(t, quiet(100))
	reserve := int64(maxSpace / 8)
	for i := range 30 {
		if _, err := (Config{Reserve: reserve}.Open(name)); err != nil {
			t.Fatalf("number %d, of %d bytes each: %v", i, reserve, err)
		}
	}

	// What waits for Guards to be over is found, too.
	r, err := Open(name, ReadOnly)
	m := need(noCleanup{t}, r, err).o.mapping
	r = nil
	if err := withSpace(1, func() error {
		if listed(m) {
			return unix.ENOMEM
		}
		return nil
	}); err != nil {
		t.Errorf("a dropped region is still mapped: %v", err)
	}
})

func TestAWindowThatShrankIsFencedOff(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(8*page))
	r, err := Config{Mode: ReadWrite, Offset: int64(page) + 10, Length: int64(5 * page)}.Open(name)
	need(t, r, err)
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	// The region's pages end at multiples of the page in the file.
	beyond := func(n int) int { return (n+10+page-1)/page*page - 10 }
	for _, n := range []int{3*page + 1, 2 * page, 10, 1, 0, 4 * page, 100} {
		if err := r.Resize(int64(n)); err != nil {
			t.Fatal(err)
		}
		end := beyond(n)
		if n == 0 {
			end = 0
		}
		for _, mode := range []Mode{ReadWrite, ReadOnly, ReadWrite} {
			if err := r.Protect(mode); err != nil {
				t.Fatal(err)
			}
			err := Guard(func() error { sinkInt64(int64(v.At(end))); return nil })
			wantFault(t, fmt.Sprintf("%d bytes, %v: load", n, mode), err, r, name, end, ErrTruncated)
			if end > 0 {
				if err := Guard(func() error { sinkInt64(int64(v.At(end - 1))); return nil }); err != nil {
					t.Errorf("%d bytes, %v: byte %d: %v", n, mode, end-1, err)
				}
			}
		}
		err := Guard(func() error { v.Set(end, 0xee); return nil })
		wantFault(t, fmt.Sprintf("%d bytes: store", n), err, r, name, end, ErrTruncated)
	}
	if err := r.Resize(int64(5 * page)); err != nil {
		t.Fatal(err)
	}
	if err := Guard(func() error { v.Set(5*page-1, v.At(5*page-1)); return nil }); err != nil {
		t.Errorf("grown again: %v", err)
	}
	if !bytes.Equal(contents(t, name), quiet(8*page)) {
		t.Error("the file has other bytes now")
	}
}

func TestProtectReachesWhatRefreshGaveUp(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(4*page))
	r := open(t, name, CopyOnWrite)
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	steps := []func() error{
		func() error { return os.Truncate(name, int64(page)) },
		r.Refresh,
		func() error { return r.Protect(ReadOnly) },
		func() error { return os.Truncate(name, int64(4*page)) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if err := Guard(func() error { v.Set(3*page, 1); return nil }); !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrTruncated) {
		t.Errorf("a store in a read-only region: %v", err)
	}
}

func TestRegionsOfOneProcessGrowAFileAtTheSameTime(t *testing.T) {
	page := os.Getpagesize()
	const rounds = 2000
	name := tempFile(t, nil)
	c := Config{Mode: ReadWrite, Reserve: int64(64 * page), Sparse: true}
	for i := range rounds {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
		var grown sync.WaitGroup
		var errs [2]error
		var regions [2]*Region
		for g := range regions {
			r, err := c.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			regions[g] = r
		}
		for g, r := range regions {
			grown.Go(func() {
				n := (1 + 2*g) * page
				if errs[g] = r.Resize(int64(n)); errs[g] == nil {
					errs[g] = Put(r, n-1, byte(g+1))
				}
			})
		}
		grown.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if b := contents(t, name); len(b) != 3*page || b[page-1] != 1 || b[3*page-1] != 2 {
			t.Fatalf("round %d: the file has %d bytes, not all that was stored", i, len(b))
		}
		for _, r := range regions {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAGrowthThatCannotBeLockedLeavesTheFileAsItWas(t *testing.T) {
	runChild(t, childLockLimit)
}

var childLockLimit = registerChild("a limit of locked memory", func(t testing.TB, args []string) {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Skipf("cannot limit locked memory: %v", err)
	}
	// Root is not bound by the limit, so be nobody from here on.
	if os.Getuid() == 0 {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chdir(dir)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setuid(65534); err != nil {
			t.Skipf("cannot be anybody else: %v", err)
		}
	} else if err := os.Chdir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Lock: true, Reserve: 1 << 20}.Create("f", 4096)
	need(t, r, err)
	err = r.Resize(1 << 20)
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Resize beyond the limit of locked memory: %v", err)
	}
	if fi, err := os.Stat("f"); err != nil || fi.Size() != 4096 || r.Len() != 4096 {
		t.Errorf("the file has %d bytes, the region %d, want 4096; %v", fi.Size(), r.Len(), err)
	}
})
