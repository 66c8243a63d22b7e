package mmap

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestManyOpensAndClosesLeakNothing(t *testing.T) { t.Log(runChild(t, childMany)) }

// In a child, whose mappings and processor time are those of the loop alone.
var childMany = registerChild("opens and closes", func(t testing.TB, args []string) {
	n := 10 + rounds(200_000)
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
		if i%(n/100+1) == n/200 {
			peak = max(peak, countMappings(t))
		}
	}
	tenths = append(tenths, processorTime())
	begin, end := tenths[3]-tenths[2], tenths[10]-tenths[9] // the quarantine is full by then
	collectTill(t, func() bool {
		tombstones.mu.Lock()
		defer tombstones.mu.Unlock()
		return tombstones.now.mappings <= 1
	})
	left := countMappings(t) - mappingsBefore
	fmt.Printf("%d opens and closes: at most %d mappings at a time, %d left; the third tenth took %v, the last %v", n, peak, left, begin, end)
	if peak > 20_000 {
		t.Errorf("%d mappings at a time: the system has room for 65530", peak)
	}
	if left > budgetMappings+100 {
		t.Errorf("%d mappings are left", left)
	}
	if got := descriptors() - filesBefore; got > 2 { // the runtime may have opened some for itself
		t.Errorf("%d descriptors are left", got)
	}
	if end > 2*begin && n > 100_000 { // of fewer, the collector takes as long as all the rest
		t.Errorf("the third tenth took %v, the last %v", begin, end)
	}
})

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

// A child's quarantine is its own.
func TestWhatTheQuarantineHoldsIsGivenBackForGrowth(t *testing.T) { runChild(t, childGivesWay) }

var childGivesWay = registerChild("one whose quarantine gives way", func(t testing.TB, args []string) {
	page := int64(os.Getpagesize())
	r, err := Config{Reserve: 8 * page}.Anonymous(page)
	need(t, r, err)
	for what, grow := range map[string]func() error{
		"Resize": func() error { return r.Resize(4 * page) },
		"Anonymous with a reservation": func() error {
			r, err := Config{Reserve: 8 * page}.Anonymous(page)
			if err == nil {
				defer r.Close()
			}
			return err
		},
	} {
		func() {
			held := anonymousRegion(noCleanup{t}, page)
			held.Bytes()
			held.Close()
		}()
		collectTill(t, func() bool { return len(heldIn(&rawQuarantine)) > 0 })
		refusing(t, "mprotect", unix.ENOMEM, 1)
		if err := grow(); err != nil {
			t.Errorf("%s, when the system refuses once: %v", what, err)
		}
		if n := len(heldIn(&rawQuarantine)); n > 0 {
			t.Errorf("%s: the quarantine still holds %d", what, n)
		}
	}
})

func TestRegionsThatComeAndGoAreUnmappedTogether(t *testing.T) { t.Log(runChild(t, childTogether)) }

var childTogether = registerChild("regions side by side", func(t testing.TB, args []string) {
	n := 3 * budgetMappings // so that the quarantine overflows
	name := tempFile(t, quiet(100))
	one, other := open(noCleanup{t}, name, ReadOnly), open(noCleanup{t}, name, ReadOnly)
	if apart := one.Addr() - other.Addr(); apart != uintptr(os.Getpagesize()) {
		t.Skipf("the system lays mappings of a page %d bytes apart (s390x has so many for its caches)", apart)
	}
	var unmaps atomic.Int64
	onCalls(t, func(call string) error {
		if call == "munmap" {
			unmaps.Add(1)
		}
		return nil
	})
	for range n {
		open(noCleanup{t}, name, ReadOnly).Close()
	}
	got := int(unmaps.Load())
	fmt.Printf("%d calls of munmap while %d regions came and went", got, n)
	if got > n/10 {
		t.Errorf("%d calls of munmap while %d regions came and went: neighbours go one by one", got, n)
	}
})

func TestTombstonesThatLieSideBySideAreUnmappedTogether(t *testing.T) {
	runChild(t, childSideBySide)
}

// In a process of its own no collector unmaps other regions, which would be counted too.
// What is mapped where a tombstone was may be the runtime's by then: rights tell them apart.
var childSideBySide = registerChild("tombstones side by side", func(t testing.TB, args []string) {
	page := uintptr(os.Getpagesize())
	all, err := mapSpace(noFile, &request{hidden: true, private: true, page: page, size: 5 * page})
	if err != nil {
		t.Fatal(err)
	}
	piece := func(i uintptr) space { return space{addr: all.at(i * page), size: page} }
	calls := 0
	onCalls(t, func(call string) error {
		if call == "munmap" {
			calls++
		}
		return nil
	})
	var l leftovers
	l.release(piece(2), piece(0), piece(4), piece(1))
	if calls != 2 {
		t.Errorf("%d calls of munmap for three neighbours and one that lies apart, want 2", calls)
	}
	for i, want := range []bool{false, false, false, true, false} {
		if got := mapsAt(t, uintptr(all.addr)+uintptr(i)*page) == tombstone; got != want {
			t.Errorf("page %d is still the tombstone: %t, want %t", i, got, want)
		}
	}
	l.release(piece(3))
	l.release()
	if calls != 3 {
		t.Errorf("%d calls of munmap, want 3", calls)
	}
})

// Close releases a reservation, and leaves a small tombstone in the middle of where it
// was. Where addresses have 32 bits, a few hundred of those leave no room for another
// reservation, long before the collector has a reason to run.
func TestSmallTombstonesMakeRoomForALargeReservation(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	c := Config{Mode: ReadWrite, Reserve: int64(userSpace / 48)}
	name := tempFile(t, make([]byte, 5*os.Getpagesize()))
	for i := range 1000 {
		r, err := c.Open(name)
		for range 3 { // the patience with the collector is short
			if err == nil {
				break
			}
			r, err = c.Open(name)
		}
		if err != nil {
			t.Fatalf("region %d: %v", i, err)
		}
		if err := Put(r, 0, byte(i)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
