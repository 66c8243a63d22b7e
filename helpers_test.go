package mmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tempFile makes a file with the given bytes.
func tempFile(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "data.bin")
	t.Cleanup(func() { letGo(t, name) })
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// pattern returns n bytes of which each tells its own offset apart from those
// nearby.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*31)
	}
	return b
}

// need stops the test if err is not nil, and otherwise closes r at its end.
func need(t testing.TB, r *Region, err error) *Region {
	t.Helper()
	if err != nil {
		needMappings(t)
		if errors.Is(err, errors.ErrUnsupported) && strings.Contains(err.Error(), "address space to grow into") {
			growsFiles(t)
		}
		t.Fatal(err)
	}
	kept := r // the list of cleanups may outlive them
	t.Cleanup(func() {
		kept.Close()
		kept = nil
	})
	return r
}

// canMap is false on the systems of mmap_other.go.
const canMap = runtime.GOOS != "aix" && runtime.GOOS != "js" && runtime.GOOS != "plan9" && runtime.GOOS != "wasip1"

// needMappings skips what needs a system that can map.
func needMappings(t testing.TB) {
	t.Helper()
	if !canMap {
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
}

// What is so before Windows 10 (1803).
var (
	cannotGrow    string // why a region of a file cannot grow, "" if it can
	fileTombstone = tombstone
)

// growsFiles skips what needs a region of a file to grow.
func growsFiles(t testing.TB) {
	t.Helper()
	if cannotGrow != "" {
		t.Skip(cannotGrow)
	}
}

// letGo waits until closed regions let go of a file, where their tombstones keep it:
// the directory of the test could not be removed.
func letGo(t testing.TB, name string) {
	if cannotGrow == "" {
		return
	}
	collectTill(t, func() bool {
		rawQuarantine.giveWay()
		err := os.Truncate(name, 0)
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
}

func open(t testing.TB, name string, mode Mode) *Region {
	t.Helper()
	r, err := Open(name, mode)
	return need(t, r, err)
}

// wantErr checks an error's kind, and that its text has all of the words.
func wantErr(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want one that is %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func contents(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func diff(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func nativeBytes(x uint64) []byte { return binary.NativeEndian.AppendUint64(nil, x) }

// anonymous returns size zeroed bytes.
func anonymousRegion(t testing.TB, size int64) *Region {
	t.Helper()
	r, err := Anonymous(size)
	return need(t, r, err)
}

// panicValue returns what fn panics with, nil if it does not.
func panicValue(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

// wantPanic checks that fn panics with an error of a kind, with words.
func wantPanic(t testing.TB, kind error, fn func(), words ...string) {
	t.Helper()
	err, ok := panicValue(fn).(error)
	if !ok {
		t.Errorf("panic value is %v, want an error that is %v", panicValue(fn), kind)
		return
	}
	wantErr(t, err, kind, words...)
}

const bitsOfInt = 32 << (^uint(0) >> 63)

func itoa(i int) string { return strconv.Itoa(i) }

// roundsVariable is a percentage: how many of the rounds of a long loop to go. It
// is for emulated processors, on which the loops take minutes. Without it, all are
// gone, or a tenth with -short or -race. Children are told.
const roundsVariable = "MMAP_TEST_ROUNDS"

var roundsPercent = sync.OnceValue(func() float64 {
	switch percent, err := strconv.ParseFloat(os.Getenv(roundsVariable), 64); {
	case err == nil && percent > 0:
		return percent
	case raceDetector || flag.Parsed() && testing.Short():
		return 10
	}
	return 100
})

// emulated says whether the processor is one of those: time says nothing there.
func emulated() bool { return os.Getenv(roundsVariable) != "" }

// rounds says how many of n rounds to go.
func rounds(n int) int { return max(1, int(float64(n)*roundsPercent()/100)) }

// Results of loads go here, or the compiler leaves the loads out.
var (
	sinkInt    int64
	sinkByte   byte
	sinkString string
	sinkBool   bool
)

// wantFault checks all that a FaultError says.
func wantFault(t testing.TB, label string, err error, r *Region, name string, off int, kind error) {
	t.Helper()
	var f *FaultError
	if !errors.As(err, &f) {
		t.Errorf("%s: %v, want a *FaultError", label, err)
		return
	}
	if f.Region != r || !isAt(f, off) || f.Err != kind {
		t.Errorf("%s: region %v, offset %d, %v; want %v, %d, %v", label, f.Region, f.Offset, f.Err, r, off, kind)
	}
	wantErr(t, err, kind, name, fmt.Sprintf("offset %d ", f.Offset))
	if strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("%s: %q speaks of nil pointers", label, err)
	}
}

// exactAddresses says whether the processor reports where a fault was. Some report
// no more than the page.
const exactAddresses = runtime.GOARCH != "s390x"

// isAt says whether a fault was at byte off of its region, or in that byte's page
// if the processor reports no more. A fault that names no region is in one that
// begins with its file.
func isAt(f *FaultError, off int) bool {
	inPage := int(f.Region.Offset()+int64(off)) % os.Getpagesize()
	return f.Offset == off || !exactAddresses && f.Offset == max(off-inPage, 0)
}

// quiet is pattern without the byte absent.
func quiet(n int) []byte {
	b := pattern(n)
	for i := range b {
		if b[i] == absent {
			b[i]--
		}
	}
	return b
}

// noCleanup is a testing.TB for which need does not keep the region.
type noCleanup struct{ testing.TB }

func (noCleanup) Cleanup(func()) {}

// panicOf returns the value with which fn panics.
func panicOf(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

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
	return slices.Clone(q.held)
}

// What a system tells in another way than by /proc.
var (
	systemMapsAt      func(addr uintptr) string
	systemMappings    func() int
	systemDescriptors func(t testing.TB) int
)

// shortensMapped skips what needs a file to be made shorter while it is mapped.
func shortensMapped(t testing.TB) {
	t.Helper()
	if !canShortenMapped {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
}

// leavesOut reports whether a part of a test is left out because it needs a file to be
// made shorter while it is mapped, and says so as a skipped subtest.
func leavesOut(t *testing.T, what string) bool {
	t.Helper()
	return !canShortenMapped && t.Run(what, func(t *testing.T) { shortensMapped(t) })
}

const canShortenMapped = runtime.GOOS != "windows"

// forgetPages has the system forget the pages of a file, where that can be asked for.
var forgetPages func(t testing.TB, r *Region)

// forget has pages of a region of a file forgotten, unless somebody else uses them: they
// are read from the disk again. Where that cannot be asked for it does nothing.
func forget(t testing.TB, r *Region) {
	t.Helper()
	if forgetPages != nil {
		forgetPages(t, r)
	}
}

// mapsAt returns what /proc/self/maps says of an address: the protection, and
// "" if nothing is mapped there.
func mapsAt(t testing.TB, addr uintptr) string {
	t.Helper()
	if systemMapsAt != nil {
		return systemMapsAt(addr)
	}
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
	if systemMappings != nil {
		return systemMappings()
	}
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("cannot count the process's mappings: %v", err)
	}
	return bytes.Count(b, []byte("\n"))
}

// processStatus returns a line of /proc/self/status, in KiB.
func processStatus(t testing.TB, field string) int {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no /proc, and Wine shows that of another process")
	}
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

func p1() []byte { return make([]byte, 1) }

// gone reports whether the address space of m is given back. Something else may
// have come there since.
func gone(t testing.TB, m *mapping, addr uintptr) bool {
	return mapsAt(t, addr) != tombstone || registry.find(addr) == nil
}

//go:noinline
func sinkInt64(int64) {}
