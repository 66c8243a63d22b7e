package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	original "github.com/edsrzf/mmap-go"
	library "github.com/seed-498deeca/mmap"
	port "github.com/seed-498deeca/mmap/ports/mmapgo"
)

// A mapping is what both packages make: an MMap, which only its own methods can unmap.
type mapping struct {
	bytes func() []byte
	part  func(i, j int) mapping
	flush, lock, unlock,
	unmap func() error
}

type mmapper interface {
	~[]byte
	Flush() error
	Lock() error
	Unlock() error
}

func mappingOf[M mmapper, P interface {
	*M
	Unmap() error
}](m M) mapping {
	return mapping{
		bytes:  func() []byte { return m },
		part:   func(i, j int) mapping { return mappingOf[M, P](m[i:j]) },
		flush:  func() error { return m.Flush() },
		lock:   func() error { return m.Lock() },
		unlock: func() error { return m.Unlock() },
		unmap:  func() error { return P(&m).Unmap() },
	}
}

type packageUnderTest func(f *os.File, length, prot, flags int, offset int64) (mapping, error)

func originalPackage(f *os.File, length, prot, flags int, offset int64) (mapping, error) {
	if length < 0 && offset == 0 {
		m, err := original.Map(f, prot, flags)
		return mappingOf(m), err
	}
	m, err := original.MapRegion(f, length, prot, flags, offset)
	return mappingOf(m), err
}

func ported(f *os.File, length, prot, flags int, offset int64) (mapping, error) {
	if length < 0 && offset == 0 {
		m, err := port.Map(f, prot, flags)
		return mappingOf(m), err
	}
	m, err := port.MapRegion(f, length, prot, flags, offset)
	return mappingOf(m), err
}

var page = os.Getpagesize()

// A test is a file of three pages and a half, which both packages map in turn.
type test struct {
	testing.TB
	file   *os.File
	mapIt  packageUnderTest
	events []string
}

func newTest(t testing.TB, p packageUnderTest) *test {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(bytes.Repeat([]byte("12345678"), 7*page/16)); err != nil {
		t.Fatal(err)
	}
	return &test{TB: t, file: f, mapIt: p}
}

// say notes what happened, for the comparison. Of an error it is only that there is one.
func (t *test) say(what ...any) {
	for i, x := range what {
		if err, ok := x.(error); ok && err != nil {
			what[i] = "an error"
		}
	}
	t.events = append(t.events, strings.TrimSuffix(fmt.Sprintln(what...), "\n"))
}

// mapped maps so much of the file, and unmaps it at the end.
func (t *test) mapped(length, prot, flags int, offset int64) mapping {
	t.Helper()
	m, err := t.mapIt(t.file, length, prot, flags, offset)
	t.say("map:", len(m.bytes()), err)
	if err == nil {
		t.Cleanup(func() { m.unmap() })
	}
	return m
}

func (t *test) content() string {
	b, err := os.ReadFile(t.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:8])
}

// access returns what load does, or that it faults.
func access(load func() byte) (result string) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			result = "fault"
		}
	}()
	return fmt.Sprint(load())
}

func load(b []byte, i int) string { return access(func() byte { return b[i] }) }

func store(b []byte, i int) string { return access(func() byte { b[i] = 'x'; return 'x' }) }

// behaviours are what programs use and rely on. The two packages do the same, unless it
// is said how they differ.
var behaviours = []struct {
	name    string
	do      func(t *test)
	differs string // what the port says, if that is something else
}{
	{"the whole file", func(t *test) {
		m := t.mapped(-1, port.RDONLY, 0, 0)
		t.say(string(m.bytes()[:8]), cap(m.bytes()))
		t.say(store(m.bytes(), 0), t.content())
	}, ""},
	{"stores", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		t.say(store(m.bytes(), 1), m.flush(), t.content())
	}, ""},
	{"copy on write", func(t *test) {
		m := t.mapped(-1, port.COPY, 0, 0)
		t.say(store(m.bytes(), 1), m.flush(), t.content(), string(m.bytes()[:8]))
	}, ""},
	{"copy counts before write", func(t *test) {
		m := t.mapped(-1, port.COPY|port.RDWR, 0, 0)
		t.say(store(m.bytes(), 1), t.content())
	}, ""},
	{"executable", func(t *test) {
		m := t.mapped(page, port.RDONLY|port.EXEC, 0, 0)
		t.say(load(m.bytes(), 0))
	}, ""},
	{"a file that may only be read", func(t *test) {
		f, err := os.Open(t.file.Name())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		t.file = f
		t.mapped(-1, port.RDWR, 0, 0)
		m := t.mapped(-1, port.COPY, 0, 0)
		t.say(store(m.bytes(), 0))
	}, ""},
	{"a part", func(t *test) {
		m := t.mapped(page+5, port.RDWR, 0, int64(page))
		t.say(string(m.bytes()[:8]), store(m.bytes(), page), m.flush())
	}, ""},
	{"an offset within a page", func(t *test) { t.mapped(8, port.RDONLY, 0, 3) }, ""},
	{"an offset below zero", func(t *test) { t.mapped(8, port.RDONLY, 0, int64(-page)) }, ""},
	{"from an offset to the end", func(t *test) {
		m := t.mapped(-1, port.RDONLY, 0, int64(page))
		t.say(load(m.bytes(), len(m.bytes())-1))
	}, fmt.Sprintf("[map: %d <nil> 56]", 5*page/2)},
	{"no bytes", func(t *test) { t.mapped(0, port.RDONLY, 0, 0) }, ""},
	{"an empty file", func(t *test) {
		if err := t.file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		t.mapped(-1, port.RDONLY, 0, 0)
	}, ""},
	{"a closed file", func(t *test) {
		t.file.Close()
		t.mapped(-1, port.RDONLY, 0, 0)
	}, ""},
	{"beyond the end", func(t *test) {
		m := t.mapped(8*page, port.RDWR, 0, 0)
		t.say(load(m.bytes(), 7*page/2), load(m.bytes(), 4*page), m.flush())
		if err := t.file.Truncate(int64(6 * page)); err != nil {
			t.Fatal(err)
		}
		t.say(store(m.bytes(), 5*page), m.flush(), load(m.bytes(), 6*page))
		t.say(m.part(5*page, 6*page).lock(), m.part(5*page, 6*page).unlock())
	}, ""},
	{"a file that is truncated", func(t *test) {
		m := t.mapped(-1, port.RDONLY, 0, 0)
		if err := t.file.Truncate(1); err != nil {
			t.Fatal(err)
		}
		t.say(load(m.bytes(), 0), load(m.bytes(), 1), load(m.bytes(), page))
	}, ""},
	{"memory", func(t *test) {
		t.file = nil
		m := t.mapped(3*page, port.RDWR, port.ANON, 0)
		t.say(load(m.bytes(), 3*page-1), store(m.bytes(), 1), load(m.bytes(), 1), m.flush(), m.unmap())
		t.mapped(0, port.RDWR, port.ANON, 0)
		t.mapped(-1, port.RDWR, port.ANON, 0)
	}, ""},
	{"memory of other kinds", func(t *test) {
		m := t.mapped(page, port.RDONLY, port.ANON, 0)
		t.say(load(m.bytes(), 0), store(m.bytes(), 0))
		m = t.mapped(page, port.COPY, port.ANON, 0)
		t.say(load(m.bytes(), 0), store(m.bytes(), 0))
	}, ""},
	{"lock and unlock", func(t *test) {
		m := t.mapped(page, port.RDWR, 0, 0)
		t.say(m.lock(), m.unlock(), m.part(3, 9).lock(), m.part(3, 9).unlock(), load(m.bytes(), 0))
	}, ""},
	{"flush without the file", func(t *test) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux makes a file durable that is closed")
		}
		m := t.mapped(-1, port.RDWR, 0, 0)
		name := t.file.Name()
		t.say(t.file.Close(), store(m.bytes(), 0), m.flush(), m.unmap())
		b, err := os.ReadFile(name)
		t.say(string(b[:8]), err)
	}, ""},
	{"flush of a part", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		t.say(m.part(page, page+1).flush(), m.part(1, 2).flush())
	}, fmt.Sprintf("[map: %d <nil> <nil> <nil>]", 7*page/2)},
	{"nothing", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		none := m.part(0, 0)
		t.say(none.unmap())
		t.say(m.unmap(), m.bytes() == nil, m.unmap(), m.flush(), m.lock())
	}, ""},
	{"unmap of a part", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		t.say(m.part(page, 2*page).unmap(), m.part(0, page).unmap(), m.part(3, 9).unmap())
		t.say(load(m.bytes(), 0), m.unmap())
	}, ""},
	{"unmap of a copy", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		other := m.part(0, len(m.bytes()))
		t.say(m.unmap(), other.unmap())
	}, ""},
	{"what was stored is in the file after unmap", func(t *test) {
		m := t.mapped(-1, port.RDWR, 0, 0)
		t.say(store(m.bytes(), 7), m.unmap(), t.content())
	}, ""},
	{"several of one file", func(t *test) {
		a, b := t.mapped(-1, port.RDWR, 0, 0), t.mapped(-1, port.RDWR, 0, 0)
		t.say(store(a.bytes(), 7), load(b.bytes(), 7), a.unmap(), load(b.bytes(), 7))
	}, ""},
}

func TestBehavesAsTheOriginal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows the original takes other offsets, and leaves files open")
	}
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			theirs, ours := newTest(t, originalPackage), newTest(t, ported)
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

func TestConstantsAreThoseOfTheOriginal(t *testing.T) {
	ours := []int{port.RDONLY, port.RDWR, port.COPY, port.EXEC, port.ANON}
	theirs := []int{original.RDONLY, original.RDWR, original.COPY, original.EXEC, original.ANON}
	if fmt.Sprint(ours) != fmt.Sprint(theirs) {
		t.Errorf("they are %v, and there %v", ours, theirs)
	}
}

// A slice that is kept beyond Unmap, while other files are mapped: it faults, and under
// Guard that is an error.
func TestASliceKeptAfterUnmapShowsNothing(t *testing.T) {
	test := newTest(t, ported)
	var m port.MMap
	m, err := port.Map(test.file, port.RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := m[:]
	if err := m.Unmap(); err != nil || m != nil {
		t.Fatalf("%v, %v", err, m)
	}
	for range 50 {
		test.mapped(-1, port.RDONLY, 0, 0)
		if got := load(kept, 0); got != "fault" {
			t.Fatalf("it shows %v", got)
		}
	}
	if err := library.Guard(func() error { kept[0] = 1; return nil }); !errors.Is(err, library.ErrClosed) {
		t.Errorf("under Guard the error is %v", err)
	}
}

func TestATruncatedFileIsAnErrorUnderGuard(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not truncate a mapped file")
	}
	test := newTest(t, ported)
	m := test.mapped(-1, port.RDONLY, 0, 0)
	if err := test.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	var x byte
	if err := library.Guard(func() error { x = m.bytes()[0]; return nil }); !errors.Is(err, library.ErrTruncated) {
		t.Errorf("%d, and the error is %v", x, err)
	}
}

// A mapping that is longer than its file. On Windows the file becomes longer, as it does
// with the original; elsewhere the bytes are there once it is.
func TestMapsBeyondTheEnd(t *testing.T) {
	test := newTest(t, ported)
	m := test.mapped(8*page, port.RDWR, 0, 0)
	if runtime.GOOS != "windows" {
		if got := load(m.bytes(), 5*page); got != "fault" {
			t.Errorf("beyond the end it shows %v", got)
		}
		if err := test.file.Truncate(int64(8 * page)); err != nil {
			t.Fatal(err)
		}
	}
	if got := store(m.bytes(), 8*page-1); got != "120" {
		t.Errorf("a store beyond the end: %v", got)
	}
	b, err := os.ReadFile(test.file.Name())
	if err != nil || len(b) != 8*page || b[8*page-1] != 'x' {
		t.Errorf("the file has %d bytes, %v", len(b), err)
	}
	if err := errors.Join(m.flush(), m.unmap()); err != nil {
		t.Error(err)
	}
}

func TestUnmapForgetsTheMapping(t *testing.T) {
	test, before := newTest(t, ported), port.Mapped()
	m := test.mapped(-1, port.RDONLY, 0, 0)
	if n := port.Mapped(); n != before+1 {
		t.Errorf("%d mappings are known, and one more than %d there are", n, before)
	}
	if err := m.unmap(); err != nil || port.Mapped() != before {
		t.Errorf("%v, and %d mappings are known after it, not %d", err, port.Mapped(), before)
	}
}
