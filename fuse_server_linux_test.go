package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The file system of fuse_linux_test.go by itself: what other tests build on
// happens, and the kernel makes of it what control.go says.

// fuseOpen opens a file of the file system for reading and writing.
func fuseOpen(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// fuseMap maps n bytes of a file, shared and writable.
func fuseMap(t testing.TB, f *os.File, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

// fuseByte loads one byte of mapped memory; ok is false after a fault.
func fuseByte(p *byte) (b byte, ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	return *p, true
}

// fuseOperations has a system call for each operation on file a, which is open
// as f. The call fails if the server fails the operation as often as tries says:
// the kernel looks up again what it knew, and reads again what it read ahead.
var fuseOperations = []struct {
	op, name string
	tries    int
	call     func(path string, f *os.File) error
}{
	{"lookup", "a", 2, func(path string, f *os.File) error { return unix.Access(path, unix.F_OK) }},
	{"open", "a", 1, func(path string, _ *os.File) error {
		f, err := os.Open(path)
		f.Close()
		return err
	}},
	{"getattr", "a", 1, func(path string, f *os.File) error { _, err := f.Stat(); return err }},
	{"setattr", "a", 1, func(path string, f *os.File) error { return f.Truncate(100) }},
	{"read", "a", 2, func(path string, f *os.File) error { _, err := f.ReadAt(make([]byte, 10), 0); return err }},
	{"write", "a", 1, func(path string, f *os.File) error { _, err := f.WriteAt(make([]byte, 10), 0); return err }},
	{"fsync", "a", 1, func(path string, f *os.File) error { return f.Sync() }},
	{"fallocate", "a", 1, func(path string, f *os.File) error { return unix.Fallocate(int(f.Fd()), 0, 0, 1<<16) }},
	{"statfs", "a", 1, func(path string, f *os.File) error { return unix.Fstatfs(int(f.Fd()), new(unix.Statfs_t)) }},
	{"flush", "a", 1, func(path string, f *os.File) error { return f.Close() }},
	{"create", "new", 1, func(path string, _ *os.File) error {
		f, err := os.Create(filepath.Join(filepath.Dir(path), "new"))
		f.Close()
		return err
	}},
	{"unlink", "a", 1, func(path string, f *os.File) error { return os.Remove(path) }},
	{"rename", "a", 1, func(path string, f *os.File) error { return os.Rename(path, path+"2") }},
	{"fsyncdir", ".", 1, func(path string, f *os.File) error {
		d, err := os.Open(filepath.Dir(path))
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	}},
}

func TestFuseServerHoldsCallsUntilTheyAreReleased(t *testing.T) {
	for _, tt := range fuseOperations {
		t.Run(tt.op, func(t *testing.T) {
			fs := newFuse(t)
			path := fs.create("a", 8192, 'a')
			f := fuseOpen(t, path)
			before := fs.count(tt.op, tt.name)
			fs.hold(tt.op, tt.name)
			done := make(chan error, 1)
			go func() { done <- tt.call(path, f) }()
			fs.waitHeld(tt.op, tt.name, 1)
			select {
			case err := <-done:
				t.Fatalf("went on while it was held, with %v", err)
			default:
			}
			fs.release(tt.op, tt.name)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if n := fs.count(tt.op, tt.name) - before; n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestFuseServerFailsAsManyCallsAsAsked(t *testing.T) {
	for _, tt := range fuseOperations {
		t.Run(tt.op, func(t *testing.T) {
			fs := newFuse(t)
			path := fs.create("a", 8192, 'a')
			f := fuseOpen(t, path)
			fs.fail(tt.op, tt.name, unix.EDQUOT, tt.tries)
			if err := tt.call(path, f); !errors.Is(err, unix.EDQUOT) {
				t.Errorf("the call returned %v", err)
			}
			if tt.op == "flush" {
				f = fuseOpen(t, path) // closed all the same
			}
			if err := tt.call(path, f); err != nil {
				t.Errorf("the next call returned %v", err)
			}
		})
	}
	fs := newFuse(t)
	f := fuseOpen(t, fs.create("a", 100, 'a'))
	fs.fail("fsync", "*", unix.EIO, fuseAlways)
	for range 3 {
		if err := f.Sync(); !errors.Is(err, unix.EIO) {
			t.Errorf("fsync returned %v", err)
		}
	}
	fs.heal("fsync", "*")
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
}

func TestFuseServerGivesTwoFilesOneInodeNumber(t *testing.T) {
	fs := newFuse(t)
	var stat [2]unix.Stat_t
	for i, name := range []string{"a", "b"} {
		if err := unix.Stat(fs.create(name, 8192, name[0], 77), &stat[i]); err != nil {
			t.Fatal(err)
		}
	}
	if stat[0].Dev != stat[1].Dev || stat[0].Ino != 77 || stat[1].Ino != 77 {
		t.Errorf("device %d, inode %d and device %d, inode %d", stat[0].Dev, stat[0].Ino, stat[1].Dev, stat[1].Ino)
	}
	for _, size := range []int64{100, 5000} {
		if err := os.Truncate(fs.path("b"), size); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, "sizes set of a", fs.sizes("a"), []int{})
	diff(t, "sizes set of b", fs.sizes("b"), []int{100, 5000})
	if fs.size("a") != 8192 || fs.size("b") != 5000 {
		t.Errorf("a has %d bytes, b %d", fs.size("a"), fs.size("b"))
	}
	diff(t, "bytes of a", fs.bytes("a", 98, 4), []byte("aaaa"))
	diff(t, "bytes of b", fs.bytes("b", 98, 4), []byte("bb\x00\x00"))
}

// The kernel tells of a failed write-back once, and takes the page for written.
func TestFuseServerFailsTheWriteBackOfAMapping(t *testing.T) {
	for _, flags := range [][]string{nil, {"-writeback"}} {
		for _, errno := range []unix.Errno{unix.ENOSPC, unix.EIO, unix.EDQUOT} {
			t.Run(fmt.Sprint(flags, unix.ErrnoName(errno)), func(t *testing.T) {
				var fs *fuseFS
				var b []byte
				// Until the kernel does not begin to write by itself, and the store makes
				// the page dirty once more.
				for writes := 0; writes != 1; writes = fs.count("write", "a") {
					fs = newFuse(t, flags...)
					b = fuseMap(t, fuseOpen(t, fs.create("a", 8192, 'a')), 8192)
					fs.fail("write", "a", errno, 1)
					b[0] = 'A'
					if err := unix.Msync(b, unix.MS_SYNC); err != errno {
						t.Errorf("the first msync returned %v", err)
					}
					if err := unix.Msync(b, unix.MS_SYNC); err != nil {
						t.Errorf("the second msync returned %v", err)
					}
				}
				if got := fs.bytes("a", 0, 1); b[0] != 'A' || got[0] != 'a' {
					t.Errorf("the mapping has %c, the server %c", b[0], got[0])
				}
				b[0] = 'B'
				if err := unix.Msync(b, unix.MS_SYNC); err != nil {
					t.Errorf("msync after a new store returned %v", err)
				}
				if got := fs.bytes("a", 0, 1); got[0] != 'B' || fs.count("fsync", "a") == 0 {
					t.Errorf("the server has %c, and %d calls of fsync", got[0], fs.count("fsync", "a"))
				}
			})
		}
	}
}

func TestFuseServerCanLackStatfsAndFallocate(t *testing.T) {
	fs := newFuse(t)
	f := fuseOpen(t, fs.create("a", 8192, 'a'))
	fs.fail("statfs", "*", unix.ENOSYS, fuseAlways)
	fs.fail("fallocate", "*", unix.ENOSYS, fuseAlways)
	for range 2 {
		if err := unix.Fstatfs(int(f.Fd()), new(unix.Statfs_t)); err != unix.ENOSYS {
			t.Errorf("fstatfs returned %v", err)
		}
		if err := unix.Fallocate(int(f.Fd()), 0, 0, 1<<16); err != unix.EOPNOTSUPP {
			t.Errorf("fallocate returned %v", err)
		}
	}
	if n := fs.count("fallocate", "a"); n != 1 || fs.size("a") != 8192 {
		t.Errorf("%d calls of fallocate, %d bytes", n, fs.size("a"))
	}
}

func TestFuseServerChangesAFileAsAnotherMachineWould(t *testing.T) {
	page := os.Getpagesize()
	for _, valid := range []string{"0s", "1h"} {
		t.Run(valid, func(t *testing.T) {
			fs := newFuse(t, "-valid", valid)
			f := fuseOpen(t, fs.create("a", page, 'a'))
			b := fuseMap(t, f, 3*page)
			stat := func(want int) {
				t.Helper()
				if fi, err := f.Stat(); err != nil || fi.Size() != int64(want) {
					t.Errorf("the kernel has %d bytes, %v, want %d", fi.Size(), err, want)
				}
			}
			mapped := func(want string) {
				t.Helper()
				got := []byte("---")
				for i := range got {
					if c, ok := fuseByte(&b[i*page]); ok {
						got[i] = c
					}
				}
				if string(got) != want {
					t.Errorf("the mapping has %s, want %s", got, want)
				}
			}
			mapped("a--")
			stat(page)
			fs.fill("a", 0, 2*page, 'b')
			mapped("a--")
			if valid == "1h" {
				stat(page)
				fs.notify("a")
			}
			stat(2 * page)
			mapped("bb-")
			fs.fill("a", 2*page, page, 'c')
			fs.push("a", 2*page, page)
			mapped("bbc")
			stat(3 * page)
			fs.truncate("a", page)
			fs.notify("a")
			stat(page)
			mapped("b--")
		})
	}
}

func TestFuseServerHoldsAPageFaultAndNothingElse(t *testing.T) {
	// The fault keeps its P, and whoever would stop the world.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fs := newFuse(t)
	b := fuseMap(t, fuseOpen(t, fs.create("a", 8192, 'a')), 8192)
	fs.hold("read", "a")
	got := make(chan byte, 1)
	go func() { got <- b[0] }()
	fs.waitHeld("read", "a", 1)
	if _, err := os.ReadFile(fs.create("b", 100, 'b')); err != nil { // another goroutine, another file
		t.Error(err)
	}
	select {
	case c := <-got:
		t.Errorf("read %c while the fault was held", c)
	default:
	}
	fs.release("read", "a")
	if c := <-got; c != 'a' {
		t.Errorf("read %c", c)
	}
}

func TestFuseServerCountsAndDelaysCalls(t *testing.T) {
	fs := newFuse(t)
	path := fs.create("a", 100, 'a')
	fs.delay("flush", "a", 30*time.Millisecond)
	fs.calls()
	start := time.Now()
	for range 2 {
		if err := fuseOpen(t, path).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d < 60*time.Millisecond {
		t.Errorf("two delayed calls took %v", d)
	}
	fs.waitCount("release", "a", 2) // close(2) does not wait for it
	calls := fs.calls()
	if i := slices.Index(calls, "open:a"); i < 0 || slices.Index(calls, "flush:a") < i {
		t.Errorf("calls %v", calls)
	}
}

func TestFuseServerKnowsAFileByItsLastName(t *testing.T) {
	fs := newFuse(t)
	path := fs.create("a", 100, 'a')
	f := fuseOpen(t, path)
	if err := errors.Join(os.Rename(path, fs.path("b")), os.Remove(fs.path("b"))); err != nil {
		t.Fatal(err)
	}
	fs.create("a", 7, '7')
	if err := f.Truncate(50); err != nil || fs.size("a") != 7 || fs.size("b") != 50 {
		t.Errorf("%v, and a has %d bytes, b %d", err, fs.size("a"), fs.size("b"))
	}
	if list, err := os.ReadDir(fs.dir); err != nil || len(list) != 1 || list[0].Name() != "a" {
		t.Errorf("the directory has %v, %v", list, err)
	}
}

func TestFuseServerWritesDirtyPagesAtAnOpenUnlessItKeepsThem(t *testing.T) {
	for _, keep := range []bool{false, true} {
		var flags []string
		if keep {
			flags = []string{"-keep"}
		}
		fs := newFuse(t, flags...)
		// The kernel may write a page back at another time, for reasons of its own.
		const rounds = 20
		kept := 0
		for i := range rounds {
			file := fmt.Sprint(i)
			path := fs.create(file, 8192, 'a')
			b := fuseMap(t, fuseOpen(t, path), 8192)
			b[0] = 'A'
			fuseOpen(t, path)
			if fs.count("write", file) == 0 {
				kept++
			}
		}
		if keep && kept == 0 || !keep && kept > rounds/2 {
			t.Errorf("keep is %v: at %d of %d opens the dirty page was not written", keep, kept, rounds)
		}
	}
}

func TestFuseServerRefusesWhatItDoesNotKnow(t *testing.T) {
	fs := newFuse(t, "-patience", "1ms")
	fs.create("a", 100, 'a')
	for command, want := range map[string]string{
		"paint a":                "no command",
		"hold fsnyc a":           "no operation",
		"fail read a ENOCOFFEE":  "no error",
		"size b":                 "no file",
		"size":                   "too few",
		"size a a":               "too many",
		"fill a 0 x 1":           "no number",
		"make a 1 1":             "is there",
		"fill a 0 0xfffffffff 1": "too large",
		"held fsync a 1":         "0 of fsync a are held after 1ms, want 1",
		"await fsync a 2":        "0 of fsync a have arrived",
	} {
		if _, err := fs.ask(command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

func TestFuseServerUnmountsAtTheEnd(t *testing.T) {
	var dir string
	synced := make(chan error, 1)
	t.Run("held", func(t *testing.T) {
		fs := newFuse(t)
		dir = fs.dir
		f, err := os.OpenFile(fs.create("a", 100, 'a'), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		fs.command("hold", "fsync", "a") // and nothing but the end releases it
		go func() {
			defer f.Close()
			synced <- f.Sync()
		}()
		fs.waitHeld("fsync", "a", 1)
	})
	if dir == "" {
		t.Skip("nothing was mounted")
	}
	if err := <-synced; err != nil {
		t.Logf("fsync returned %v", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("still mounted, or %v", err)
	}
}

var _ = registerChild("fuse, a call that nobody releases", func(t testing.TB, args []string) {
	fs := newFuse(t, "-limit", "200ms")
	path := fs.create("a", 100, 'a')
	fs.hold("open", "a")
	if f, err := os.Open(path); err == nil {
		f.Close()
		t.Log("opened")
	}
	<-fs.ended
	t.(*childTB).exit(0)
})

func TestFuseServerEndsByItself(t *testing.T) {
	newFuse(t)
	r := &recorder{TB: t}
	runChild(r, "fuse, a call that nobody releases")
	if !strings.Contains(r.failed, "limit of 200ms") {
		t.Errorf("the child failed with %q", r.failed)
	}
}
