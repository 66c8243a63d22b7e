package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

// What only the seam of Windows can get wrong. Where Wine is not Windows, the test
// says so.

// refusing has the calls of a name fail, from the nth on, for as long as fn runs.
func refusing(name string, nth int, errno syscall.Errno, fn func()) {
	ask := func(call string) error {
		if call == name {
			if nth--; nth <= 0 {
				return errno
			}
		}
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	fn()
}

// kinds counts the pieces of a region's space.
func kinds(r *Region) (free, views, memory int) {
	for _, c := range r.o.space.list {
		switch c.what {
		case freePiece:
			free++
		case viewPiece:
			views++
		case memoryPiece:
			memory++
		}
	}
	return free, views, memory
}

func TestAFileGrowsBehindItsLastPageWithoutMoving(t *testing.T) {
	page := os.Getpagesize()
	for _, offset := range []int{0, 5, page, 65536 + 20} {
		size := 3*page + 100
		name := tempFile(t, quiet(offset+size))
		r, err := Config{Mode: ReadWrite, Offset: int64(offset), Reserve: 1 << 30}.Open(name)
		need(t, r, err)
		first, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		addr := r.Addr()
		want := bytes.Clone(quiet(offset + size)[offset:])
		for i, n := range []int{size + 1, size + 200, 4*page - 1, 4 * page, 4*page + 1, 7*page + 3, 7*page + 3, 200 * page} {
			if err := r.Resize(int64(n)); err != nil {
				t.Fatalf("from %d, Resize(%d): %v", offset, n, err)
			}
			want = append(want, make([]byte, n-len(want))...)
			want[n-1] = byte(i + 1)
			if err := Put(r, n-1, byte(i+1)); err != nil {
				t.Fatal(err)
			}
			if r.Addr() != addr || !bytes.Equal(r.Bytes(), want) {
				t.Fatalf("from %d, %d bytes: other bytes, or elsewhere", offset, n)
			}
			if got := contents(t, name)[offset:]; !bytes.Equal(got, want) {
				t.Fatalf("from %d, %d bytes: the file has others", offset, n)
			}
		}
		if first.Len() != size || first.At(size-1) != want[size-1] {
			t.Error("the view from before does not see its bytes")
		}
		if err := r.Sync(); err != nil { // Wine reports no failure, and Windows had none
			t.Error(err)
		}
	}
}

func TestManySmallGrowthsLeaveOneTombstone(t *testing.T) {
	page := os.Getpagesize()
	r, err := Config{Reserve: int64(2000 * page)}.Create(filepath.Join(t.TempDir(), "f"), int64(page))
	need(t, r, err)
	m, err := Config{Reserve: int64(2000 * page)}.Anonymous(int64(page))
	need(t, m, err)
	const growths = 300
	for i := 2; i <= growths; i++ {
		if err := errors.Join(r.Resize(int64(i*page)), m.Resize(int64(i*page)), Put(r, i*page-1, byte(i)), Put(m, i*page-1, byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := 2; i <= growths; i++ {
		x, err := Get[byte](r, i*page-1)
		y, err2 := Get[byte](m, i*page-1)
		if x != byte(i) || y != byte(i) || err != nil || err2 != nil {
			t.Fatalf("page %d: %d %v, %d %v", i, x, err, y, err2)
		}
	}
	if _, views, _ := kinds(r); views != growths {
		t.Errorf("%d views after %d growths", views, growths)
	}
	if _, _, memory := kinds(m); memory > 12 {
		t.Errorf("%d pieces of memory after %d growths", memory, growths)
	}
	if err := r.SyncRange(10*page+7, 50*page); err != nil {
		t.Error(err)
	}
	addr := r.Addr()
	if err := errors.Join(r.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	if free, views, _ := kinds(r); free != 1 || views != 0 || r.o.space.size != growths*uintptr(page) {
		t.Errorf("the tombstone is %d placeholders and %d views, of %d bytes", free, views, r.o.space.size)
	}
	if got := mapsAt(t, addr); got != tombstone {
		t.Errorf("the system says %q of the tombstone", got)
	}
	if got := mapsAt(t, addr+growths*uintptr(page)); got != "" {
		t.Errorf("the system says %q of what was never in use", got)
	}
}

func TestShrinkingLeavesTheFileAndSaysSo(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(5*page))
	other := open(t, name, ReadOnly) // so that it is mapped in any case
	r, err := Config{Mode: ReadWrite, Reserve: int64(20 * page)}.Open(name)
	need(t, r, err)
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Resize(int64(9 * page)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{8 * page, 4*page + 1, page, 0} {
		wantErr(t, r.Resize(int64(n)), errors.ErrUnsupported, name, "keeps its size", "Windows")
		fi, err := os.Stat(name)
		if err != nil || fi.Size() != int64(9*page) || r.Len() != n {
			t.Fatalf("Resize(%d): Len is %d, the file has %d bytes, %v", n, r.Len(), fi.Size(), err)
		}
		if end := int(roundUp(uintptr(n), uintptr(page))); end < v.Len() {
			err := Guard(func() error { sinkInt64(int64(v.At(end))); return nil })
			wantFault(t, "beyond the end", err, r, name, end, ErrTruncated)
		}
	}
	if err := r.Resize(int64(6 * page)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Bytes()[:5*page], quiet(5*page)) {
		t.Error("the bytes are not those of the file")
	}
	r.Close()
	if err := os.Truncate(name, 0); err == nil {
		t.Error("a file that another region has mapped was truncated")
	}
	other.Close()
	if err := os.Truncate(name, 0); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestAClosedRegionLeavesTheFileAlone(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	r, err := Config{Reserve: 1 << 24}.Create(name, 10000)
	need(t, r, err)
	raw := r.Bytes() // so that there is a tombstone
	if err := os.Rename(name, name+".new"); err != nil {
		t.Errorf("a file that the library opened: %v", err)
	}
	name += ".new"
	if err := errors.Join(r.Resize(70000), r.Close(), os.Truncate(name, 10), os.Remove(name)); err != nil {
		t.Error(err)
	}
	if err := Guard(func() error { sinkInt64(int64(raw[1])); return nil }); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestGrowthThatWindowsRefusesLeavesAllAsItWas(t *testing.T) {
	page := os.Getpagesize()
	for _, tt := range []struct {
		name string
		nth  int
	}{{"CreateFileMapping", 1}, {"CreateFileMapping", 2}, {"VirtualFree", 1}, {"MapViewOfFile3", 1}} {
		name := tt.name
		file := tempFile(t, quiet(2*page))
		r, err := Config{Mode: ReadWrite, Reserve: int64(64 * page)}.Open(file)
		need(t, r, err)
		refusing(name, tt.nth, windows.ERROR_COMMITMENT_LIMIT, func() { err = r.Resize(int64(5 * page)) })
		var pe *fs.PathError
		if !errors.As(err, &pe) || pe.Op != name || !errors.Is(err, windows.ERROR_COMMITMENT_LIMIT) {
			t.Errorf("%s: %v", name, err)
		}
		if tt.nth > 1 || name != "CreateFileMapping" { // the first is to make the file grow
			wantErr(t, err, windows.ERROR_COMMITMENT_LIMIT, "commit limit")
		}
		// Wine never shortens a file that is mapped. Windows is believed to, down
		// to the end of the largest section that there was.
		fi, e := os.Stat(file)
		if e != nil || r.Len() != 2*page {
			t.Errorf("%s: Len is %d, %v", name, r.Len(), e)
		}
		if fi.Size() != int64(2*page) {
			wantErr(t, err, windows.ERROR_COMMITMENT_LIMIT, "keeps its new size of")
		}
		if err := r.Resize(int64(5 * page)); err != nil || !bytes.Equal(r.Bytes()[:2*page], quiet(2*page)) {
			t.Errorf("%s: the next growth: %v, or other bytes", name, err)
		}
	}
}

func TestCloseWithoutPlaceholdersTakesAccessAllTheSame(t *testing.T) {
	r := open(noCleanup{t}, tempFile(t, quiet(9000)), ReadOnly)
	raw := r.Bytes()
	addr := r.Addr()
	var err error
	refusing("UnmapViewOfFile2", 1, windows.ERROR_NOT_ENOUGH_MEMORY, func() { err = r.Close() })
	if err != nil {
		t.Error(err)
	}
	if err := Guard(func() error { sinkInt64(int64(raw[8999])); return nil }); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	// Or the file could not be removed.
	r, raw = nil, nil
	collectTill(t, func() bool { rawQuarantine.giveWay(); return mapsAt(t, addr) == "" })
}

func TestAnExactAddressNeedsNoGranularity(t *testing.T) {
	if !placeholders() {
		t.Skip("before Windows 10 (1803), and under Wine 8, the address of a view is a multiple of 64 KiB")
	}
	page := uintptr(os.Getpagesize())
	probe, err := Anonymous(1 << 20)
	need(noCleanup{t}, probe, err)
	base := probe.Addr()
	addr := base + 3*page
	if addr%granularity() == 0 {
		t.Fatal("this address proves nothing")
	}
	name := tempFile(t, quiet(10000))
	_, err = Config{Addr: addr}.Open(name)
	if err == nil {
		t.Fatal("mapped over another mapping")
	}
	wantErr(t, err, windows.ERROR_INVALID_ADDRESS, name, "block of 65536 bytes")
	probe.Close()
	probe = nil
	collectTill(t, func() bool { rawQuarantine.giveWay(); return mapsAt(t, base) == "" })
	r, err := Config{Addr: addr, Reserve: 1 << 19}.Open(name)
	need(t, r, err)
	if r.Addr() != addr || !bytes.Equal(r.Bytes(), quiet(10000)) {
		t.Errorf("at %#x, want %#x, or other bytes", r.Addr(), addr)
	}
}

func TestLockingMoreThanTheWorkingSetNamesIt(t *testing.T) {
	const size = 1 << 30
	r, err := Anonymous(size)
	need(t, r, err)
	if isWine {
		// Its VirtualLock is mlock(2), which root may do without limit.
		refusing("VirtualLock", 1, windows.ERROR_WORKING_SET_QUOTA, func() { err = r.o.lockPages(0, size) })
	} else {
		err = r.o.lockPages(0, size)
	}
	wantErr(t, err, windows.ERROR_WORKING_SET_QUOTA, "working set", "1073741824")
}

func TestUnlockFreesWhatIsLockedAmongWhatIsNot(t *testing.T) {
	page := os.Getpagesize()
	r, err := Anonymous(int64(8 * page))
	need(t, r, err)
	unlock := func() error { return r.o.space.unlock(0, uintptr(8*page)) }
	if err := errors.Join(r.o.lockPages(2*page, page), unlock(), unlock()); err != nil {
		t.Error(err)
	}
	var unlocks atomic.Int32
	ask := func(call string) error {
		if call == "VirtualUnlock" && unlocks.Add(1) == 1 {
			return windows.ERROR_NOT_LOCKED // as Windows says, and Wine does not
		}
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	if err := unlock(); err != nil || unlocks.Load() != 9 {
		t.Errorf("%v, %d calls for 8 pages", err, unlocks.Load())
	}
}

func TestWhatIsNoFileIsNamed(t *testing.T) {
	for name, what := range map[string]string{t.TempDir(): "a directory", "NUL": "a device"} {
		_, err := Open(name, ReadOnly)
		wantErr(t, err, errors.ErrUnsupported, what, "cannot be mapped")
		var pe *fs.PathError
		if !errors.As(err, &pe) {
			t.Errorf("%v is no *fs.PathError", err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	_, err = Map(r, ReadOnly)
	wantErr(t, err, errors.ErrUnsupported, "a pipe", "cannot be mapped")
}

func TestFlagsOfMmapAreRefused(t *testing.T) {
	name := tempFile(t, quiet(10))
	_, err := Config{Flags: 0x8000}.Open(name)
	wantErr(t, err, errors.ErrUnsupported, name, "0x8000", "Windows")
	_, err = Config{HugePages: HugePages2M}.Anonymous(1 << 21)
	wantErr(t, err, errors.ErrUnsupported, "2048 KiB")
}

// Before Windows 10 (1803). Wine 8 has no placeholders either.
func TestBeforePlaceholders(t *testing.T) {
	defer func(has func() bool) { placeholders = has }(placeholders)
	placeholders = func() bool { return false }
	page := os.Getpagesize()

	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		for _, offset := range []int{0, 5, page + 20, 65536 + page + 3} {
			name := tempFile(t, quiet(offset+10000))
			r, err := Config{Mode: mode, Offset: int64(offset)}.Open(name)
			need(noCleanup{t}, r, err)
			if got := r.Bytes(); !bytes.Equal(got, quiet(offset + 10000)[offset:]) {
				t.Errorf("%v from %d: other bytes", mode, offset)
			}
			if mode == ReadWrite {
				if err := errors.Join(Put(r, 9999, byte(7)), r.Sync(), r.Protect(ReadOnly), r.Protect(ReadWrite)); err != nil {
					t.Error(err)
				}
				wantErr(t, r.Resize(100), errors.ErrUnsupported, "keeps its size")
				if err := r.Resize(10000); err != nil || !bytes.Equal(r.Bytes(), contents(t, name)[offset:]) {
					t.Errorf("from %d, shrunk and grown: %v, or other bytes", offset, err)
				}
			}
			addr := r.Addr()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if got := mapsAt(t, addr); got != "---s" { // the view itself is the tombstone
				t.Errorf("%v from %d: the system says %q after Close", mode, offset, got)
			}
			r = nil
			collectTill(t, func() bool { rawQuarantine.giveWay(); return mapsAt(t, addr) == "" })
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := Config{Reserve: 1 << 20}.Open(tempFile(t, quiet(100)))
	wantErr(t, err, errors.ErrUnsupported, "Windows 10 version 1803")

	r, err := Config{Reserve: int64(100 * page)}.Anonymous(int64(page))
	need(t, r, err)
	addr := r.Addr()
	for _, n := range []int{3*page + 1, 50 * page, 1, 100 * page} {
		if err := r.Resize(int64(n)); err != nil || r.Addr() != addr || !isZero(r.Bytes()) {
			t.Fatalf("memory of %d bytes: %v, or moved, or not zero", n, err)
		}
		if err := Put(r, n-1, byte(1)); err != nil {
			t.Fatal(err)
		}
		if err := Put(r, n-1, byte(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil || mapsAt(t, addr) != tombstone {
		t.Errorf("%v, the system says %q of the tombstone of memory", err, mapsAt(t, addr))
	}
}

func TestWhatIsMappedLaterHasTheModeOfNow(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(page))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, mode := range []Mode{ReadWrite, ReadOnly} { // each is protected as the other
		r, err := Config{Mode: mode, Reserve: int64(10 * page)}.Map(f)
		need(t, r, err)
		raw := r.Reserved()
		store := func(i int) error { return Guard(func() error { raw[i] = 1; return nil }) }
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		size := fi.Size()
		if err := errors.Join(r.Protect(ReadWrite-mode), f.Truncate(size+int64(page)), r.Refresh()); err != nil {
			t.Fatal(err)
		}
		if err := store(int(size)); mode == ReadWrite && !errors.Is(err, ErrReadOnly) || mode == ReadOnly && err != nil {
			t.Errorf("mapped %v, protected as %v: a store into what came later: %v", mode, ReadWrite-mode, err)
		}
	}
}

func TestExampleGuard(t *testing.T) {
	t.Log("ExampleGuard in example_truncate_test.go truncates a file that is mapped")
	shortensMapped(t)
}
