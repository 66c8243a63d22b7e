package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	library "github.com/seed-498deeca/mmap"
	port "github.com/seed-498deeca/mmap/ports/xmmap"
	original "golang.org/x/exp/mmap"
)

// A reader is what both packages make.
type reader interface {
	At(i int) byte
	Len() int
	io.ReaderAt
	io.Closer
}

type openFunc func(string) (reader, error)

func openOriginal(name string) (reader, error) { return original.Open(name) }
func openPorted(name string) (reader, error)   { return port.Open(name) }

// file makes a file of n bytes, 1, 2, 3 and so on.
func file(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// say puts what happened in words, for the comparison. io.EOF matters, and of other
// errors that there is one.
func say(what ...any) string {
	for i, x := range what {
		if err, ok := x.(error); ok && err != nil && err != io.EOF {
			what[i] = "an error"
		}
	}
	return strings.TrimSpace(fmt.Sprintln(what...))
}

func at(r reader, i int) (result any) {
	defer func() {
		if recover() != nil {
			result = "panics"
		}
	}()
	return r.At(i)
}

func read(r reader, n int, off int64) string {
	b := make([]byte, n)
	k, err := r.ReadAt(b, off)
	return say(k, err, b)
}

var size = 3*os.Getpagesize() + 5

var behaviours = []struct {
	name    string
	do      func(t testing.TB, open openFunc) string
	differs string // what the port says, if that is something else
}{
	{"a file", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, size))
		all := make([]byte, size)
		n, err := r.ReadAt(all, 0)
		return say(r.Len(), n, err, bytes.Equal(all[:3], []byte{1, 2, 3}), read(r, 3, 5), read(r, 4, int64(size-3)))
	}, ""},
	{"single bytes", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, size))
		return say(at(r, 0), at(r, size-1), at(r, size), at(r, -1), at(r, math.MaxInt), at(r, math.MinInt))
	}, ""},
	{"reads at and beyond the ends", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, 10))
		return say(read(r, 1, 10), read(r, 1, 11), read(r, 1, -1), read(r, 1, math.MaxInt64), read(r, 1, math.MinInt64), read(r, 11, 0))
	}, ""},
	{"reads of nothing", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, 10))
		return say(read(r, 0, 0), read(r, 0, 9), read(r, 0, 10), read(r, 0, 11))
	}, ""},
	{"an empty file", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, 0))
		return say(r.Len(), at(r, 0), read(r, 0, 0), read(r, 1, 0), read(r, 1, 1), r.Close(), read(r, 0, 0), r.Close())
	}, ""},
	{"what cannot be opened", func(t testing.TB, open openFunc) string {
		name := file(t, 10)
		_, first := open(name + "-not-there")
		if runtime.GOOS == "windows" {
			return say(first, errors.Is(first, os.ErrNotExist)) // there a directory is an empty file to the original
		}
		_, second := open(filepath.Dir(name))
		return say(first, errors.Is(first, os.ErrNotExist), second)
	}, ""},
	{"after Close", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, 10))
		return say(r.Close(), r.Len(), at(r, 0), read(r, 1, 0), read(r, 0, 0), r.Close())
	}, ""},
	{"the file is removed and its name taken", func(t testing.TB, open openFunc) string {
		if runtime.GOOS == "windows" {
			t.Skip("Windows does not remove a mapped file")
		}
		name := file(t, 10)
		r := mustOpen(t, open, name)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
		return say(read(r, 4, 0), r.Len())
	}, ""},
	{"a file that grows", func(t testing.TB, open openFunc) string {
		name := file(t, 10)
		r := mustOpen(t, open, name)
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		return say(r.Len(), read(r, 11, 0), at(r, 10))
	}, ""},
	{"a section", func(t testing.TB, open openFunc) string {
		r := mustOpen(t, open, file(t, 10))
		b, err := io.ReadAll(io.NewSectionReader(r, 2, 100))
		return say(b, err)
	}, ""},
}

func mustOpen(t testing.TB, open openFunc, name string) reader {
	t.Helper()
	r, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestBehavesAsTheOriginal(t *testing.T) {
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			got, original := b.do(t, openPorted), b.do(t, openOriginal)
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

// The original ends the process here.
func TestATruncatedFileIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not truncate a mapped file")
	}
	name := file(t, size)
	r := mustOpen(t, openPorted, name)
	if err := os.Truncate(name, int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	n, err := r.ReadAt(make([]byte, size), 0)
	if n != os.Getpagesize() || !errors.Is(err, library.ErrTruncated) {
		t.Errorf("ReadAt returns %d, %v", n, err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, library.ErrTruncated) {
			t.Errorf("At panics with %v", err)
		}
	}()
	r.At(size - 1)
	t.Error("At returns")
}

// The original forbids it, and can crash.
func TestCloseDuringReads(t *testing.T) {
	r := mustOpen(t, openPorted, file(t, size))
	var all, started sync.WaitGroup
	for range 4 {
		started.Add(1)
		all.Go(func() {
			p := make([]byte, 100)
			for i := 0; ; i++ {
				n, err := r.ReadAt(p, 7)
				if i == 0 {
					started.Done()
				}
				if errors.Is(err, library.ErrClosed) {
					return
				}
				if n != 100 || err != nil || p[0] != 8 {
					t.Errorf("ReadAt returns %d, %v, and %d first", n, err, p[0])
					return
				}
			}
		})
	}
	started.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

func BenchmarkAt(b *testing.B) {
	name := file(b, size)
	for _, p := range []struct {
		name string
		open openFunc
	}{{"port", openPorted}, {"original", openOriginal}} {
		r := mustOpen(b, p.open, name)
		b.Run(p.name, func(b *testing.B) {
			sum := 0
			for i := 0; b.Loop(); i++ {
				sum += int(r.At(i & 4095))
			}
		})
	}
}
