package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What the Linux Test Project checks of memory files, and what else needs Linux.

var _ = ltp.also(
	conformance{test: "memfd_create01", checks: "a file sealed against shrinking can be read, stored to and grown, and does not shrink", ask: func(t *testing.T) {
		sealedFile{t, SealShrink}.can(true, false, true)
	}},
	conformance{test: "memfd_create01", checks: "a file sealed against growing can be read, stored to and shrunk, and does not grow", ask: func(t *testing.T) {
		sealedFile{t, SealGrow}.can(true, true, false)
	}},
	conformance{test: "memfd_create01", checks: "a file sealed against writing can be read, shrunk and grown, and not stored to", ask: func(t *testing.T) {
		sealedFile{t, SealWrite}.can(false, true, true)
	}},
	conformance{test: "memfd_create01", checks: "a shared writable mapping prevents a seal against writing and no other; a private one prevents none", ask: func(t *testing.T) {
		f := newMemFile(t, memFileSize)
		r, err := Map(f, ReadWrite)
		need(t, r, err)
		wantErr(t, Seal(f, SealWrite), unix.EBUSY, f.Name())
		wantSeals(t, f, 0)
		if err := Seal(f, SealShrink); err != nil {
			t.Error(err)
		}
		wantSeals(t, f, SealShrink)
		r.Close()
		r, err = Map(f, CopyOnWrite)
		need(t, r, err)
		if err := Seal(f, SealWrite); err != nil {
			t.Error(err)
		}
		wantSeals(t, f, SealShrink|SealWrite)
	}},
)

const memFileSize = 8192

func wantSeals(t *testing.T, f *os.File, want Seals) {
	t.Helper()
	// A file that cannot be executed has a seal for that, which SealsOf leaves out.
	if got, err := SealsOf(f); got != want || err != nil {
		t.Errorf("the seals are %v, want %v; %v", got, want, err)
	}
}

// A sealedFile is a test of a memory file that has one seal.
type sealedFile struct {
	*testing.T
	seal Seals
}

func (s sealedFile) can(store, shrink, grow bool) {
	s.Helper()
	f := newMemFile(s, memFileSize)
	wantSeals(s.T, f, 0)
	if err := Seal(f, s.seal); err != nil {
		s.Fatal(err)
	}
	wantSeals(s.T, f, s.seal)
	expect := func(what string, err error, can bool) {
		s.Helper()
		if (err == nil) != can || err != nil && !errors.Is(err, fs.ErrPermission) {
			s.Errorf("%s: %v, want it possible: %v", what, err, can)
		}
	}

	private, err := Map(f, CopyOnWrite) // which every kernel allows
	need(s, private, err)
	x, err := Get[int64](private, 0)
	if expect("a load", err, true); x != 0 {
		s.Errorf("the file begins with %d", x)
	}
	_, err = f.WriteAt([]byte{1}, 0)
	expect("a write", err, store)
	r, err := Config{Mode: ReadWrite, Reserve: 2 * memFileSize}.Map(f)
	if expect("a writable mapping", err, store); err != nil {
		expect("to shrink", f.Truncate(memFileSize/2), shrink)
		expect("to grow", f.Truncate(2*memFileSize), grow)
		_, err = f.WriteAt([]byte{1}, 2*memFileSize)
		expect("to grow by a write", err, false)
		return
	}
	need(s, r, err)
	expect("a store", Put(r, 8, int64(1)), true)
	sizes := func(file, region int) {
		s.Helper()
		if fi, err := f.Stat(); err != nil || fi.Size() != int64(file) || r.Len() != region {
			s.Errorf("the file has %d bytes, the region %d, want %d and %d; %v", fi.Size(), r.Len(), file, region, err)
		}
	}
	for _, tt := range []struct {
		what string
		size int
		can  bool
	}{{"to grow", 2 * memFileSize, grow}, {"to shrink", memFileSize / 2, shrink}} {
		was := r.Len()
		if expect(tt.what, r.Resize(int64(tt.size)), tt.can); tt.can {
			was = tt.size
		}
		sizes(was, was)
	}
	was, size := r.Len(), r.Len()
	_, err = f.WriteAt([]byte{1}, int64(size))
	if expect("to grow by a write", err, grow); grow {
		size++
	}
	sizes(size, was)
}

var _ = openPOSIX.also(
	conformance{test: "mmap_24-1", checks: "mappings without end are refused when the address space is full", ask: func(t *testing.T) { runChild(t, childFiller) }},
)

// childFiller finds out how many mappings of a shared memory object fit into the
// address space. Once they are closed and collected, nearly as many do: something
// else may take the place of one.
var childFiller = registerChild("one that fills its address space", func(t testing.TB, args []string) {
	size := int64(1) << min(43, bitsOfInt-4)
	most := mappingsThatFit(t, size)
	for ; most < 3; size >>= 4 {
		most = mappingsThatFit(t, size>>4)
	}
	if most == endless {
		t.Skipf("the address space is larger than %d times %d bytes", most, size)
	}
	collectTill(t, func() bool { return mappingsThatFit(t, size) >= most-1 })
})

const endless = 64

// mappingsThatFit maps size bytes until no room is left, at most endless times.
func mappingsThatFit(t testing.TB, size int64) int {
	t.Helper()
	f := newMemFile(t, size)
	var all []*Region
	for len(all) < endless {
		r, err := Map(f, ReadWrite)
		if err != nil {
			if wantErr(t, err, unix.ENOMEM, fmt.Sprintf("%d bytes", size)); r != nil {
				t.Errorf("there is %v", r)
			}
			break
		}
		all = append(all, r)
	}
	for i, r := range all {
		if err := Put(r, 8*i, int64(i+1)); err != nil {
			t.Error(err)
		}
	}
	for i, r := range all {
		last := len(all) - 1
		if x, err := Get[int64](r, 8*last); x != int64(last+1) || errors.Join(err, r.Close()) != nil {
			t.Errorf("mapping %d has %d, want %d; %v", i, x, last+1, err)
		}
	}
	return len(all)
}

var _ = cpython.also(
	conformance{test: "access_parameter", checks: "flags that contradict the access are refused", ask: func(t *testing.T) {
		name := tempFile(t, pattern(10))
		for _, c := range []Config{{Mode: ReadWrite, Flags: unix.MAP_PRIVATE}, {Mode: CopyOnWrite, Flags: unix.MAP_SHARED}} {
			r, err := c.Open(name)
			if wantErr(t, err, errors.ErrUnsupported, name, "use Mode"); r != nil {
				t.Errorf("there is %v", r)
			}
		}
	}},
)
