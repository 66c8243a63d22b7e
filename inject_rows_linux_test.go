//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Failures that need a look of their own: what Close does where nothing can be
// mapped, in which order Protect does what it does, the pool of huge pages, and
// what an error says of the limit that stood in the way.

// always refuses calls as long as fn runs.
func always(errnos map[string]unix.Errno, fn func()) *injection {
	return inject(refusal{}, errnos, fn)
}

func TestCloseWhereNothingCanBeMapped(t *testing.T) { runChild(t, childCloseRefused) }

var childCloseRefused = registerChild("that closes where nothing can be mapped", func(t testing.TB, args []string) {
	const size = 4 << 20
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, pattern(size), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() (*Region, error){
		"memory":              func() (*Region, error) { return Anonymous(size) },
		"memory with Reserve": func() (*Region, error) { return Config{Reserve: 2 * size}.Anonymous(size) },
		"locked memory":       func() (*Region, error) { return Config{Lock: true}.Anonymous(size) },
		"a copy on write":     func() (*Region, error) { return Open(name, CopyOnWrite) },
		"a file":              func() (*Region, error) { return Open(name, ReadWrite) },
		"a file that writes back when its mapping goes": func() (r *Region, err error) {
			always(map[string]unix.Errno{"fstatfs": unix.ENOSYS}, func() { r, err = Open(name, ReadWrite) })
			return r, err
		},
	} {
		r, err := open()
		if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EPERM) {
			t.Logf("%s is left out: %v", what, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b := r.Bytes()
		copy(b, pattern(size))
		before := vmaOf(t, r)
		always(map[string]unix.Errno{"mmap": unix.ENOMEM, "munmap": unix.ENOMEM}, func() { err = r.Close() })
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := accessible(t, r.o.mapping); got != "" {
			t.Errorf("%s can be accessed after Close: %s", what, got)
		}
		if v := vmaOf(t, r); before.kib["Rss"] < size>>10 || v.kib["Rss"] != 0 || strings.Contains(v.flags, " lo") {
			t.Errorf("%s has %d KiB in memory before Close and %d after it, with flags %s", what, before.kib["Rss"], v.kib["Rss"], v.flags)
		}
		err = Guard(func() error { b[size/2]++; return nil })
		wantErr(t, err, ErrClosed, "closed")
	}
	if !bytes.Equal(contents(t, name), pattern(size)) {
		t.Error("the file has other bytes")
	}
})

func vmaOf(t testing.TB, r *Region) vma {
	v, ok := vmaAt(t, r.Addr())
	if !ok {
		t.Errorf("nothing is mapped at %#x", r.Addr())
	}
	return v
}

// TestCloseWhereMprotectIsRefused is about a file whose mapping goes later: it is
// buried at once if its access cannot be taken otherwise.
func TestCloseWhereMprotectIsRefused(t *testing.T) {
	r := open(t, tempFile(t, pattern(100)), ReadWrite)
	r.o.lingers = true
	b := r.Bytes()
	var err error
	always(map[string]unix.Errno{"mprotect": unix.ENOMEM}, func() { err = r.Close() })
	if err != nil {
		t.Error(err)
	}
	wantErr(t, Guard(func() error { b[0]++; return nil }), ErrClosed)
}

// TestProtectSaysWhatThePagesKeep looks at the mode at the moment at which the
// pages change.
func TestProtectSaysWhatThePagesKeep(t *testing.T) {
	for _, errno := range []unix.Errno{0, unix.ENOMEM} {
		r := open(t, tempFile(t, pattern(100)), ReadWrite)
		var during []Mode
		ask := func(call string) error {
			if call == "mprotect" {
				during = append(during, r.Mode())
				if errno != 0 {
					return errno
				}
			}
			return nil
		}
		protect := func(mode Mode) error {
			intercept.Store(&ask)
			defer intercept.Store(nil)
			return r.Protect(mode)
		}
		store := func() error { return Put(r, 0, uint8(1)) }
		if err := protect(ReadOnly); !errors.Is(err, errno) && (err != nil || errno != 0) {
			t.Errorf("Protect: %v, want %v", err, errno)
		}
		if errno != 0 {
			if r.Mode() != ReadWrite || store() != nil {
				t.Errorf("a Protect that failed left %v, and a store is %v", r.Mode(), store())
			}
			if err := r.Protect(ReadOnly); err != nil {
				t.Fatal(err)
			}
		}
		if err := protect(ReadWrite); !errors.Is(err, errno) && (err != nil || errno != 0) {
			t.Errorf("Protect: %v, want %v", err, errno)
		}
		if errno != 0 && (r.Mode() != ReadOnly || !errors.Is(store(), ErrReadOnly)) {
			t.Errorf("a Protect that failed left %v, and a store is %v", r.Mode(), store())
		}
		diff(t, "modes while the pages change", during, []Mode{ReadOnly, ReadOnly})
	}
}

// TestViewsHaveTheModeOfTheMoment looks at views made after Protect.
func TestViewsHaveTheModeOfTheMoment(t *testing.T) {
	name := tempFile(t, pattern(64))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, mapped := range []Mode{ReadOnly, ReadWrite} {
		r, err := Map(f, mapped)
		need(t, r, err)
		for _, mode := range []Mode{ReadOnly, ReadWrite, ReadOnly} {
			if err := r.Protect(mode); err != nil {
				t.Fatal(err)
			}
			v, err := ViewOf[uint32](r, 0, 4)
			if err != nil {
				t.Fatal(err)
			}
			a, err := AtomicOf[uint32](r, 0, 4)
			if err != nil {
				t.Fatal(err)
			}
			for what, stored := range map[string]any{
				"Set":   panicOf(func() { v.Set(1, 5) }),
				"Store": panicOf(func() { a.Store(1, 5) }),
			} {
				if err, _ := stored.(error); errors.Is(err, ErrReadOnly) != (mode == ReadOnly) {
					t.Errorf("%s through a view of a region mapped %v that is %v now: %v", what, mapped, mode, stored)
				}
			}
		}
	}
}

// freeHugePages is what the pool has.
func freeHugePages(t testing.TB) string {
	b, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestAGrowthBeyondThePoolNamesThePool(t *testing.T) {
	hugePool(t, 4)
	const huge = 2 << 20
	for what, lacks := range map[string]map[string]unix.Errno{"": nil, "before Linux 5.14": {"madvise": unix.EINVAL}} {
		always(lacks, func() {
			r, err := Config{HugePages: HugePages2M, Reserve: 16 * huge}.Anonymous(huge)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			defer r.Close()
			if err := Put(r, 100, uint64(7)); err != nil {
				t.Error(err)
			}
			free := freeHugePages(t)
			err = r.Resize(8 * huge)
			wantErr(t, err, ErrIO, "resize anonymous memory", "nr_hugepages", "has 4")
			if now := freeHugePages(t); r.Len() != huge || now != free {
				t.Errorf("%s: a growth that failed left %d bytes, and %s of %s free huge pages", what, r.Len(), now, free)
			}
			if err := r.Resize(3 * huge); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got, err := Get[uint64](r, 100); got != 7 || err != nil {
				t.Errorf("%s: %d, %v", what, got, err)
			}
			if err := r.Resize(1); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if now := freeHugePages(t); now != free {
				t.Errorf("%s: %s free huge pages after a shrink, want %s", what, now, free)
			}

			r, err = Config{HugePages: HugePages2M, Reserve: 16 * huge}.Anonymous(8 * huge)
			if r != nil {
				t.Errorf("%s: more than the pool: %v", what, r)
			}
			wantErr(t, err, ErrIO, "map anonymous memory", "nr_hugepages", "has 4")
			if now := freeHugePages(t); now != free {
				t.Errorf("%s: %s free huge pages after a mapping that failed, want %s", what, now, free)
			}
			_, err = Config{HugePages: HugePages2M}.Anonymous(8 * huge)
			wantErr(t, err, unix.ENOMEM, "anonymous memory", "nr_hugepages", "has 4")
		})
	}
}

func TestPagesThatAreSetAsideAreNotFree(t *testing.T) {
	hugePool(t, 4)
	const huge = 2 << 20
	others, err := Config{HugePages: HugePages2M}.Anonymous(3 * huge)
	need(t, others, err)
	r, err := Config{HugePages: HugePages2M}.Anonymous(2 * huge)
	if r != nil || !strings.Contains(fmt.Sprint(err), "has 4, of which 1 are free") {
		t.Errorf("two pages of one: %v, %v", r, err)
	}
	r, err = Config{HugePages: HugePages2M, Reserve: 16 * huge}.Anonymous(2 * huge)
	if r != nil || !strings.Contains(fmt.Sprint(err), "has 4, of which 0 are free") { // it has got one
		t.Errorf("two pages of one, some reserved: %v, %v", r, err)
	}
	if err := others.Populate(0, ToEnd); err != nil {
		t.Error(err)
	}
}

func TestASizeThatThereIsNoPoolOfIsUnsupported(t *testing.T) {
	always(map[string]unix.Errno{"mmap": unix.EINVAL}, func() {
		_, err := Config{HugePages: HugePages1G}.Anonymous(1)
		wantSentence(t, err, errors.ErrUnsupported, "map anonymous memory", "has no huge pages of 1048576 KiB")
	})
	text := lacksPool(3 << 20)
	dirs, _ := filepath.Glob(poolsDir + "/*")
	for _, dir := range dirs {
		var kib int
		if fmt.Sscanf(filepath.Base(dir), "hugepages-%dkB", &kib); kib == 0 || !strings.Contains(text, fmt.Sprintf(" %d", kib)) {
			t.Errorf("%q does not tell of %d KiB", text, kib)
		}
	}
}

// TestFlagsThatMeanNothingAskTheSystemNothing refuses them before any call.
func TestFlagsThatMeanNothingAskTheSystemNothing(t *testing.T) {
	name := tempFile(t, pattern(4096))
	if mapSync == 0 {
		t.Skip("this processor's kernel has no MAP_SYNC")
	}
	for word, try := range map[string]func() (*Region, error){
		"MAP_SYNC":    func() (*Region, error) { return Config{Flags: mapSync}.Anonymous(4096) },
		"CopyOnWrite": func() (*Region, error) { return Config{Flags: mapSync, Mode: CopyOnWrite}.Create(name, 4096) },
		"MAP_SHARED":  func() (*Region, error) { return Config{Flags: mapSync | unix.MAP_SHARED}.Open(name) },
		"MAP_PRIVATE": func() (*Region, error) { return Config{Flags: mapSync | unix.MAP_PRIVATE}.Open(name) },
		"HugePages":   func() (*Region, error) { return Config{Flags: unix.MAP_HUGETLB}.Anonymous(4096) },
		"size of huge pages": func() (*Region, error) {
			return Config{Flags: 21 << unix.MAP_HUGE_SHIFT, HugePages: HugePages2M}.Anonymous(4096)
		},
		"use Reserve": func() (*Region, error) { return Config{Flags: unix.MAP_GROWSDOWN}.Anonymous(4096) },
	} {
		in := always(nil, func() {
			r, err := try()
			if r != nil {
				t.Errorf("%s: %v", word, r)
			}
			wantErr(t, err, errors.ErrUnsupported, word)
		})
		if len(in.calls) > 0 {
			t.Errorf("%s: the system was asked: %v", word, in.calls)
		}
	}
	if !bytes.Equal(contents(t, name), pattern(4096)) {
		t.Error("the file has other bytes")
	}
}

// TestFlagsThatAFileCannotHaveAreNamed is about flags whose meaning the system finds
// out with the file.
func TestFlagsThatAFileCannotHaveAreNamed(t *testing.T) {
	name := tempFile(t, pattern(4096))
	always(map[string]unix.Errno{"mmap": unix.EOPNOTSUPP}, func() {
		_, err := Config{Flags: 1 << 22, Mode: ReadWrite}.Open(name)
		wantSentence(t, err, errors.ErrUnsupported, "map "+name, "0x400000", "does not know")
		wantErr(t, err, unix.EOPNOTSUPP)
		if mapSync != 0 {
			_, err = Config{Flags: mapSync, Mode: ReadWrite}.Open(name)
			wantSentence(t, err, errors.ErrUnsupported, "map "+name, "MAP_SYNC", "dax")
		}
	})
}

func TestAnErrorNamesTheLimitAndItsValue(t *testing.T) {
	for _, limit := range []string{"RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS"} {
		t.Run(limit, func(t *testing.T) { runChild(t, childLimits, limit) })
	}
}

var childLimits = registerChild("at a limit", func(t testing.TB, args []string) {
	limit := func(which int, n uint64) {
		if err := unix.Setrlimit(which, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			t.Skipf("cannot set %s: %v", args[0], err)
		}
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(name, pattern(100), 0o666), os.Chmod(dir, 0o777), os.Chmod(name, 0o666), os.Chdir(dir)); err != nil {
		t.Fatal(err)
	}
	says := func(err error, errno unix.Errno, call string, value uint64) {
		t.Helper()
		wantErr(t, err, errno, call, fmt.Sprintf("%s is %d", args[0], value))
		var path *fs.PathError
		if !errors.As(err, &path) || path.Op != call {
			t.Errorf("the error is no *fs.PathError of %s: %v", call, err)
		}
	}
	switch args[0] {
	case "RLIMIT_NOFILE":
		const most = 40
		limit(unix.RLIMIT_NOFILE, most)
		var err error
		for n := 0; err == nil && n < most; n++ {
			var r *Region
			if r, err = Open("f", ReadOnly); err == nil {
				defer r.Close()
			}
		}
		says(err, unix.EMFILE, "open", most)
		_, err = Create("g", 10)
		says(err, unix.EMFILE, "open", most)
		if _, err := os.Lstat("g"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Create without a descriptor left a file: %v", err)
		}
	case "RLIMIT_MEMLOCK":
		const most = 1 << 16
		limit(unix.RLIMIT_MEMLOCK, most)
		if os.Getuid() == 0 { // which is not bound by it
			if err := syscall.Setuid(65534); err != nil {
				t.Skipf("cannot be anybody else: %v", err)
			}
		}
		_, err := Config{Lock: true}.Anonymous(1 << 20)
		says(err, unix.ENOMEM, "mlock", most)
		r, err := Config{Lock: true, Reserve: 1 << 20}.Anonymous(10)
		need(t, r, err)
		says(r.Resize(1<<20), unix.ENOMEM, "mlock", most)
		if r.Len() != 10 {
			t.Errorf("a growth that could not be locked left %d bytes", r.Len())
		}
	case "RLIMIT_AS":
		if raceDetector {
			t.Skip("the race detector itself takes more address space")
		}
		most := uint64(processStatus(t, "VmSize"))<<10 + 512<<20
		limit(unix.RLIMIT_AS, most)
		_, err := Anonymous(1 << 30)
		says(err, unix.ENOMEM, "mmap", most)
		if _, err := Open("f", ReadOnly); err != nil {
			t.Errorf("what there is room for: %v", err)
		}
	}
})
