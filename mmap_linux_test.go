package mmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A vma is what /proc/self/smaps says of the mapping that holds an address.
type vma struct {
	start, end uintptr
	perms      string
	kib        map[string]int // Rss, Locked and so on; those that the system tells
	flags      string         // VmFlags
}

// vmaAt returns the mapping at an address; ok is false if there is none.
func vmaAt(t testing.TB, addr uintptr) (v vma, ok bool) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("cannot look at the process's mappings: %v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var x vma
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x %s", &x.start, &x.end, &x.perms); n == 3 {
			if ok {
				return v, true
			}
			if ok = x.start <= addr && addr < x.end; ok {
				v, v.kib = x, make(map[string]int)
			}
		}
		if !ok {
			continue
		}
		field, value, _ := strings.Cut(s.Text(), ":")
		var kib int
		if _, err := fmt.Sscanf(value, "%d kB", &kib); err == nil {
			v.kib[field] = kib
		}
		if field == "VmFlags" {
			v.flags = value
		}
	}
	return v, ok
}

func TestAddrIsExactOrAnError(t *testing.T) {
	page := uintptr(os.Getpagesize())
	data := pattern(5*int(page) - 480)
	name := tempFile(t, data)
	// Find free address space: where a mapping was and is no more.
	p, err := unix.MmapPtr(-1, 0, nil, 64*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.MunmapPtr(p, 64*page); err != nil {
		t.Fatal(err)
	}
	free := uintptr(p)

	r, err := Config{Addr: free + 8*page}.Open(name)
	need(t, r, err)
	if r.Addr() != free+8*page || !bytes.Equal(r.Bytes(), data) {
		t.Errorf("mapped at %#x, want %#x", r.Addr(), free+8*page)
	}
	w, err := Config{Addr: free + 32*page + 5, Offset: int64(page) + 5, Mode: ReadWrite}.Open(name)
	need(t, w, err)
	if w.Addr() != free+32*page+5 || !bytes.Equal(w.Bytes(), data[page+5:]) {
		t.Errorf("mapped at %#x, want %#x", w.Addr(), free+32*page+5)
	}

	// Taken: the first page, the last page, the middle, by file and by memory.
	for _, addr := range []uintptr{r.Addr(), r.Addr() + page, r.Addr() - page} {
		for _, try := range []func() (*Region, error){
			func() (*Region, error) { return Config{Addr: addr}.Open(name) },
			func() (*Region, error) { return Config{Addr: addr}.Anonymous(2 * int64(page)) },
		} {
			x, err := try()
			if x != nil || !errors.Is(err, fs.ErrExist) {
				t.Errorf("mapped over %v at %#x: %v, %v", r, addr, x, err)
			}
		}
	}
	if !bytes.Equal(r.Bytes(), data) {
		t.Error("the region that was there has other bytes now")
	}
	_, err = Config{Addr: free + 1}.Open(name)
	wantErr(t, err, ErrAlignment, name)
	_, err = Config{Addr: free + 48*page, Offset: 1}.Open(name)
	wantErr(t, err, ErrAlignment, name)
	for _, c := range []Config{{Addr: 5, Offset: 5}, {Addr: 5, Offset: 5, Mode: ReadWrite}} {
		_, err = c.Open(name)
		wantErr(t, err, ErrRange, "nil", name)
	}
	for _, flag := range []int{unix.MAP_FIXED, unix.MAP_FIXED_NOREPLACE} {
		if !linuxWays && flag != unix.MAP_FIXED {
			continue // a flag of Linux alone
		}
		_, err = Config{Flags: flag}.Open(name)
		wantErr(t, err, errors.ErrUnsupported, "use Addr", name)
	}
}

func TestFlagsMustNotContradictTheMode(t *testing.T) {
	needLinuxWays(t, "the flags of Linux")
	name := tempFile(t, pattern(4096))
	for _, tt := range []struct {
		mode  Mode
		flags int
		word  string
	}{
		{ReadWrite, unix.MAP_PRIVATE, "use Mode"},
		{CopyOnWrite, unix.MAP_SHARED, "use Mode"},
		{CopyOnWrite, unix.MAP_SHARED_VALIDATE, "use Mode"},
		{CopyOnWrite, unix.MAP_ANONYMOUS, "use Anonymous"},
		{ReadOnly, unix.MAP_ANONYMOUS, "use Anonymous"},
	} {
		_, err := Config{Mode: tt.mode, Flags: tt.flags}.Open(name)
		wantErr(t, err, errors.ErrUnsupported, tt.word, name)
	}
	if _, err := (Config{Flags: unix.MAP_PRIVATE}.Create(name, 10)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Create: %v", err)
	}
	if !bytes.Equal(contents(t, name), pattern(4096)) {
		t.Error("the file has other bytes now")
	}
	r, err := Config{Flags: unix.MAP_PRIVATE}.Open(name)
	need(t, r, err)
	if err := r.Protect(ReadWrite); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a private mapping became ReadWrite: %v", err)
	}
	if err := r.Protect(CopyOnWrite); err != nil {
		t.Error(err)
	}
}

func TestProtAndFlagsReachTheKernel(t *testing.T) {
	needLinuxWays(t, "flags that the system checks")
	name := tempFile(t, pattern(4096))
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Mode: ReadOnly}, "r--s"},
		{Config{Mode: ReadWrite}, "rw-s"},
		{Config{Mode: CopyOnWrite}, "rw-p"},
		{Config{Mode: ReadOnly, Exec: true}, "r-xs"},
		{Config{Mode: ReadWrite, Exec: true}, "rwxs"},
		{Config{Mode: ReadOnly, Flags: unix.MAP_PRIVATE}, "r--p"},
	} {
		r, err := tt.c.Open(name)
		need(t, r, err)
		if v, ok := vmaAt(t, r.Addr()); !ok || v.perms != tt.want {
			t.Errorf("%+v: the kernel says %q, want %q", tt.c, v.perms, tt.want)
		}
		if err := r.Protect(ReadOnly); err != nil {
			t.Error(err)
		}
		want := "r-" + tt.want[2:]
		if v, _ := vmaAt(t, r.Addr()); v.perms != want {
			t.Errorf("%+v protected: the kernel says %q, want %q", tt.c, v.perms, want)
		}
	}
	x, err := Config{Exec: true}.Anonymous(4096)
	need(t, x, err)
	if v, _ := vmaAt(t, x.Addr()); v.perms != "rwxp" {
		t.Errorf("executable memory: the kernel says %q", v.perms)
	}
	r, err := Config{Flags: unix.MAP_SHARED}.Anonymous(4096)
	need(t, r, err)
	if v, _ := vmaAt(t, r.Addr()); v.perms != "rw-s" {
		t.Errorf("shared memory: the kernel says %q", v.perms)
	}
	r, err = Config{Flags: unix.MAP_NORESERVE}.Anonymous(4096)
	need(t, r, err)
	if v, _ := vmaAt(t, r.Addr()); !strings.Contains(v.flags, " nr") {
		t.Errorf("MAP_NORESERVE: the kernel's flags are %q", v.flags)
	}
	const unknown = 1 << 24
	_, err = Config{Mode: ReadWrite, Flags: unknown}.Open(name)
	wantErr(t, err, unix.EOPNOTSUPP, name)
}

func TestPopulateBringsPagesIn(t *testing.T) {
	const size = 16 << 20 // several times the most that the kernel maps at one fault
	page := os.Getpagesize()
	resident := func(r *Region) int {
		v, _ := vmaAt(t, r.Addr())
		return v.kib["Rss"]
	}
	name := tempFile(t, pattern(size))
	for what, make := range map[string]func(c Config) (*Region, error){
		"file": func(c Config) (*Region, error) { return c.Open(name) },
		"memory": func(c Config) (*Region, error) {
			c.Flags = unix.MAP_SHARED // or the kernel merges it with its neighbours
			return c.Anonymous(size)
		},
	} {
		r, err := make(Config{Populate: true})
		need(t, r, err)
		if got := resident(r); got < size/1024 {
			t.Errorf("%s: %d KiB are in memory after Config.Populate, want %d", what, got, size/1024)
		}
		r, err = make(Config{})
		need(t, r, err)
		if got := resident(r); got != 0 {
			t.Errorf("%s: %d KiB are in memory before Populate", what, got)
		}
		if err := r.Populate(5*page+1, page); err != nil {
			t.Error(err)
		}
		if got, want := resident(r), 2*page/1024; got < want || got > size/1024/2 {
			t.Errorf("%s: %d KiB are in memory after Populate of two pages, want %d and little more", what, got, want)
		}
	}
}

func TestLockLocksPages(t *testing.T) {
	page := int64(os.Getpagesize())
	r, err := Config{Lock: true, Reserve: 16 * page}.Anonymous(2 * page)
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		t.Skipf("RLIMIT_MEMLOCK does not allow two pages: %v", err)
	}
	need(t, r, err)
	if v, _ := vmaAt(t, r.Addr()); !strings.Contains(v.flags, " lo") {
		t.Errorf("the kernel's flags are %q, not locked", v.flags)
	}
	if err := r.Resize(8 * page); errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN) {
		t.Skipf("RLIMIT_MEMLOCK does not allow eight pages: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if v, _ := vmaAt(t, r.Addr()+uintptr(8*page-1)); !strings.Contains(v.flags, " lo") {
		t.Errorf("what was grown into is not locked: %q", v.flags)
	}
}

func TestTransparentHugePagesAreAdvised(t *testing.T) {
	needLinuxWays(t, "advice on huge pages")
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skipf("this kernel has none: %v", err)
	}
	r, err := Config{HugePages: TransparentHugePages}.Anonymous(4 << 20)
	need(t, r, err)
	check := func(off uintptr) {
		t.Helper()
		if v, _ := vmaAt(t, r.Addr()+off); !strings.Contains(v.flags, " hg") {
			t.Errorf("the kernel's flags are %q", v.flags)
		}
	}
	check(0)
	if err := errors.Join(r.Resize(4096), r.Resize(4<<20)); err != nil {
		t.Fatal(err)
	}
	check(2 << 20)
}

// hugePool makes sure that the system has n free huge pages of 2 MiB.
func hugePool(t *testing.T, n int) {
	const knob = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	old, err := os.ReadFile(knob)
	if err != nil {
		t.Skipf("this kernel has no huge pages of 2 MiB: %v", err)
	}
	if err := os.WriteFile(knob, []byte(fmt.Sprint(n)), 0); err != nil {
		t.Skipf("the pool of huge pages needs root: %v", err)
	}
	t.Cleanup(func() { os.WriteFile(knob, old, 0) })
	now, _ := os.ReadFile(knob)
	if strings.TrimSpace(string(now)) != fmt.Sprint(n) {
		t.Skipf("the system has %s huge pages to give, not %d", bytes.TrimSpace(now), n)
	}
}

func TestHugePagesAreUsedWhole(t *testing.T) {
	needLinuxWays(t, "a pool of huge pages")
	hugePool(t, 4)
	const huge = 2 << 20
	r, err := Config{HugePages: HugePages2M, Reserve: 3 * huge}.Anonymous(100)
	need(t, r, err)
	if r.Len() != 100 || r.Addr()%huge != 0 {
		t.Errorf("%v at %#x", r, r.Addr())
	}
	if err := Put(r, 92, int64(5)); err != nil {
		t.Fatal(err)
	}
	if v, _ := vmaAt(t, r.Addr()); !strings.Contains(v.flags, " ht") {
		t.Errorf("the kernel's flags are %q", v.flags)
	}
	if err := r.Resize(2*huge + 5); err != nil {
		t.Fatal(err)
	}
	if got, err := Get[int64](r, 92); got != 5 || err != nil {
		t.Errorf("after growth: %d, %v", got, err)
	}
	if err := Put(r, 2*huge, uint8(1)); err != nil {
		t.Error(err)
	}
	if err := r.Resize(50); err != nil {
		t.Fatal(err)
	}
	if err := r.Resize(huge); err != nil {
		t.Fatal(err)
	}
	if got, err := Get[int64](r, 92); got != 0 || err != nil {
		t.Errorf("shrunk and grown: %d, %v; want 0", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := (Config{HugePages: HugePages2M}).Anonymous(1 << 30); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("512 huge pages of 4: %v", err)
	}
}

func TestDevices(t *testing.T) {
	zero, err := Config{Length: 131072, Mode: CopyOnWrite}.Open("/dev/zero")
	need(t, zero, err)
	if zero.Len() != 131072 || !bytes.Equal(zero.Bytes(), make([]byte, 131072)) {
		t.Errorf("%v is not 131072 zeros", zero)
	}
	far, err := Config{Length: 131072, Offset: 917504}.Open("/dev/zero")
	need(t, far, err)
	if !bytes.Equal(far.Bytes(), make([]byte, 131072)) {
		t.Errorf("%v is not 131072 zeros", far)
	}
	// At offset 0: Linux gives a shared mapping of /dev/zero memory for the
	// first Length bytes only.
	shared, err := Config{Length: 8192, Mode: ReadWrite}.Open("/dev/zero")
	need(t, shared, err)
	if err := Put(shared, 4095, uint16(0x1234)); err != nil {
		t.Error(err)
	}
	wantErr(t, shared.Resize(4096), errors.ErrUnsupported, "/dev/zero")
	if err := shared.Refresh(); err != nil || shared.Len() != 8192 {
		t.Errorf("Refresh of a device: %v, Len %d", err, shared.Len())
	}
	_, err = Open("/dev/zero", ReadOnly)
	wantErr(t, err, ErrRange, "/dev/zero", "Length")
	_, err = Config{Length: 4096, Reserve: 8192}.Open("/dev/zero")
	wantErr(t, err, errors.ErrUnsupported, "/dev/zero", "8192")
	_, err = Config{Length: 4096}.Open("/dev/null")
	wantErr(t, err, unix.ENODEV, "/dev/null")
}

func TestPipesAndSocketsAreTheSystemsErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no named pipes in %s: %v", dir, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Skipf("no unix sockets: %v", err)
	}
	defer l.Close()
	for what, open := range map[string]func(c Config) (*Region, error){
		"named pipe": func(c Config) (*Region, error) { return c.Open(fifo) },
		"pipe":       func(c Config) (*Region, error) { return c.Map(r) },
		"socket":     func(c Config) (*Region, error) { return c.Open(filepath.Join(dir, "socket")) },
		"directory":  func(c Config) (*Region, error) { return c.Open(dir) },
	} {
		for _, length := range []int64{0, 4096} {
			_, err := open(Config{Length: length})
			var pe *fs.PathError
			if !errors.As(err, &pe) {
				t.Errorf("%s, Length %d: %v, want an *fs.PathError", what, length, err)
			}
		}
	}
}

func TestCreateAllocatesDiskBlocksUnlessSparse(t *testing.T) {
	blocks := func(name string) int64 {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Blocks) * 512
	}
	dir := t.TempDir()
	const size = 1 << 20
	r, err := Create(filepath.Join(dir, "dense"), size)
	need(t, r, err)
	if got := blocks(filepath.Join(dir, "dense")); got < size {
		t.Errorf("Create allocated %d of %d bytes", got, size)
	}
	s, err := Config{Sparse: true, Reserve: 3 * size}.Create(filepath.Join(dir, "sparse"), size)
	need(t, s, err)
	if got := blocks(filepath.Join(dir, "sparse")); got > size/2 {
		t.Errorf("Sparse allocated %d of %d bytes", got, size)
	}
	if err := s.Resize(2 * size); err != nil {
		t.Fatal(err)
	}
	if got := blocks(filepath.Join(dir, "sparse")); got > size/2 || s.Len() != 2*size {
		t.Errorf("Resize of a sparse file: %d bytes allocated, Len %d", got, s.Len())
	}
}

// TestGrowthWhereTheFileSystemHasNoFallocate needs a file system without: ramfs
// is one, and tells that its pages exist.
func TestGrowthWhereTheFileSystemHasNoFallocate(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "ramfs", 0, ""); err != nil {
		t.Skipf("mounting a ramfs needs root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	name := filepath.Join(dir, "f")
	r, err := Config{Reserve: 1 << 20}.Create(name, 10000)
	need(t, r, err)
	if err := r.o.file.owned.allocate(0, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("this ramfs has fallocate: %v", err)
	}
	if v, _ := vmaAt(t, r.Addr()); v.kib["Rss"] < 8 {
		t.Errorf("%d KiB of the file are in memory: Create did not make its pages", v.kib["Rss"])
	}
	if err := Put(r, 9999, uint8(7)); err != nil {
		t.Error(err)
	}
	if err := r.Resize(500000); err != nil {
		t.Fatal(err)
	}
	if v, _ := vmaAt(t, r.Addr()); v.kib["Rss"] < 480 {
		t.Errorf("%d KiB of the file are in memory: Resize did not make its pages", v.kib["Rss"])
	}
	want := make([]byte, 500000)
	want[9999] = 7
	if !bytes.Equal(contents(t, name), want) {
		t.Error("the file is not what was stored")
	}
	r.Close()
}

// TestHugetlbfsFilesHavePagesOfTheirOwn is about a file whose pages are not the
// system's.
func TestHugetlbfsFilesHavePagesOfTheirOwn(t *testing.T) {
	needLinuxWays(t, "pages of several sizes")
	hugePool(t, 4)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "hugetlbfs", 0, "pagesize=2M"); err != nil {
		t.Skipf("mounting a hugetlbfs needs root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	const huge = 2 << 20
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(2 * huge); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Mode: ReadWrite, Offset: huge - 4, Length: 8}.Map(f)
	need(t, r, err)
	if err := Put(r, 0, uint64(0x0102030405060708)); err != nil {
		t.Fatal(err)
	}
	whole, err := Map(f, ReadOnly)
	need(t, whole, err)
	if got, err := Get[uint64](whole, huge-4); got != 0x0102030405060708 || err != nil {
		t.Errorf("read %#x, %v", got, err)
	}
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
	r.Close()
	whole.Close()
}
