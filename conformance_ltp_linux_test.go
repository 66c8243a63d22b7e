package mmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var _ = ltp.also(
	conformance{test: "mmap04", checks: "/proc/self/maps shows the rights that were asked for", ask: rightsInMaps},
	conformance{test: "mmap04", checks: "so it does for mappings that can be stored to and not loaded from", cannot: "no Mode is without loads"},
	conformance{test: "mmap12", checks: "a mapping that is populated has every page present, and the zeros of a sparse file", ask: populatedPages},
	conformance{test: "mmap14", checks: "a mapping that is locked counts as locked memory, all of it", ask: func(t *testing.T) {
		size := 8 * os.Getpagesize()
		before := lockedBytes(t)
		r, err := Config{Lock: true}.Anonymous(int64(size))
		needLock(t, err)
		need(t, r, err)
		if got := lockedBytes(t) - before; got != size {
			t.Errorf("%d bytes are locked, want %d", got, size)
		}
	}},
	conformance{test: "mmap19", checks: "two files that change places in the address space have their own bytes there", ask: swappedAddresses},
	conformance{test: "mmap20", checks: "a flag that the system does not know is refused", ask: func(t *testing.T) {
		needLinuxWays(t, "MAP_SHARED_VALIDATE")
		name := tempFile(t, pattern(1024))
		const unknown = 1 << 25
		for _, flags := range []int{unknown | unix.MAP_SHARED_VALIDATE, unknown} {
			r, err := Config{Mode: ReadWrite, Flags: flags}.Open(name)
			wantErr(t, err, unix.EOPNOTSUPP, name)
			if wantErr(t, err, errors.ErrUnsupported); r != nil {
				t.Errorf("there is %v", r)
			}
		}
	}},
	conformance{test: "msync04", checks: "a page that was stored to is not dirty any more after a synchronization", ask: cleanAfterSync},
	conformance{test: "madvise01", checks: "every advice is taken for the memory that it is for", ask: takenAdvice},
	conformance{test: "madvise01", checks: "so is advice on fork(2) of all memory, and on broken hardware", cannot: "Go does not fork without exec, and no user of memory means to break it"},
	conformance{test: "madvise02", checks: "advice that is not for this memory is refused", ask: refusedAdvice},
	conformance{test: "madvise03", checks: "private memory that is not needed reads as zero afterwards", ask: func(t *testing.T) {
		needLinuxWays(t, "advice that loses bytes")
		r := anonymousRegion(t, int64(2*os.Getpagesize()))
		b := r.Bytes()
		copy(b, bytes.Repeat([]byte{1}, len(b)))
		if err := r.Advise(0, ToEnd, DontNeed); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Error("not all bytes are zero")
		}
	}},
	conformance{test: "madvise08", checks: "memory is left out of core dumps, and put back (by the flag that the dump goes by)", ask: func(t *testing.T) {
		adviceByFlag(t, DontDump, DoDump, "dd")
	}},
	conformance{test: "madvise10", checks: "memory is wiped on fork and kept again, and no bytes of it do nothing (by the flag that fork goes by)", ask: func(t *testing.T) {
		adviceByFlag(t, WipeOnFork, KeepOnFork, "wf")
	}},
	conformance{test: "madvise10", checks: "a child, and its child, find zeros", cannot: "Go does not fork without exec, after which no child has the memory"},
	conformance{test: "mincore02", checks: "of a file whose pages are locked, all are in memory", ask: func(t *testing.T) {
		const pages = 16
		r, err := Config{Sparse: true}.Create(t.TempDir()+"/sparse", int64(pages*os.Getpagesize()))
		need(t, r, err)
		wantResident(t, r, pages, 0)
		err = r.Lock(0, ToEnd)
		needLock(t, err)
		if err != nil {
			t.Fatal(err)
		}
		wantResident(t, r, pages, pages)
	}},
	conformance{test: "mincore03", checks: "of memory that nobody touched no page is in memory, of locked memory all are", ask: func(t *testing.T) {
		const pages = 16
		r := anonymousRegion(t, int64(pages*os.Getpagesize()))
		wantResident(t, r, pages, 0)
		err := r.Lock(0, ToEnd)
		needLock(t, err)
		if err != nil {
			t.Fatal(err)
		}
		wantResident(t, r, pages, pages)
	}},
	conformance{test: "mlock02", checks: "nobody locks more than the limit allows, and nothing if that is 0", ask: func(t *testing.T) { runChild(t, childLocker) }},
	conformance{test: "mlock05", checks: "locked memory is in memory and locked, all of it", ask: func(t *testing.T) {
		size := 16 * os.Getpagesize()
		r := anonymousRegion(t, int64(size))
		err := r.Lock(0, ToEnd)
		needLock(t, err)
		if err != nil {
			t.Fatal(err)
		}
		if rss, locked := smapsOf(t, r.Addr(), "Rss"), smapsOf(t, r.Addr(), "Locked"); rss != size || locked != size {
			t.Errorf("%d bytes are in memory and %d are locked, want %d", rss, locked, size)
		}
	}},
	conformance{test: "mlock201", checks: "a lock is for all pages that hold a byte of the range, and brings them in", ask: lockedPages},
	conformance{test: "mlock201", checks: "pages are locked when they are first touched", cannot: "Lock returns when the pages are there (MLOCK_ONFAULT is not offered)"},
	conformance{test: "mlock203", checks: "so it does if the first lock is for pages when they are touched", cannot: "Lock returns when the pages are there (MLOCK_ONFAULT is not offered)"},
	conformance{test: "mlock203", checks: "memory that is locked twice counts once", ask: func(t *testing.T) {
		page := os.Getpagesize()
		r := anonymousRegion(t, int64(page))
		before := lockedBytes(t)
		for range 2 {
			err := r.Lock(0, ToEnd)
			needLock(t, err)
			if got := lockedBytes(t) - before; err != nil || got != page {
				t.Errorf("%d bytes are locked, want %d; %v", got, page, err)
			}
		}
	}},
)

// needLock skips what needs more locked memory than the limit allows.
func needLock(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAGAIN) {
		t.Skipf("RLIMIT_MEMLOCK does not allow it: %v", err)
	}
}

// smapsOf returns a field of /proc/self/smaps for the mapping at addr, in bytes.
func smapsOf(t testing.TB, addr uintptr, field string) int {
	t.Helper()
	v, _ := vmaAt(t, addr)
	if kib, ok := v.kib[field]; ok {
		return kib << 10
	}
	t.Skipf("this system does not say %s of a mapping", field)
	return 0
}

func rightsInMaps(t *testing.T) {
	page := int64(os.Getpagesize())
	name := tempFile(t, pattern(100))
	ofFile := func(c Config) func() (*Region, error) { return func() (*Region, error) { return c.Open(name) } }
	memory := func(c Config) func() (*Region, error) {
		return func() (*Region, error) { return c.Anonymous(page) }
	}
	for _, tt := range []struct {
		what string
		make func() (*Region, error)
		want string
		then string // after Protect(ReadOnly)
	}{
		{"read-only", ofFile(Config{}), "r--s", "r--s"},
		{"shared", ofFile(Config{Mode: ReadWrite}), "rw-s", "r--s"},
		{"private", ofFile(Config{Mode: CopyOnWrite}), "rw-p", "r--p"},
		{"read-only executable", ofFile(Config{Exec: true}), "r-xs", "r-xs"},
		{"shared executable", ofFile(Config{Mode: ReadWrite, Exec: true}), "rwxs", "r-xs"},
		{"private executable", ofFile(Config{Mode: CopyOnWrite, Exec: true}), "rwxp", "r-xp"},
		{"memory", memory(Config{}), "rw-p", "r--p"},
		{"shared memory", memory(Config{Flags: unix.MAP_SHARED}), "rw-s", "r--s"},
		{"executable memory", memory(Config{Exec: true}), "rwxp", "r-xp"},
		{"shared executable memory", memory(Config{Flags: unix.MAP_SHARED, Exec: true}), "rwxs", "r-xs"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r, err := tt.make()
			if strings.Contains(tt.what, "executable") && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
				t.Skipf("nothing may be executable here: %v", err)
			}
			need(t, r, err)
			if got := mapsAt(t, r.Addr()); got != tt.want {
				t.Errorf("the rights are %q, want %q", got, tt.want)
			}
			if err := r.Protect(ReadOnly); err != nil {
				t.Fatal(err)
			}
			if got := mapsAt(t, r.Addr()); got != tt.then {
				t.Errorf("made read-only, the rights are %q, want %q", got, tt.then)
			}
			r.Close()
			if got := mapsAt(t, r.Addr()); got != tombstone {
				t.Errorf("closed, the rights are %q, want %q", got, tombstone)
			}
		})
	}
	for flags, want := range map[int]string{0: "---p", unix.MAP_SHARED: "---s"} {
		r, err := Config{Reserve: 2 * page, Flags: flags}.Anonymous(page)
		need(t, r, err)
		if got := mapsAt(t, r.Addr()+uintptr(page)); got != want {
			t.Errorf("what is reserved has the rights %q, want %q", got, want)
		}
	}
}

func populatedPages(t *testing.T) {
	const size = 1 << 20
	pages := size / os.Getpagesize()
	name := tempFile(t, nil)
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Skipf("cannot look at the process's pages: %v", err)
	}
	defer pagemap.Close()
	present := func(r *Region) (n int) {
		entries := make([]byte, 8*pages)
		if _, err := pagemap.ReadAt(entries, 8*int64(r.Addr()/uintptr(os.Getpagesize()))); err != nil {
			t.Skipf("cannot look at the process's pages: %v", err)
		}
		for i := range pages {
			if binary.NativeEndian.Uint64(entries[8*i:])>>63 == 1 {
				n++
			}
		}
		return n
	}
	bare := open(t, name, CopyOnWrite)
	if n := present(bare); n != 0 {
		t.Errorf("%d pages are present of a mapping that is not populated", n)
	}
	if sinkByte = bare.Bytes()[0]; present(bare) == 0 {
		t.Skip("/proc/self/pagemap does not tell of this process's pages")
	}
	r, err := Config{Mode: CopyOnWrite, Populate: true}.Open(name)
	if need(t, r, err); present(r) != pages {
		t.Errorf("%d of %d pages are present", present(r), pages)
	}
	if !bytes.Equal(r.Bytes(), make([]byte, size)) {
		t.Error("there are other bytes than zeros")
	}
}

// swappedAddresses needs two addresses that nothing else takes in between, which it
// can only try: they are in the middle of what was free just now.
func swappedAddresses(t *testing.T) {
	page := uintptr(os.Getpagesize())
	first, second := tempFile(t, []byte("testing 123")), tempFile(t, []byte("my test mem"))
	mapped := func(name string, addr uintptr) *Region {
		t.Helper()
		r, err := Config{Addr: addr}.Open(name)
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		if need(noCleanup{t}, r, err); r.Addr() != addr {
			t.Errorf("mapped at %#x, want %#x", r.Addr(), addr)
		}
		wantBytesOf(t, r, string(contents(t, name)))
		return r
	}
	both := func(one, two string, at uintptr) bool {
		a, b := mapped(one, at), mapped(two, at+32*page)
		for _, r := range []*Region{a, b} {
			if r != nil && r.Close() != nil {
				t.Errorf("%v does not close", r)
			}
		}
		return a != nil && b != nil
	}
	for range 5 {
		p, err := unix.MmapPtr(-1, 0, nil, 64*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.MunmapPtr(p, 64*page); err != nil {
			t.Fatal(err)
		}
		at := uintptr(p) + 8*page
		if !both(first, second, at) {
			continue
		}
		collectAll(t) // a closed region has its address until nothing reaches it
		if both(second, first, at) {
			return
		}
	}
	t.Skip("something else takes the addresses each time")
}

func cleanAfterSync(t *testing.T) {
	name := tempFile(t, bytes.Repeat([]byte("A"), 10))
	var fs unix.Statfs_t
	if err := unix.Statfs(name, &fs); err != nil {
		t.Fatal(err)
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		t.Skipf("pages of a file system of type %#x may stay dirty: it needs ext4, xfs or btrfs", fs.Type)
	}
	r := open(t, name, ReadWrite)
	dirty := func() int {
		return smapsOf(t, r.Addr(), "Private_Dirty") + smapsOf(t, r.Addr(), "Shared_Dirty")
	}
	if err := storeTo(r.Bytes(), 8, 'B'); err != nil {
		t.Fatal(err)
	}
	if dirty() == 0 {
		t.Skip("the system has written the page by itself, or does not say that it is dirty")
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := dirty(); n != 0 {
		t.Errorf("%d bytes are dirty after Sync", n)
	}
	if got := contents(t, name); string(got) != "AAAAAAAABA" {
		t.Errorf("the file has %q", got)
	}
}

// takenAdvice compares with what the system says to mappings of the same kind.
func takenAdvice(t *testing.T) {
	needLinuxWays(t, "all advice")
	size := 10 * os.Getpagesize()
	for advice, number := range map[Advice]int{
		Normal: unix.MADV_NORMAL, Random: unix.MADV_RANDOM, Sequential: unix.MADV_SEQUENTIAL,
		WillNeed: unix.MADV_WILLNEED, DontNeed: unix.MADV_DONTNEED, Remove: unix.MADV_REMOVE,
		Mergeable: unix.MADV_MERGEABLE, Unmergeable: unix.MADV_UNMERGEABLE,
		HugePage: unix.MADV_HUGEPAGE, NoHugePage: unix.MADV_NOHUGEPAGE,
		DontDump: unix.MADV_DONTDUMP, DoDump: unix.MADV_DODUMP, Free: unix.MADV_FREE,
		WipeOnFork: unix.MADV_WIPEONFORK, KeepOnFork: unix.MADV_KEEPONFORK,
		Cold: unix.MADV_COLD, PageOut: unix.MADV_PAGEOUT,
	} {
		f := openFileAs(t, tempFile(t, pattern(size)), os.O_RDWR)
		file, err := Map(f, ReadWrite)
		need(t, file, err)
		for _, tt := range []struct {
			r         *Region
			fd, flags int
		}{{file, int(f.Fd()), unix.MAP_SHARED}, {anonymousRegion(t, int64(size)), -1, unix.MAP_PRIVATE | unix.MAP_ANON}} {
			own, err := unix.Mmap(tt.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, tt.flags)
			if err != nil {
				t.Fatal(err)
			}
			want := unix.Madvise(own, number)
			if err := unix.Munmap(own); err != nil {
				t.Error(err)
			}
			err = tt.r.Advise(0, ToEnd, advice)
			if (err == nil) != (want == nil) || err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%v of %v: %v, and the system itself says %v", advice, tt.r, err, want)
			}
		}
	}
}

func refusedAdvice(t *testing.T) {
	needLinuxWays(t, "such advice")
	size := 16 * os.Getpagesize()
	name := tempFile(t, pattern(size))
	shared, private := open(t, name, ReadOnly), open(t, name, CopyOnWrite)
	memory, err := Config{Flags: unix.MAP_SHARED}.Anonymous(int64(size))
	need(t, memory, err)
	for _, tt := range []struct {
		what   string
		r      *Region
		advice Advice
		want   error
	}{
		{"a read-only file", shared, Remove, ErrReadOnly},
		{"a file", shared, Free, errors.ErrUnsupported},
		{"a shared file", shared, WipeOnFork, errors.ErrUnsupported},
		{"a private file", private, WipeOnFork, errors.ErrUnsupported},
		{"shared memory", memory, WipeOnFork, errors.ErrUnsupported},
	} {
		t.Run(tt.advice.String()+" of "+tt.what, func(t *testing.T) {
			wantErr(t, tt.r.Advise(0, ToEnd, tt.advice), tt.want, tt.advice.String())
		})
	}
	t.Run("DontNeed of locked pages", func(t *testing.T) {
		err := shared.Lock(0, ToEnd)
		needLock(t, err)
		wantErr(t, errors.Join(err, shared.Advise(0, ToEnd, DontNeed)), unix.EINVAL, "DontNeed")
	})
	t.Run("Mergeable without KSM", func(t *testing.T) {
		if _, err := os.Stat("/sys/kernel/mm/ksm"); err == nil {
			t.Skip("this kernel has KSM")
		}
		wantErr(t, memory.Advise(0, ToEnd, Mergeable), errors.ErrUnsupported, "Mergeable")
		wantErr(t, memory.Advise(0, ToEnd, Unmergeable), errors.ErrUnsupported, "Unmergeable")
	})
}

// adviceByFlag gives advice for two pages of four, takes it back, and looks at the
// kernel's flag each time.
func adviceByFlag(t *testing.T, set, clear Advice, flag string) {
	needLinuxWays(t, "such advice")
	page := os.Getpagesize()
	r := anonymousRegion(t, int64(4*page))
	for _, tt := range []struct {
		advice  Advice
		n       int
		flagged bool
	}{{set, 0, false}, {set, 2 * page, true}, {clear, 0, true}, {clear, 2 * page, false}} {
		if err := r.Advise(page, tt.n, tt.advice); err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{false, tt.flagged, tt.flagged, false} {
			if got := hasFlag(t, r.Addr()+uintptr(i*page), flag); got != want {
				t.Errorf("%v for %d bytes: page %d has the flag %s: %v", tt.advice, tt.n, i, flag, got)
			}
		}
	}
}

func wantResident(t *testing.T, r *Region, pages, want int) {
	t.Helper()
	in, err := r.Resident(0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, is := range in {
		if is {
			got++
		}
	}
	if len(in) != pages || got != want {
		t.Errorf("%d of %d pages are in memory, want %d of %d", got, len(in), want, pages)
	}
}

func lockedPages(t *testing.T) {
	const pages = 8
	page := os.Getpagesize()
	for _, tt := range []struct{ n, want int }{
		{page, 1}, {pages * page, pages}, {2*page + 1, 3}, {2*page - 1, 2},
	} {
		r, err := Config{Flags: unix.MAP_SHARED}.Anonymous(int64(pages * page))
		need(t, r, err)
		before := lockedBytes(t)
		err = r.Lock(0, tt.n)
		needLock(t, err)
		if got := lockedBytes(t) - before; err != nil || got != tt.want*page {
			t.Errorf("%d bytes of %d are locked by a lock of %d, want %d pages; %v", got, pages*page, tt.n, tt.want, err)
		}
		wantResident(t, r, pages, tt.want)
		r.Close()
	}
}

var childLocker = registerChild("one that locks under a limit", func(t testing.TB, args []string) {
	page := os.Getpagesize()
	limit := func(n int) {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: uint64(n), Max: uint64(page)}); err != nil {
			t.Skipf("cannot limit locked memory: %v", err)
		}
	}
	limit(page)
	if os.Getuid() == 0 { // whom the limit does not bind
		if err := syscall.Setuid(65534); err != nil {
			t.Skipf("cannot be anybody else: %v", err)
		}
	}
	r := anonymousRegion(t, int64(page))
	for _, tt := range []struct {
		limit int
		want  error
	}{{page, nil}, {page - 1, unix.ENOMEM}, {0, unix.EPERM}} {
		limit(tt.limit)
		err := r.Lock(0, ToEnd)
		if !errors.Is(err, tt.want) {
			t.Errorf("with a limit of %d bytes: %v, want %v", tt.limit, err, tt.want)
		}
		if tt.want != nil {
			wantErr(t, err, tt.want, "RLIMIT_MEMLOCK")
		}
		if err := r.Unlock(0, ToEnd); err != nil {
			t.Error(err)
		}
	}
})
