package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

// What a Config asks for, and what Windows makes of it.

// manyViews makes a region of a file that has a view for every page.
func manyViews(t testing.TB, c Config, pages int) (*Region, string) {
	t.Helper()
	page := os.Getpagesize()
	name := filepath.Join(t.TempDir(), "f")
	c.Reserve = int64(2 * pages * page)
	r, err := c.Create(name, int64(page))
	need(t, r, err)
	for i := 2; i <= pages; i++ {
		if err := r.Resize(int64(i * page)); err != nil {
			t.Fatal(err)
		}
	}
	if _, views, _ := kinds(r); views != pages {
		t.Fatalf("%d views, want %d", views, pages)
	}
	return r, name
}

// callCount counts the calls of a name.
func callCount(calls []string, name string) (n int) {
	for _, c := range calls {
		if c == name {
			n++
		}
	}
	return n
}

func TestWhatIsPerViewReachesAllViews(t *testing.T) {
	const pages = 20
	page := os.Getpagesize()
	r, name := manyViews(t, Config{}, pages)
	want := quiet(pages * page)
	if n, err := r.WriteAt(want, 0); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	// Views 3 to 7, of which the first and the last are met in part.
	var err error
	calls := callsOf(func() { err = r.SyncRange(3*page+7, 4*page) })
	if n := callCount(calls, "FlushViewOfFile"); err != nil || n != 5 || callCount(calls, "FlushFileBuffers") != 1 {
		t.Errorf("SyncRange over 5 views: %v, calls %q", err, calls)
	}
	if got := contents(t, name); !bytes.Equal(got, want) {
		t.Error("the file has other bytes")
	}
	calls = callsOf(func() { err = r.o.lockPages(3*page+7, 4*page) })
	if n := callCount(calls, "VirtualLock"); err != nil || n != 5 {
		t.Errorf("locked: %v, calls %q", err, calls)
	}
	from, to := r.o.span(3*page+7, 4*page)
	calls = callsOf(func() { err = r.o.space.unlock(from, to) })
	if err != nil || callCount(calls, "VirtualUnlock") < 5 {
		t.Errorf("unlocked: %v, calls %q", err, calls)
	}
	// A lock that fails at one view frees those before it.
	locks, unlocks := 0, 0
	refusal := func(call string) error {
		switch call {
		case "VirtualLock":
			if locks++; locks == 4 {
				return windows.ERROR_WORKING_SET_QUOTA
			}
		case "VirtualUnlock":
			unlocks++
		}
		return nil
	}
	intercept.Store(&refusal)
	err = r.o.lockPages(0, pages*page)
	intercept.Store(nil)
	wantErr(t, err, windows.ERROR_WORKING_SET_QUOTA, "working set")
	if unlocks < pages {
		t.Errorf("%d calls of VirtualUnlock: what was locked stays so", unlocks)
	}

	for i, mode := range []Mode{ReadOnly, ReadWrite, ReadOnly} {
		if err := r.Protect(mode); err != nil {
			t.Fatal(err)
		}
		raw := r.Bytes()
		for p := range pages {
			at := p*page + i
			err := Guard(func() error { raw[at] = 'x'; return nil })
			if mode == ReadWrite && err != nil || mode == ReadOnly && !errors.Is(err, ErrReadOnly) {
				t.Fatalf("%v, a store to view %d: %v", mode, p, err)
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Error(err)
	}
}

func TestPopulatePrefetchesAndTouchesEveryView(t *testing.T) {
	const pages = 20
	r, _ := manyViews(t, Config{}, pages)
	var err error
	calls := callsOf(func() { err = r.Populate(0, ToEnd) })
	if n := callCount(calls, "PrefetchVirtualMemory"); err != nil || n < pages || !slices.Contains(calls, "ReadFile") {
		t.Errorf("%v, calls %q", err, calls)
	}
	// That the prefetch is refused is no failure.
	refusing("PrefetchVirtualMemory", 1, windows.ERROR_INVALID_PARAMETER, func() { err = r.Populate(0, ToEnd) })
	if err != nil {
		t.Error(err)
	}
	// What cannot be had is an error: here a page that was taken away.
	page := os.Getpagesize()
	if err := protect(r.Addr()+uintptr(7*page), uintptr(page), windows.PAGE_NOACCESS); err != nil {
		t.Fatal(err)
	}
	err = r.Populate(0, ToEnd)
	var f *FaultError
	if !errors.As(err, &f) || f.Offset != 7*page {
		t.Errorf("a page without access: %v", err)
	}
	c := Config{Populate: true, Mode: ReadWrite}
	r, err = c.Open(tempFile(t, quiet(3*page)))
	need(t, r, err)
	if !bytes.Equal(r.Bytes(), quiet(3*page)) {
		t.Error("other bytes")
	}
}

func TestConfigLock(t *testing.T) {
	page := os.Getpagesize()
	c := Config{Lock: true, Mode: ReadWrite}
	var r *Region
	var err error
	name := tempFile(t, quiet(3*page))
	calls := callsOf(func() { r, err = c.Open(name) })
	need(t, r, err)
	if callCount(calls, "VirtualLock") != 1 {
		t.Errorf("calls %q", calls)
	}
	refusing("VirtualLock", 1, windows.ERROR_WORKING_SET_QUOTA, func() { _, err = c.Open(name) })
	wantErr(t, err, windows.ERROR_WORKING_SET_QUOTA, name, "minimum working set", "SetProcessWorkingSetSizeEx", "bytes are asked for")
}

func TestExecIsAskedOfTheFileAndOfThePages(t *testing.T) {
	page := os.Getpagesize()
	protectionAt := func(addr uintptr) uint32 {
		var info windows.MemoryBasicInformation
		if err := windows.VirtualQuery(addr, &info, 48); err != nil {
			t.Fatal(err)
		}
		return info.Protect
	}
	name := tempFile(t, quiet(page))
	for _, tt := range []struct {
		c    Config
		want uint32
	}{
		{Config{Mode: ReadOnly}, windows.PAGE_READONLY},
		{Config{Mode: ReadWrite}, windows.PAGE_READWRITE},
		{Config{Mode: ReadOnly, Exec: true}, windows.PAGE_EXECUTE_READ},
		{Config{Mode: ReadWrite, Exec: true}, windows.PAGE_EXECUTE_READWRITE},
		{Config{Mode: CopyOnWrite, Exec: true}, windows.PAGE_EXECUTE_WRITECOPY},
	} {
		r, err := tt.c.Open(name)
		need(t, r, err)
		if got := protectionAt(r.Addr()); got != tt.want {
			t.Errorf("%+v: protection %#x, want %#x", tt.c, got, tt.want)
		}
	}
	r, err := Config{Exec: true}.Anonymous(int64(page))
	need(t, r, err)
	if got := protectionAt(r.Addr()); got != windows.PAGE_EXECUTE_READWRITE {
		t.Errorf("memory: protection %#x", got)
	}
}

func TestConsolesAndDisksAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name string
		what []string // one of these is there
	}{
		{"CONIN$", []string{"a device"}},
		{"CONOUT$", []string{"a device"}},
		{`\\.\PhysicalDrive0`, []string{"a disk, or a part of one,", "a device"}},
		{`\\.\C:`, []string{"a disk, or a part of one,", "a device", "a directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(tt.name, ReadOnly)
			if isCode(err, windows.ERROR_FILE_NOT_FOUND, windows.ERROR_PATH_NOT_FOUND, windows.ERROR_ACCESS_DENIED, windows.ERROR_INVALID_HANDLE) {
				t.Skipf("cannot be opened here, so there is nothing to map: %v", err)
			}
			wantErr(t, err, errors.ErrUnsupported, tt.name, "cannot be mapped")
			if err != nil && !slices.ContainsFunc(tt.what, func(w string) bool { return strings.Contains(err.Error(), w) }) {
				t.Errorf("%v: does not say what it is", err)
			}
		})
	}
}

func TestErrorsNameTheLimit(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(page))
	for _, tt := range []struct {
		call  string
		code  syscall.Errno
		words []string
		fails func() error
	}{
		{"VirtualAlloc2", windows.ERROR_NOT_ENOUGH_MEMORY, []string{"address space are left of", "commit limit"}, func() error { _, err := Open(name, ReadOnly); return err }},
		{"CreateFileMapping", windows.ERROR_COMMITMENT_LIMIT, []string{"commit limit is", "are left"}, func() error { _, err := Open(name, CopyOnWrite); return err }},
		{"MapViewOfFile3", windows.ERROR_COMMITMENT_LIMIT, []string{"commit limit is", "are left"}, func() error { _, err := Open(name, CopyOnWrite); return err }},
		{"VirtualAlloc", windows.ERROR_COMMITMENT_LIMIT, []string{"commit limit is", "are left"}, func() error { _, err := Anonymous(int64(page)); return err }},
		{"CreateFileMapping", windows.ERROR_DISK_FULL, nil, func() error { _, err := Create(name+".new", int64(page)); return err }},
	} {
		if tt.call == "VirtualAlloc2" || tt.call == "MapViewOfFile3" {
			if !placeholders() {
				t.Log("left out: " + tt.call + ": " + cannotGrow)
				continue
			}
		}
		// As often as the library makes room and tries again.
		ask := func(call string) error {
			if call == tt.call {
				return tt.code
			}
			return nil
		}
		intercept.Store(&ask)
		err := tt.fails()
		intercept.Store(nil)
		wantErr(t, err, tt.code, tt.words...)
		var pe *fs.PathError
		if !errors.As(err, &pe) || pe.Op != tt.call {
			t.Errorf("%v: no *fs.PathError of %s", err, tt.call)
		}
	}
	if _, err := os.Stat(name + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that could not be made is left: %v", err)
	}
}

func TestATakenAddressIsNamed(t *testing.T) {
	r, err := Anonymous(1 << 17)
	need(t, r, err)
	_, err = Config{Addr: r.Addr()}.Anonymous(1 << 16)
	wantErr(t, err, fs.ErrExist, "at address", "in the same block of")
	if !isCode(err, windows.ERROR_INVALID_ADDRESS) {
		t.Errorf("%v is not ERROR_INVALID_ADDRESS", err)
	}
}

func TestNoHandleIsLeft(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(5*page))
	count := func() int { return countHandles("File") + countHandles("Section") }
	before := count()
	held := open(noCleanup{t}, name, ReadWrite)
	if got := count() - before; got != 1 {
		t.Fatalf("a region has %d handles, want that of its file", got)
	}
	held.Close()
	for i := range rounds(1000) {
		c := Config{Mode: []Mode{ReadOnly, ReadWrite, CopyOnWrite}[i%3]}
		if cannotGrow == "" {
			c.Reserve = int64(20 * page)
		}
		r, err := c.Open(name)
		need(noCleanup{t}, r, err)
		if c.Mode == ReadWrite && i%2 == 0 && cannotGrow == "" {
			if err := errors.Join(r.Resize(int64(5*page)+int64(i)), r.Sync()); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := count() - before; got != 0 {
		t.Errorf("%d handles are left", got)
	}
	if cannotGrow == "" {
		if err := errors.Join(os.Truncate(name, 1), os.Remove(name)); err != nil {
			t.Error(err)
		}
	}
}
