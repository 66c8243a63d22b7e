package growing_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/dgraph-io/ristretto/v2/z"
	"github.com/seed-498deeca/mmap"
	"github.com/seed-498deeca/mmap/ports/growing"
)

// The methods that the two have in common.
type mmapFile interface {
	AllocateSlice(sz, offset int) ([]byte, int, error)
	Slice(offset int) []byte
	Bytes(off, sz int) ([]byte, error)
	NewReader(offset int) io.Reader
	Truncate(maxSz int64) error
	Sync() error
	Delete() error
	Close(maxSz int64) error
}

// A grower is one of the two packages.
type grower struct {
	open      func(name string, flag, size int) (mmapFile, error)
	openUsing func(f *os.File, size int, writable bool) (mmapFile, error)
	data      func(mmapFile) []byte
	ofMemory  func([]byte) mmapFile
	none      mmapFile
	newFile   error
}

var original = grower{
	open:      func(name string, flag, size int) (mmapFile, error) { return z.OpenMmapFile(name, flag, size) },
	openUsing: func(f *os.File, size int, w bool) (mmapFile, error) { return z.OpenMmapFileUsing(f, size, w) },
	data:      func(m mmapFile) []byte { return m.(*z.MmapFile).Data },
	ofMemory:  func(b []byte) mmapFile { return &z.MmapFile{Data: b} },
	none:      (*z.MmapFile)(nil),
	newFile:   z.NewFile,
}

var ported = grower{
	open:      func(name string, flag, size int) (mmapFile, error) { return growing.OpenMmapFile(name, flag, size) },
	openUsing: func(f *os.File, size int, w bool) (mmapFile, error) { return growing.OpenMmapFileUsing(f, size, w) },
	data:      func(m mmapFile) []byte { return m.(*growing.MmapFile).Data },
	ofMemory:  func(b []byte) mmapFile { return &growing.MmapFile{Data: b} },
	none:      (*growing.MmapFile)(nil),
	newFile:   growing.NewFile,
}

// A test has a name for a file, and the package.
type test struct {
	testing.TB
	grower
	name   string
	events []string
	closed bool
}

func newTest(t testing.TB, g grower) *test {
	return &test{TB: t, grower: g, name: filepath.Join(t.TempDir(), "file")}
}

// say notes what happened, for the comparison: of an error, that there is one.
func (t *test) say(what ...any) {
	for i, x := range what {
		switch err, _ := x.(error); {
		case err == nil:
		case err == t.newFile:
			what[i] = "new"
		case err != io.EOF:
			what[i] = "an error"
		}
	}
	t.events = append(t.events, strings.TrimSpace(fmt.Sprintln(what...)))
}

// opened opens the file to be stored to, and closes it at the end.
func (t *test) opened(size int) mmapFile {
	t.Helper()
	m, err := t.open(t.name, os.O_RDWR|os.O_CREATE, size)
	if err != nil && err != t.newFile {
		t.Fatal(err)
	}
	t.say("open:", len(t.data(m)), err, t.size())
	t.Cleanup(func() {
		if !t.closed {
			m.Close(-1)
		}
	})
	t.closed = false
	return m
}

// close closes. The original may be closed once only: another time it unmaps whatever is
// in that place by then.
func (t *test) close(m mmapFile, size int64) error {
	t.closed = true
	return m.Close(size)
}

func (t *test) size() int64 {
	info, err := os.Stat(t.name)
	if err != nil {
		return -1
	}
	return info.Size()
}

// panics says what fn returns, or that it panics.
func panics(fn func() any) (result any) {
	defer func() {
		if recover() != nil {
			result = "panics"
		}
	}()
	return fn()
}

var behaviours = []struct {
	name    string
	do      func(t *test)
	differs string // what the port says, if that is something else
}{
	{"a new file", func(t *test) {
		m := t.opened(5000)
		t.say(t.data(m)[4999], m.Sync(), t.size())
	}, ""},
	{"a file that is there", func(t *test) {
		t.write("what is there")
		m := t.opened(5000)
		t.say(string(t.data(m)))
		copy(t.data(m), "WHAT")
		t.say(t.close(m, -1), t.read())
	}, ""},
	{"read only", func(t *test) {
		t.write("what is there")
		m, err := t.open(t.name, os.O_RDONLY, 5000)
		t.say(string(t.data(m)), err)
		t.say(m.Sync(), m.Truncate(3), t.close(m, -1), t.size())
	}, ""},
	{"a file that cannot be opened", func(t *test) {
		_, err := t.open(filepath.Join(t.name, "x"), os.O_RDWR|os.O_CREATE, 10)
		t.say(err)
		_, err = t.open(t.name, os.O_RDWR, 10)
		t.say(err)
	}, ""},
	{"an empty file without a size", func(t *test) {
		m, err := t.open(t.name, os.O_RDWR|os.O_CREATE, 0)
		t.say(panics(func() any { return m.Sync() != nil }), err)
	}, ""},
	{"an open file", func(t *test) {
		f, err := os.Create(t.name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := t.openUsing(f, 100, true)
		t.say(len(t.data(m)), err, t.close(m, 50), t.size(), f.Close())
	}, ""},
	{"slices", func(t *test) {
		m := t.opened(20)
		offset := 0
		for _, s := range []string{"one", "", "twenty bytes are more", strings.Repeat("many ", 3000)} {
			b, next, err := m.AllocateSlice(len(s), offset)
			t.say(len(b), next, err, copy(b, s), len(t.data(m)), t.size())
			t.say(string(m.Slice(offset)) == s)
			offset = next
		}
		t.say(binary.BigEndian.Uint32(t.data(m)), t.close(m, int64(offset)), t.size())
		m = t.opened(20)
		t.say(string(m.Slice(0)), len(m.Slice(11)))
	}, ""},
	{"small slices", func(t *test) {
		m := t.opened(20)
		for offset := 0; offset < 5000; {
			b, next, err := m.AllocateSlice(1, offset)
			t.say(len(b), next, err, len(t.data(m)))
			offset = next
		}
	}, ""},
	{"a slice far behind the end", func(t *test) {
		m := t.opened(20)
		t.say(panics(func() any { _, next, _ := m.AllocateSlice(5, 1000); return next }), len(t.data(m)))
	}, "[open: 20 new 20 1009 1009]"},
	{"a slice of less than no bytes", func(t *test) {
		m := t.opened(20)
		t.say(panics(func() any { _, _, err := m.AllocateSlice(-3, 0); return err != nil }))
		t.say(panics(func() any { _, _, err := m.AllocateSlice(3, -1); return err != nil }))
		t.say(panics(func() any { _, _, err := m.AllocateSlice(3, math.MaxInt); return err != nil }))
	}, "[open: 20 new 20 true true true]"},
	{"a slice with a length that is nonsense", func(t *test) {
		m := t.opened(20)
		t.say(len(t.data(m)), copy(t.data(m), "\x10\x00\x00\x00\x00\x00\x00\x0d"))
		t.say(m.Slice(0), m.Slice(4), panics(func() any { return m.Slice(17) }), panics(func() any { return m.Slice(100) }), panics(func() any { return m.Slice(-1) }))
	}, ""},
	{"bytes", func(t *test) {
		t.write("0123456789")
		m := t.opened(0)
		for _, c := range [][2]int{{0, 10}, {3, 4}, {3, 0}, {10, 0}, {10, 1}, {3, 8}, {0, math.MaxInt}} {
			b, err := m.Bytes(c[0], c[1])
			t.say(string(b), err)
		}
	}, ""},
	{"bytes that are nowhere", func(t *test) {
		t.write("0123456789")
		m := t.opened(0)
		for _, c := range [][2]int{{11, 0}, {-1, 1}, {5, -1}, {math.MinInt, math.MaxInt}} {
			t.say(panics(func() any { _, err := m.Bytes(c[0], c[1]); return err }))
		}
	}, "[open: 10 <nil> 10 EOF an error an error an error]"},
	{"a reader", func(t *test) {
		t.write("0123456789")
		m := t.opened(0)
		for _, offset := range []int{0, 7, 10, 11} {
			b, err := io.ReadAll(m.NewReader(offset))
			t.say(string(b), err)
		}
		three := make([]byte, 3)
		n, err := io.ReadFull(m.NewReader(8), three)
		t.say(n, err, three)
	}, ""},
	{"truncated to more and less", func(t *test) {
		m := t.opened(20)
		copy(t.data(m), "0123456789")
		for _, size := range []int64{1 << 20, 8, 9, 50_000} {
			t.say(m.Truncate(size), t.size())
			data := t.data(m)
			t.say(len(data), string(data[:8]), data[len(data)-1])
		}
		t.say(m.Truncate(-1), t.size())
	}, ""},
	{"truncated to nothing", func(t *test) {
		m := t.opened(20)
		t.say(m.Truncate(0), t.size(), len(t.data(m)))
	}, "[open: 20 new 20 <nil> 0 0]"},
	{"closed with a size", func(t *test) {
		m := t.opened(5000)
		t.say(t.close(m, 10), t.size())
	}, ""},
	{"deleted", func(t *test) {
		m := t.opened(5000)
		t.say(m.Delete(), t.size(), t.data(m) == nil)
		t.closed = true
	}, ""},
	{"memory of the caller's", func(t *test) {
		m := t.ofMemory(make([]byte, 20))
		b, next, err := m.AllocateSlice(3, 0)
		t.say(copy(b, "abc"), next, err, string(m.Slice(0)))
		all, err := io.ReadAll(m.NewReader(4))
		t.say(len(all), err, m.Delete(), t.close(m, 10))
	}, ""},
	{"nil", func(t *test) { t.say(t.none.Sync()) }, ""},
}

func (t *test) write(s string) {
	t.Helper()
	if err := os.WriteFile(t.name, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (t *test) read() string {
	b, err := os.ReadFile(t.name)
	return fmt.Sprint(string(b), err)
}

func TestBehavesAsTheOriginal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows the original panics, and leaves files open")
	}
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			theirs, ours := newTest(t, original), newTest(t, ported)
			b.do(theirs)
			b.do(ours)
			got, original := fmt.Sprint(ours.events), fmt.Sprint(theirs.events)
			want := b.differs
			if want == "" {
				want = original
			} else if want == original {
				t.Errorf("the original does the same: %s", original)
			}
			if got != want {
				t.Errorf("the port: %s\nwant:     %s\noriginal: %s", got, want, original)
			}
		})
	}
}

func mustOpen(t testing.TB, size int) *growing.MmapFile {
	t.Helper()
	m, err := growing.OpenMmapFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, size)
	if err != growing.NewFile {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(-1) })
	return m
}

// What was allocated first is stored to while the file grows to a thousand times its size.
func TestSlicesStayWhereTheyAreWhenTheFileGrows(t *testing.T) {
	m := mustOpen(t, 4096)
	first, offset, err := m.AllocateSlice(100, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := m.NewReader(4)
	for len(m.Data) < 4<<20 {
		if _, offset, err = m.AllocateSlice(10_000, offset); err != nil {
			t.Fatal(err)
		}
		first[0]++
		if m.Slice(0)[0] != first[0] || &m.Slice(0)[0] != &first[0] {
			t.Fatalf("with %d bytes the first slice is elsewhere", len(m.Data))
		}
	}
	if cap(first) != 100 {
		t.Errorf("the slice has a capacity of %d: append would store to the next", cap(first))
	}
	b, err := io.ReadAll(reader)
	if err != nil || len(b) != 4092 || b[0] != first[0] {
		t.Errorf("the reader from before finds %d bytes, %v", len(b), err)
	}
}

// Beyond the reservation, data moves, and what is left behind shows nothing.
func TestAFileThatOutgrowsItsReservation(t *testing.T) {
	before := growing.Reserve
	growing.Reserve = 1 << 20
	t.Cleanup(func() { growing.Reserve = before })
	m := mustOpen(t, 4096)
	old := m.Data
	old[0] = 7
	if err := m.Truncate(3 << 20); err != nil {
		t.Fatal(err)
	}
	if len(m.Data) != 3<<20 || m.Data[0] != 7 {
		t.Errorf("%d bytes, and %d first", len(m.Data), m.Data[0])
	}
	if err := mmap.Guard(func() error { old[0]++; return nil }); !errors.Is(err, mmap.ErrClosed) {
		t.Errorf("a store to the old slice: %v", err)
	}
	if _, _, err := m.AllocateSlice(1<<20, 3<<20); err != nil || len(m.Data) < 4<<20 {
		t.Errorf("it grows to %d bytes, %v", len(m.Data), err)
	}
}

func TestWhatIsGoneFaults(t *testing.T) {
	m := mustOpen(t, 1<<20)
	all := m.Data
	store := func(i int) error { return mmap.Guard(func() error { all[i] = 1; return nil }) }
	if runtime.GOOS != "windows" {
		if err := m.Truncate(10); err != nil {
			t.Fatal(err)
		}
		if err := store(1<<20 - 1); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("after Truncate: %v", err)
		}
	}
	reader := m.NewReader(0)
	if err := m.Close(-1); err != nil || m.Data != nil {
		t.Fatalf("%v, and %d bytes are left", err, len(m.Data))
	}
	if err := store(0); !errors.Is(err, mmap.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := m.Close(-1); !errors.Is(err, mmap.ErrClosed) { // the original unmaps what is there by now
		t.Errorf("Close again: %v", err)
	}
	if n, err := reader.Read(make([]byte, 1)); n != 0 || !errors.Is(err, mmap.ErrClosed) {
		t.Errorf("a reader after Close: %d, %v", n, err)
	}
}

func TestAReaderOfATruncatedFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not truncate a mapped file")
	}
	m := mustOpen(t, 1<<20)
	page := os.Getpagesize()
	if err := os.Truncate(m.Fd.Name(), int64(page)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(m.NewReader(0))
	if !bytes.Equal(b, make([]byte, page)) || !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("%d bytes and %v", len(b), err)
	}
	if err := m.Sync(); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("Sync: %v", err)
	}
}

// A length from a file that somebody damaged. The original panics where an int has 32 bits.
func TestTheLargestLength(t *testing.T) {
	m := mustOpen(t, 100)
	copy(m.Data, "\xff\xff\xff\xff\x7f\xff\xff\xff")
	if a, b := m.Slice(0), m.Slice(4); len(a)+len(b) != 0 {
		t.Errorf("there are %d and %d bytes", len(a), len(b))
	}
}

// All of it on Windows, where the library does not shorten a mapped file.
func TestTruncateToLess(t *testing.T) {
	m := mustOpen(t, 1<<20)
	m.Data[6] = 7
	for _, size := range []int64{7, 1 << 16, 100} {
		if err := m.Truncate(size); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(m.Fd.Name())
		if err != nil || info.Size() != size || int64(len(m.Data)) != size || m.Data[6] != 7 {
			t.Errorf("the file has %d bytes, and %d are mapped, of %d", info.Size(), len(m.Data), size)
		}
	}
	if err := m.Delete(); err != nil {
		t.Error(err)
	}
}

func TestTheRegionHasTheRest(t *testing.T) {
	m := mustOpen(t, 4096)
	v, err := mmap.ViewOf[uint64](m.Region(), 8, 2)
	if err != nil {
		t.Fatal(err)
	}
	v.Set(0, math.MaxUint64)
	if m.Data[8] != 255 || m.Region().Advise(0, mmap.ToEnd, mmap.WillNeed) != nil {
		t.Error("the view is of something else, or Advise fails")
	}
	if (&growing.MmapFile{}).Region() != nil {
		t.Error("there is a region of nothing")
	}
}
