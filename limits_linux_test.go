//go:build !mmap_posix

package mmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The process at its limit of mappings.

// A filling takes up mappings that the process may have.
type filling struct {
	t    testing.TB
	page int
	all  []byte
	used int // pages of all, of which every other is a mapping of its own
}

// maxMappings is vm.max_map_count.
func maxMappings(t testing.TB) int {
	n, ok := number("/proc/sys/vm/max_map_count")
	if !ok {
		t.Skip("this system does not say vm.max_map_count")
	}
	if n > 1<<20 {
		t.Skipf("vm.max_map_count is %d: to reach it takes too long", n)
	}
	return n
}

// newFilling reserves the address space for it, in one mapping.
func newFilling(t testing.TB) *filling {
	if raceDetector {
		t.Skip("the race detector maps memory of its own, and ends the process where it cannot")
	}
	f := &filling{t: t, page: os.Getpagesize()}
	all, err := unix.Mmap(-1, 0, (maxMappings(t)+100)*f.page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		t.Skipf("no address space to fill: %v", err)
	}
	f.all = all
	return f
}

// fill makes mappings until the system refuses.
func (f *filling) fill() {
	for ; f.used < len(f.all)/f.page; f.used += 2 {
		page := f.all[f.used*f.page:][:f.page]
		if err := unix.Mprotect(page, unix.PROT_READ); err != nil {
			if !errors.Is(err, unix.ENOMEM) {
				f.t.Fatal(err)
			}
			f.fillRest()
			return
		}
	}
	f.t.Fatal("the system has no limit of mappings")
}

// fillRest takes the last one, if there is room for one but not for two.
func (f *filling) fillRest() {
	for {
		if _, err := unix.Mmap(-1, 0, f.page, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_ANON); err != nil {
			return
		}
	}
}

// free gives n mappings back.
func (f *filling) free(n int) {
	for ; n > 0 && f.used > 0; n -= 2 {
		f.used -= 2
		if err := unix.Mprotect(f.all[f.used*f.page:][:f.page], unix.PROT_NONE); err != nil {
			f.t.Fatal(err)
		}
	}
}

// collections is how often the collector ran.
func collections() uint32 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.NumGC
}

// calmHeap keeps the Go heap from growing, and the collector from running, while
// the process is at a limit: either could end it. Threads are there, too.
func calmHeap() {
	room := make([][]byte, 64)
	for i := range room {
		room[i] = make([]byte, 512<<10)
	}
	runtime.KeepAlive(room)
	room = nil
	runtime.GC()
	debug.SetGCPercent(-1)
	var begun, done sync.WaitGroup
	begun.Add(1)
	for range 16 { // a thread each, which the runtime keeps for later
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Wait()
		})
	}
	begun.Done()
	done.Wait()
	growStack(100)
	collections()
}

// growStack makes the goroutine's stack large enough for what comes at the limit.
func growStack(n int) (sum int) {
	var frame [1 << 10]byte
	frame[n%len(frame)] = byte(n)
	if n > 0 {
		sum = growStack(n - 1)
	}
	return sum + int(frame[(n+1)%len(frame)])
}

func hasGuardPages(t testing.TB) bool {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	return unix.Madvise(b, unix.MADV_GUARD_INSTALL) == nil
}

func TestAtTheLimitOfMappingsCloseSucceedsAndOpenSaysWhy(t *testing.T) {
	runChild(t, childMapLimit)
}

var childMapLimit = registerChild("at vm.max_map_count", func(t testing.TB, args []string) {
	const size = 4 << 20
	page := os.Getpagesize()
	name := tempFile(t, quiet(size))
	type example struct {
		what string
		r    *Region
		v    View[byte]
	}
	var all []example
	add := func(what string, r *Region, err error) {
		need(noCleanup{t}, r, err)
		v, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		if r.Mode() != ReadOnly {
			v.Fill(1)
		}
		all = append(all, example{what, r, v})
	}
	several := 3 // next to each other, so that the system puts them together if it can
	if !hasGuardPages(t) {
		t.Log("this system has no MADV_GUARD_INSTALL: mappings that it has put together cannot be closed at the limit")
		several = 0 // even one may be put together with memory of the Go runtime
	}
	for i := range several {
		r, err := Anonymous(size)
		add(fmt.Sprintf("memory %d", i), r, err)
	}
	r, err := Config{Reserve: 2 * size}.Anonymous(size)
	add("memory with a reservation", r, err)
	r, err = Config{Mode: ReadWrite, Reserve: 2 * size}.Open(name)
	add("a file with a reservation", r, err)
	r, err = Open(name, ReadOnly)
	add("a file to read", r, err)
	r, err = Config{Mode: CopyOnWrite, Reserve: 2 * size}.Open(name)
	add("a private file", r, err)
	r, err = Config{Mode: ReadWrite, Offset: int64(page), Length: int64(page), Reserve: size}.Open(name)
	add("a window", r, err)
	r, err = Config{Lock: true}.Anonymous(int64(page))
	if err == nil {
		add("locked memory", r, err)
	}
	calmHeap()
	f := newFilling(t)
	before := collections()
	f.fill()

	for _, open := range []func() (*Region, error){
		func() (*Region, error) { return Anonymous(1) },
		func() (*Region, error) { return Open(name, ReadWrite) },
		func() (*Region, error) { return Config{Reserve: 1 << 25}.Open(name) },
	} {
		r, err := open()
		if err == nil {
			t.Fatalf("there is room for %v", r)
		}
		wantErr(t, err, unix.ENOMEM, "vm.max_map_count is "+strconv.Itoa(maxMappings(t)))
	}
	resident := processStatus(t, "RssAnon")
	for i := range all {
		e := &all[i]
		if err := e.r.Close(); err != nil {
			t.Errorf("Close of %s: %v", e.what, err)
		}
		if err := Guard(func() error { sinkByte = e.v.At(page - 1); return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("an access to %s after Close: %v", e.what, err)
		}
	}
	if left := processStatus(t, "RssAnon"); resident-left < (several+1)*size/1024 {
		t.Errorf("closed regions keep their memory: %d KiB are resident, of %d before", left, resident)
	}
	f.free(200)
	if n := collections() - before; n > 0 {
		t.Errorf("the collector ran %d times", n)
	}

	r, err = Config{Mode: ReadWrite}.Open(name)
	need(noCleanup{t}, r, err)
	for range 20 {
		r, err := Anonymous(size)
		if need(noCleanup{t}, r, err).Close() != nil {
			t.Fatal("Close fails when there are mappings again")
		}
	}
	r.Close()
	runtime.KeepAlive(all)
})

// The system puts tombstones together that lie side by side. At the limit of
// mappings it does not cut one out again.
func TestATombstoneThatCannotBeUnmappedIsUnmappedLater(t *testing.T) { runChild(t, childLeftover) }

var childLeftover = registerChild("a tombstone in the middle", func(t testing.TB, args []string) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(page))
	f := newFilling(t)
	base := uintptr(unsafe.Pointer(&f.all[page])) // after one page that stays
	if err := unix.MunmapPtr(unsafe.Pointer(&f.all[page]), uintptr(3*page)); err != nil {
		t.Fatal(err)
	}
	var all [3]*mapping
	var regions [3]*Region
	for i := range all {
		r, err := Config{Addr: base + uintptr(i*page)}.Open(name)
		regions[i] = need(noCleanup{t}, r, err)
		all[i] = r.o.mapping
		r.Close()
	}
	f.used = 4
	calmHeap()
	f.fill()
	left := func() int {
		unmapped.mu.Lock()
		defer unmapped.mu.Unlock()
		return len(unmapped.left)
	}
	at := func(i int) string { return mapsAt(t, base+uintptr(i*page)) }
	all[1].release()
	leftAtLimit, listedAtLimit := left(), listed(all[1])
	f.free(1000) // or to read what is mapped could end the process
	if leftAtLimit != 1 || at(1) != tombstone || listedAtLimit {
		t.Fatalf("at the limit, %d are left over, and the one in the middle is %q", leftAtLimit, at(1))
	}
	all[0].release()
	if left() != 0 || at(0) == tombstone || at(1) == tombstone || at(2) != tombstone {
		t.Errorf("later, %d are left over, and the three are %q, %q and %q", left(), at(0), at(1), at(2))
	}
	runtime.KeepAlive(regions)
})

func TestAtTheLimitOfMappingsTheQuarantineGivesWay(t *testing.T) { runChild(t, childMapsGiveWay) }

var childMapsGiveWay = registerChild("a quarantine at vm.max_map_count", func(t testing.TB, args []string) {
	const n = 100
	name := tempFile(t, quiet(100))
	var between []*Region // so that the tombstones are mappings of their own
	for range n {
		between = append(between, open(noCleanup{t}, name, ReadOnly))
		r := open(noCleanup{t}, name, ReadOnly)
		r.Bytes()
		r.Close()
	}
	held := func() int { return len(heldIn(&rawQuarantine)) }
	collectTill(t, func() bool { return held() == n })
	calmHeap()
	f := newFilling(t)
	before := collections()
	f.fill()
	var opened []*Region
	for range n / 2 {
		opened = append(opened, open(noCleanup{t}, name, ReadOnly))
	}
	left := held()
	f.free(1000) // or the question after the collector could end the process
	if left != 0 || collections() != before {
		t.Errorf("%d are held, and the collector ran %d times", left, collections()-before)
	}
	runtime.KeepAlive(opened)
	runtime.KeepAlive(between)
})

// The process at its limit of address space.

// limitSpace leaves the process so many bytes of address space more.
func limitSpace(t testing.TB, more uint64) (limit uint64) {
	limit = uint64(processStatus(t, "VmSize"))<<10 + more
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Skipf("cannot limit the address space: %v", err)
	}
	return limit
}

// spaceLimit is one that a 32-bit machine reaches, too.
func spaceLimit() uint64 { return 1 << 30 << (3 * is64) }

func TestRawMemoryDoesNotUseUpTheAddressSpace(t *testing.T) {
	rounds := strconv.Itoa(max(200, rounds(2000))) // 200 would take it all
	for _, procs := range []string{"1", "2"} {
		for _, gc := range []string{"100", "-1"} {
			t.Run("GOMAXPROCS="+procs+",GOGC="+gc, func(t *testing.T) {
				cmd := childCommand(t, childSpaceLimit, rounds, gc)
				cmd.Env = append(cmd.Env, "GOMAXPROCS="+procs)
				endChild(t, cmd)
			})
		}
	}
}

var childSpaceLimit = registerChild("rounds under RLIMIT_AS", func(t testing.TB, args []string) {
	rounds, _ := strconv.Atoi(args[0])
	gc, _ := strconv.Atoi(args[1])
	debug.SetGCPercent(gc)
	const size = 64 << 20
	limitSpace(t, spaceLimit())
	var own [][]byte
	for i := range rounds {
		r, err := Anonymous(size)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		b := r.Bytes()
		b[i%size] = 1
		if err := r.Close(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if i%16 == 0 { // the program needs memory, too
			own = append(own[max(0, len(own)-3):], make([]byte, 1<<20))
		}
	}
	runtime.KeepAlive(own)
})

func TestAtTheLimitOfAddressSpaceTheQuarantineGivesWay(t *testing.T) { runChild(t, childSpaceGivesWay) }

var childSpaceGivesWay = registerChild("a quarantine under RLIMIT_AS", func(t testing.TB, args []string) {
	calmHeap()
	limit := limitSpace(t, spaceLimit())
	share := int64(limit / budgetShare)
	func() {
		for range 2 { // less than the quarantine holds
			r, err := Anonymous(share / 3)
			need(noCleanup{t}, r, err).Bytes()
			r.Close()
		}
	}()
	held := func() int { return len(heldIn(&rawQuarantine)) }
	collectTill(t, func() bool { return held() == 2 })

	// What is left is a little less than what the next one needs.
	left := func() int64 { return int64(limit) - int64(processStatus(t, "VmSize"))<<10 }
	const margin = 64 << 20
	fill, err := unix.Mmap(-1, 0, int(left()-margin), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(fill)
	before := collections()
	r, err := Anonymous(2 * margin)
	need(noCleanup{t}, r, err)
	if held() != 0 || collections() != before {
		t.Errorf("%d are held, and the collector ran %d times", held(), collections()-before)
	}
	// Nothing is left to give way.
	_, err = Anonymous(share)
	wantErr(t, err, unix.ENOMEM, fmt.Sprintf("RLIMIT_AS is %d bytes", limit))
	if n := collections() - before; n != 0 {
		t.Errorf("the collector ran %d times", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
})

func TestAReservationThatIsRefusedDoesNotBlameMemory(t *testing.T) {
	if bitsOfInt == 32 {
		t.Skip("a machine has more memory than a 32-bit address space")
	}
	if resource(unix.RLIMIT_AS) < maxSpace {
		t.Skip("RLIMIT_AS is what stands in the way")
	}
	const size = 1 << 46
	name := tempFile(t, pattern(100))
	refusing(t, "mmap", unix.ENOMEM, -1)
	for what, tt := range map[string]struct {
		make   func() (*Region, error)
		memory bool
	}{
		"reserved memory":        {func() (*Region, error) { return Config{Reserve: size}.Anonymous(1) }, false},
		"reserved for a file":    {func() (*Region, error) { return Config{Mode: ReadWrite, Reserve: size}.Open(name) }, false},
		"reserved for copies":    {func() (*Region, error) { return Config{Mode: CopyOnWrite, Reserve: size}.Open(name) }, false},
		"memory":                 {func() (*Region, error) { return Anonymous(size) }, true},
		"reserved shared memory": {func() (*Region, error) { return Config{Reserve: size, Flags: unix.MAP_SHARED}.Anonymous(1) }, true},
	} {
		r, err := tt.make()
		if wantErr(t, err, unix.ENOMEM); r != nil || strings.Contains(err.Error(), "no room for") == tt.memory {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
}

// What needs no memory is not refused for want of it, and the error does not say so.
func TestTheErrorTellsAddressSpaceFromMemory(t *testing.T) {
	if is64 == 0 {
		t.Skip("there is memory for all of a 32-bit address space")
	}
	page := os.Getpagesize()
	last := ^uintptr(0) &^ uintptr(page-1)
	r, err := Config{Addr: last}.Anonymous(int64(page))
	if r != nil {
		r.Close()
	}
	wantErr(t, err, unix.ENOMEM, "the address space has no room for", fmt.Sprintf("at address %#x", last))

	most := int64(maxSpace) - 1<<22
	if r, err = (Config{Reserve: most}).Anonymous(int64(page)); err == nil {
		r.Close()
		t.Log("this system has room for the largest reservation")
	} else {
		wantErr(t, err, unix.ENOMEM, fmt.Sprintf("the address space has no room for %d bytes", most))
	}
	if r, err = Anonymous(most / 4); err == nil {
		r.Close()
		t.Skipf("this system promises %d bytes", most/4)
	}
	wantErr(t, err, unix.ENOMEM, "vm.overcommit_memory is")
}
