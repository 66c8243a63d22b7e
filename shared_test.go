package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

var sharedNames atomic.Int32

// newSharedName returns a name of shared memory, and where that is. What is there is
// removed at the end of the test.
func newSharedName(t testing.TB) (name, path string) {
	t.Helper()
	needMappings(t)
	folder, err := sharedFolder()
	if err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("mmap-test-%d-%d", os.Getpid(), sharedNames.Add(1))
	path = filepath.Join(folder, name)
	t.Cleanup(func() {
		letGo(t, path)
		os.RemoveAll(path)
	})
	return name, path
}

func shared(t testing.TB, name string, size int64) *Region {
	t.Helper()
	r, err := Shared(name, size)
	return need(t, r, err)
}

func TestSharedIsTheSameMemoryForAllWhoSayTheName(t *testing.T) {
	name, path := newSharedName(t)
	a := shared(t, name, 100)
	if a.Len() != 100 || a.Mode() != ReadWrite || a.Name() != path || a.Offset() != 0 {
		t.Errorf("%v", a)
	}
	for i := range 100 {
		if x, err := Get[byte](a, i); err != nil || x != 0 {
			t.Fatalf("byte %d of new memory is %d, %v", i, x, err)
		}
	}
	if err := Put(a, 92, uint64(900)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		size int64
		len  int
	}{{100, 100}, {0, 100}, {10, 100}, {5000, 5000}, {100, 5000}, {0, 5000}} {
		b := shared(t, name, tt.size)
		if b.Len() != tt.len {
			t.Errorf("Shared with %d bytes: %v, want %d bytes", tt.size, b, tt.len)
		}
		if x, err := Get[uint64](b, 92); err != nil || x != 900 {
			t.Errorf("the other region has %d, %v", x, err)
		}
		if err := errors.Join(Put(b, 0, int64(tt.size)+1), b.Sync()); err != nil {
			t.Error(err)
		}
		if x, err := Get[int64](a, 0); err != nil || x != tt.size+1 {
			t.Errorf("what the other has stored is %d here, %v", x, err)
		}
	}
	if a.Len() != 100 {
		t.Errorf("another's Shared changed %v", a)
	}
}

func TestSharedMemoryGrowsInPlace(t *testing.T) {
	name, _ := newSharedName(t)
	c := Config{Reserve: 1 << 20}
	a, err := c.Shared(name, 100)
	need(t, a, err)
	b, err := c.Shared(name, 0)
	need(t, b, err)
	if err := errors.Join(a.Resize(10_000), b.Refresh()); err != nil {
		t.Fatal(err)
	}
	if a.Len() != 10_000 || b.Len() != 10_000 || b.Cap() != 1<<20 {
		t.Errorf("%v grew, and the other is %v", a, b)
	}
	if err := Put(a, 9_000, int32(900)); err != nil {
		t.Fatal(err)
	}
	if x, err := Get[int32](b, 9_000); x != 900 || err != nil {
		t.Errorf("the other has %d, %v", x, err)
	}
	part, err := Config{Offset: 9_000, Length: 4}.Shared(name, 0)
	need(t, part, err)
	if x, err := Get[int32](part, 0); x != 900 || err != nil {
		t.Errorf("a part has %d, %v", x, err)
	}
	for _, c := range []Config{{Perm: 0o644}, {Mode: CopyOnWrite}, {HugePages: HugePages2M}} {
		r, err := c.Shared(name, 0)
		wantSentence(t, err, errors.ErrUnsupported, name)
		r.Close()
	}
}

func TestSharedOfNoBytesIsAnEmptyRegion(t *testing.T) {
	name, path := newSharedName(t)
	r := shared(t, name, 0)
	if st, err := os.Stat(path); err != nil || st.Size() != 0 || r.Len() != 0 || r.Bytes() == nil {
		t.Errorf("%v, %v, %v", r, st, err)
	}
}

func TestANameOfSharedMemoryIsOneElementOfAPath(t *testing.T) {
	needMappings(t)
	bad := []string{"", ".", "..", "/", "a/b", "/a", "a/", "../a", "./a", "a\x00b", "\x00"}
	if runtime.GOOS == "windows" {
		bad = append(bad, `a\b`, `\a`, "a:b", "c:", "NUL", "CON", "com1", "a.", "a ", ".. ", "...")
	}
	for _, name := range bad {
		r, err := Shared(name, 10)
		wantSentence(t, err, os.ErrInvalid, strconv.Quote(name), "one element of a path")
		if r != nil {
			t.Errorf("%q: a region beside the error", name)
		}
		wantSentence(t, RemoveShared(name), os.ErrInvalid, strconv.Quote(name), "one element of a path")
	}
	name, _ := newSharedName(t)
	for _, good := range []string{name, name + " with spaces", name + ".x.y", "." + name, name + "-ü"} {
		r, err := Shared(good, 10)
		need(t, r, err).Close()
		if err := RemoveShared(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestSharedRefusesSizesThatCannotBe(t *testing.T) {
	name, path := newSharedName(t)
	for _, size := range []int64{-1, int64(ToEnd), -1 << 63, maxSpace + 1} {
		r, err := Shared(name, size)
		wantSentence(t, err, ErrRange, name)
		if r != nil {
			t.Error("a region beside the error")
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("size %d left a file: %v", size, err)
		}
	}
}

func TestRemoveSharedRemovesTheNameOnly(t *testing.T) {
	name, path := newSharedName(t)
	wantErr(t, RemoveShared(name), fs.ErrNotExist, path)
	old := shared(t, name, 8)
	if err := Put(old, 0, uint64(900)); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		old.Close()
	}
	if err := RemoveShared(name); err != nil {
		t.Fatal(err)
	}
	wantErr(t, RemoveShared(name), fs.ErrNotExist, path)
	fresh := shared(t, name, 8)
	if x, err := Get[uint64](fresh, 0); err != nil || x != 0 {
		t.Errorf("the new memory has %d, %v", x, err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("the rest: Windows removes no name of a file that is mapped")
	}
	if x, err := Get[uint64](old, 0); err != nil || x != 900 {
		t.Errorf("the old memory has %d, %v", x, err)
	}
}

// What others may have put in the place of a name, and how it looks afterwards.
func TestSharedLeavesWhatIsNotItsOwn(t *testing.T) {
	for what, tt := range map[string]struct {
		make func(path, elsewhere string) error
		word string
	}{
		"a directory":     {func(path, elsewhere string) error { return os.Mkdir(path, 0o700) }, "a directory"},
		"a symbolic link": {func(path, elsewhere string) error { return os.Symlink(elsewhere, path) }, "a symbolic link"},
		"a dangling link": {func(path, elsewhere string) error { return os.Symlink(elsewhere+"-not-there", path) }, "a symbolic link"},
		"a hard link":     {func(path, elsewhere string) error { return os.Link(elsewhere, path) }, "2 names"},
	} {
		t.Run(what, func(t *testing.T) {
			name, path := newSharedName(t)
			elsewhere := path + "-elsewhere"
			t.Cleanup(func() { os.Remove(elsewhere) })
			if err := os.WriteFile(elsewhere, pattern(10), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(path, elsewhere); err != nil {
				t.Skipf("cannot make %s: %v", what, err)
			}
			before, err := os.Lstat(path)
			if err != nil && runtime.GOOS == "windows" {
				t.Skipf("Wine makes %s that cannot be looked at: %v", what, err)
			} else if err != nil {
				t.Fatal(err)
			}
			r, err := Shared(name, 100)
			wantSentence(t, err, fs.ErrPermission, path, tt.word)
			if r != nil {
				t.Error("a region beside the error")
			}
			after, err := os.Lstat(path)
			if err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() || !os.SameFile(before, after) {
				t.Errorf("it was %v, and is %v, %v", before, after, err)
			}
			if string(contents(t, elsewhere)) != string(pattern(10)) {
				t.Error("a file elsewhere has changed")
			}
			if _, err := os.Lstat(elsewhere + "-not-there"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a file elsewhere was made")
			}
			if what == "a directory" {
				if err := RemoveShared(name); err == nil {
					t.Error("RemoveShared has removed a directory")
				}
			} else if err := RemoveShared(name); err != nil || string(contents(t, elsewhere)) != string(pattern(10)) {
				t.Errorf("RemoveShared of %s: %v", what, err)
			}
		})
	}
}

// Whoever shares while others remove gets memory that works, under one name or the next.
func TestSharedWhileOthersRemove(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no name of a file that is mapped")
	}
	name, _ := newSharedName(t)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range rounds(200) {
				r, err := Shared(name, int64(8*(i+1)))
				if err != nil {
					t.Error(err)
					return
				}
				if x, err := Get[uint64](r, 8*i); err != nil || x != 0 && x != uint64(i+1) {
					t.Errorf("slot %d has %d, %v", i, x, err)
				}
				if err := Put(r, 8*i, uint64(i+1)); err != nil {
					t.Error(err)
				}
				r.Close()
				if err := RemoveShared(name); i%2 == 0 && err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

const sharers = 8

var childShares = registerChild("one of those who share", func(t testing.TB, args []string) {
	slot, _ := strconv.Atoi(args[1])
	n, _ := strconv.Atoi(args[2])
	for i := range n {
		r, err := Shared(args[0]+"-"+itoa(i), int64(8*(slot+1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := Put(r, 8*slot, uint64(slot+1)); err != nil {
			t.Error(err)
		}
		r.Close()
		r, err = Shared(args[0]+"-removed", int64(8*(slot+1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := Put(r, 8*slot, uint64(slot+1)); err != nil {
			t.Error(err)
		}
		r.Close()
		if runtime.GOOS != "windows" {
			if err := RemoveShared(args[0] + "-removed"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	}
})

func TestProcessesThatShareAtOnceHaveTheSameMemory(t *testing.T) {
	name, path := newSharedName(t)
	n := max(rounds(200), 20)
	t.Cleanup(func() {
		os.Remove(path + "-removed")
		for i := range n {
			os.Remove(path + "-" + itoa(i))
		}
	})
	var all sync.WaitGroup
	for slot := range sharers {
		cmd := childCommand(t, childShares, name, itoa(slot), itoa(n))
		cmd.Env = append(cmd.Env, "TMPDIR="+os.TempDir(), "TMP="+os.TempDir())
		all.Go(func() { endChild(t, cmd) })
	}
	all.Wait()
	for i := range n {
		r := shared(t, name+"-"+itoa(i), 0)
		if r.Len() != 8*sharers {
			t.Fatalf("%v, want %d bytes", r, 8*sharers)
		}
		for slot := range sharers {
			if x, err := Get[uint64](r, 8*slot); err != nil || x != uint64(slot+1) {
				t.Fatalf("memory %d: slot %d has %d, %v", i, slot, x, err)
			}
		}
		r.Close()
	}
}
