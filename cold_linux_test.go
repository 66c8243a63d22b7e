package mmap

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	forgetPages = func(t testing.TB, r *Region) {
		t.Helper()
		if err := r.Advise(0, ToEnd, DontNeed); err != nil && !r.o.request.private {
			t.Fatal(err)
		}
		err := r.o.file.use(func(h handle) error {
			return errors.Join(unix.Fsync(int(h)), unix.Fadvise(int(h), 0, 0, unix.FADV_DONTNEED))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// callsOf returns the system calls that the library makes while fn runs.
func callsOf(t testing.TB, fn func()) (calls []string) {
	ask := func(call string) error {
		if call != "munmap" && call != "close" { // which the collector makes, of other regions
			calls = append(calls, call)
		}
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	fn()
	return calls
}

// forgetAtOnce has copies ask each time whether pages are in memory.
func forgetAtOnce(t testing.TB) {
	old := rememberFor
	rememberFor = 0
	t.Cleanup(func() { rememberFor = old })
}

// A copy does not ask again of what it found in memory a moment ago.
func TestWhatWasInMemoryIsNotAskedForAgain(t *testing.T) {
	needLinuxWays(t, "mincore(2)")
	old := rememberFor
	rememberFor = time.Hour
	defer func() {
		rememberFor = old
		period.number.Add(1)
		period.ends.Store(false) // the timer goes on for an hour
	}()
	r := open(t, tempFile(t, pattern(4*window)), ReadWrite)
	if err := r.Populate(0, ToEnd); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4*window)
	asks := func(n, off int) int {
		t.Helper()
		return len(callsOf(t, func() {
			if k, err := r.ReadAt(p[:n], int64(off)); k != n || err != nil {
				t.Errorf("ReadAt of %d bytes at %d: %d, %v", n, off, k, err)
			}
		}))
	}
	for _, tt := range []struct{ n, off, want int }{
		{manyBytes, 100, 1},                            // of the two blocks in which it lies
		{manyBytes, 0, 0}, {2*manyBytes - 200, 200, 0}, // nothing else
		{2 * manyBytes, manyBytes, 1}, {3 * manyBytes, 0, 0}, // one block more
		{4 * window, 0, 4}, {4 * window, 0, 0}, {window, 3 * window, 0},
	} {
		if got := asks(tt.n, tt.off); got != tt.want {
			t.Errorf("%d bytes at %d: asked %d times, want %d", tt.n, tt.off, got, tt.want)
		}
	}
	rememberFor = 0
	if asks(window, 0) != 1 {
		t.Error("it is remembered for ever")
	}
	rememberFor = time.Hour
	if asks(window, 0); asks(window, 0) != 0 {
		t.Error("it is not remembered")
	}
	if calls := callsOf(t, func() { emptyLoop(mustView[uint8](r), window) }); len(calls) < 5 { // each asks, and the first maps a page, or tries
		t.Errorf("Chunks relies on what a copy remembers: %v", calls)
	}
	var b recent
	if b.add(0, 2*recentBytes); !b.has(recentBytes-1, 2) || b.has(0, 2*recentBytes+1) || b.has(len(b)*recentBytes, 1) {
		t.Error("one place of the table is taken for another")
	}
	forget(t, r) // of which nobody tells
	if there, err := r.Resident(0, 1); err == nil && !there[0] && asks(window, 0) != 0 {
		t.Error("it was asked for again")
	}
}

// Where copies go on where the one before ended, one question is for a whole window.
func TestCopiesInOrderAskOnceForAWindow(t *testing.T) {
	needLinuxWays(t, "mincore(2)")
	r := open(t, tempFile(t, pattern(4*window)), ReadOnly)
	if err := r.Populate(0, ToEnd); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, manyBytes)
	copies := func(order func(i int) int) int {
		r.o.recent.Store(nil)
		r.o.follows.Store(0)
		return len(callsOf(t, func() {
			for i := range 4 * window / len(p) {
				r.ReadAt(p, int64(order(i)*len(p)))
			}
		}))
	}
	old := rememberFor
	rememberFor = time.Hour
	defer func() {
		rememberFor = old
		period.number.Add(1)
		period.ends.Store(false)
	}()
	if got := copies(func(i int) int { return i }); got != 4 {
		t.Errorf("in order, %d questions, want 4", got)
	}
	if got, want := copies(func(i int) int { return 4*window/len(p) - 1 - i }), 4*window/len(p); got != want {
		t.Errorf("the last first, %d questions, want %d", got, want)
	}
	period.number.Add(1) // as the timer does
	if got := len(callsOf(t, func() { r.ReadAt(p, 0) })); got != 1 {
		t.Errorf("in the next period, %d questions, want 1", got)
	}
}

// coldRegion is of a file of n bytes of which no page is in memory.
func coldRegion(t testing.TB, n int, c Config) *Region {
	t.Helper()
	r, err := c.Open(tempFile(t, pattern(n)))
	need(t, r, err)
	forget(t, r)
	there, err := r.Resident(0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(there, true) {
		t.Skip("this file system keeps the pages of its files in memory")
	}
	return r
}

func TestHotPagesAreAskedForAndNothingElse(t *testing.T) {
	forgetAtOnce(t)
	const size = 4 * window
	r := open(t, tempFile(t, pattern(size)), ReadWrite)
	if err := r.Populate(0, ToEnd); err != nil {
		t.Fatal(err)
	}
	v := mustView[uint8](r)
	p := make([]byte, size)
	asked := func(n int) []string { return slices.Repeat([]string{"mincore"}, n) }
	// Before Chunks asks, it maps a page: of what is mapped, the system tells sooner. If the
	// system cannot do that, Chunks finds out once, and reads a byte.
	probed := func(calls []string) []string {
		others := slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return c == "mincore" })
		n, least := len(calls)-len(others), 0
		if r.o.space.populate(0, r.o.page(), false) == nil {
			least = n - 1
		}
		strange := func(c string) bool { return c != "madvise" && c != "pread" }
		if len(others) < least || len(others) > n || slices.ContainsFunc(others, strange) {
			t.Errorf("%d questions, and before them %v", n, others)
		}
		return asked(n)
	}
	for _, tt := range []struct {
		what string
		want []string
		do   func()
	}{
		{"ReadAt of few bytes", asked(0), func() { r.ReadAt(p[:manyBytes-1], 0) }},
		{"ReadAt of 64 KiB", asked(1), func() { r.ReadAt(p[:manyBytes], 100) }},
		{"ReadAt of 4 windows", asked(4), func() { r.ReadAt(p, 0) }},
		{"WriteAt of few bytes", asked(0), func() { r.WriteAt(p[:manyBytes-1], 0) }},
		{"WriteAt of a window", asked(1), func() { r.WriteAt(p[:window], 0) }},
		{"CopyTo of few bytes", asked(0), func() { v.CopyTo(p[:manyBytes-1]) }},
		{"CopyTo of 4 windows", asked(4), func() { v.CopyTo(p) }},
		{"CopyFrom of a window", asked(1), func() { v.CopyFrom(p[:window]) }},
		{"Get", asked(0), func() { Get[uint64](r, 5) }},
		{"chunks of 1 byte of a window", asked(1), func() { emptyLoop(v.Sub(0, window), 1) }},
		{"chunks of 1 window", asked(4), func() { emptyLoop(v, window) }},
		{"one chunk", asked(4), func() { emptyLoop(v, size+1) }},
		{"two chunks, and the loop ends", asked(2), func() { // of this window and the next
			for i := range v.Chunks(1000) {
				if i > 0 {
					break
				}
			}
		}},
	} {
		got := callsOf(t, tt.do)
		if strings.Contains(tt.what, "chunk") {
			got = probed(got)
		}
		diff(t, tt.what, got, append([]string(nil), tt.want...))
	}
}

func emptyLoop(v View[uint8], n int) {
	for range v.Chunks(n) {
	}
}

func TestAHotCopyOfManyBytesAllocatesNothing(t *testing.T) {
	r := open(t, tempFile(t, pattern(2*window)), ReadWrite)
	if err := r.Populate(0, ToEnd); err != nil {
		t.Fatal(err)
	}
	v := mustView[uint8](r)
	p := make([]byte, 2*window)
	for what, do := range map[string]func(){
		"ReadAt":   func() { r.ReadAt(p, 0) },
		"WriteAt":  func() { r.WriteAt(p, 0) },
		"CopyTo":   func() { v.CopyTo(p) },
		"CopyFrom": func() { v.CopyFrom(p) },
	} {
		if n := testing.AllocsPerRun(10, do); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// Every page that an access needs is in memory before it, by a system call: while
// the library does not make one, all pages of the chunk are there.
func TestChunksAreInMemoryWhenTheyAreYielded(t *testing.T) {
	page := os.Getpagesize()
	for _, by := range []int{page / 2, 100_000, window, 2*window + 5} {
		r := coldRegion(t, 3*window+5*page+7, Config{})
		// Without the system's own read-ahead.
		if err := r.Advise(0, ToEnd, Random); err != nil {
			t.Fatal(err)
		}
		v, err := LittleEndianOf[uint8](r, 3, r.Len()-3)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range v.Chunks(by) {
			there, err := r.Resident(c.Offset(), c.Len())
			if err != nil || slices.Contains(there, false) {
				t.Fatalf("chunk of %d at %d: %v, %v", by, i, there, err)
			}
		}
	}
}

// The pages of small chunks after a bad one come, although their window could not be
// brought in as a whole.
func TestChunksAfterOneThatCannotBeReadAreInMemory(t *testing.T) {
	needLinuxWays(t, "system calls that bring pages in")
	page := os.Getpagesize()
	r := coldRegion(t, 64*page, Config{})
	calls := 0
	onCalls(t, func(call string) error {
		if call == "madvise" {
			if calls++; calls <= 4 { // what announces, and what brings the window in
				return unix.EIO
			}
		}
		return nil
	})
	for i, c := range mustView[uint8](r).Chunks(page) {
		intercepting := intercept.Swap(nil)
		there, err := r.Resident(c.Offset(), c.Len())
		intercept.Store(intercepting)
		if err != nil || i > 0 && slices.Contains(there, false) {
			t.Errorf("chunk at %d: %v, %v", i, there, err)
		}
	}
}

func TestWhatIsMissingIsBroughtInBeforeACopy(t *testing.T) {
	for what, do := range map[string]func(r *Region, p []byte) (int, error){
		"ReadAt":   func(r *Region, p []byte) (int, error) { return r.ReadAt(p, 0) },
		"WriteAt":  func(r *Region, p []byte) (int, error) { return r.WriteAt(p, 0) },
		"CopyTo":   func(r *Region, p []byte) (int, error) { return mustView[uint8](r).CopyTo(p) },
		"CopyFrom": func(r *Region, p []byte) (int, error) { return mustView[uint8](r).CopyFrom(p) },
		"WriteTo": func(r *Region, p []byte) (int, error) {
			n, err := r.WriteTo(&checkedWriter{t: t, r: r})
			return int(n), err
		},
	} {
		r := coldRegion(t, window+manyBytes, Config{Mode: ReadWrite})
		calls := callsOf(t, func() {
			if n, err := do(r, pattern(r.Len())); n != r.Len() || err != nil {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		})
		brought := "madvise"
		if !linuxWays {
			brought = "pread"
		}
		if !slices.Contains(calls, brought) {
			t.Errorf("%s of a cold file made the calls %v", what, calls)
		}
	}
}

// A checkedWriter sees that the bytes that it is given were in memory.
type checkedWriter struct {
	t   testing.TB
	r   *Region
	off int
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	there, err := w.r.Resident(w.off, len(p))
	if err != nil || slices.Contains(there, false) {
		w.t.Errorf("%d bytes at %d: %v, %v", len(p), w.off, there, err)
	}
	w.off += len(p)
	return len(p), nil
}

// Memory that nobody has stored to stays so.
func TestLoadsOfUntouchedMemoryTakeNone(t *testing.T) {
	needLinuxWays(t, "system calls that bring pages in")
	const size = 64 << 20
	r := anonymousRegion(t, size)
	if err := r.Advise(0, ToEnd, NoHugePage); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	p := make([]byte, window)
	for i := range p {
		p[i] = 1
	}
	needZeroPage(t)
	before := processStatus(t, "VmRSS")
	for off := 0; off < size; off += window {
		if _, err := r.ReadAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	emptyLoop(mustView[uint8](r), window)
	if grown := processStatus(t, "VmRSS") - before; grown > size/1024/4 {
		t.Errorf("reading %d KiB of untouched memory took %d KiB", size/1024, grown)
	}
}

// needZeroPage skips where plain loads take memory: a kernel may have no page of zeros
// for all untouched pages to share.
func needZeroPage(t *testing.T) {
	t.Helper()
	const size = 16 << 20
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	unix.Madvise(b, unix.MADV_NOHUGEPAGE) // refused where there are none
	before := processStatus(t, "VmRSS")
	bytes.Count(b, []byte{1})
	if took := processStatus(t, "VmRSS") - before; took > size/1024/2 {
		t.Skipf("this kernel has no page of zeros: plain loads of %d KiB of untouched memory took %d KiB", size/1024, took)
	}
}

// Of files of others, Linux says that all is in memory: Chunks does not believe it.
func TestChunksOfAFileOfSomebodyElse(t *testing.T) {
	needLinuxWays(t, "system calls that bring pages in")
	r := coldRegion(t, 2*window, Config{})
	r.o.untold = true
	calls := callsOf(t, func() { emptyLoop(mustView[uint8](r), 1000) })
	if there, err := r.Resident(0, ToEnd); err != nil || slices.Contains(there, false) {
		t.Errorf("%v, after %v", err, calls)
	}
	if calls = callsOf(t, func() { emptyLoop(mustView[uint8](r), 1000) }); !slices.Contains(calls, "madvise") {
		t.Errorf("what is said to be in memory was believed: %v", calls)
	}
	calls = callsOf(t, func() { r.ReadAt(make([]byte, window), 0) })
	diff(t, "calls of ReadAt", calls, []string{"mincore"})
}

func TestWhoMayKnowWhatIsInMemory(t *testing.T) {
	needLinuxWays(t, "mincore(2)")
	own, err := os.Open(tempFile(t, pattern(100)))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	r, err := Map(own, ReadOnly)
	if need(t, r, err); r.o.untold {
		t.Error("an own file's pages are not told")
	}
	if os.Getuid() == 0 {
		t.Skip("root is told of every file")
	}
	for _, name := range []string{"/etc/passwd", "/etc/os-release", "/bin/sh"} {
		var st unix.Stat_t
		if unix.Stat(name, &st) != nil || st.Uid == uint32(os.Getuid()) {
			continue
		}
		r := open(t, name, ReadOnly)
		if !r.o.untold {
			t.Errorf("%s is not ours, and we are told of its pages", name)
		}
		return
	}
	t.Skip("no file of somebody else that can be read")
}
