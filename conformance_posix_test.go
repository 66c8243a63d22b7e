package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"
)

// The Open POSIX test suite, conformance/interfaces.
var openPOSIX = suite{
	name: "Open POSIX",
	tests: `mmap_3-1 mmap_6-1 mmap_6-4 mmap_6-5 mmap_6-6 mmap_7-1 mmap_7-2 mmap_7-4 mmap_11-1 mmap_11-3
		mmap_23-1 mmap_24-1 mmap_31-1 mmap_32-1 munmap_1-2`,
	cases: []conformance{
		{test: "mmap_3-1", checks: "a mapping at a fixed address takes the place of what was there", cannot: "Config.Addr takes an address only where it is free"},
		{test: "mmap_6-1", checks: "to store to a mapping without the right to is a fault", ask: func(t *testing.T) {
			data := pattern(1024)
			r := open(t, tempFile(t, data), ReadOnly)
			wantFault(t, "a store", storeTo(r.Bytes(), 10, 99), r, r.Name(), 10, ErrReadOnly)
			if !bytes.Equal(contents(t, r.Name()), data) {
				t.Error("the file has other bytes now")
			}
		}},
		{test: "mmap_6-4", checks: "a file opened for reading cannot be mapped to share stores", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, pattern(1024)), os.O_RDONLY)
			r, err := Map(f, ReadWrite)
			if wantErr(t, err, fs.ErrPermission, f.Name()); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "mmap_6-5", checks: "a file opened for reading can be mapped for stores that stay private", ask: func(t *testing.T) {
			data := pattern(1024)
			f := openFileAs(t, tempFile(t, data), os.O_RDONLY)
			r, err := Map(f, CopyOnWrite)
			need(t, r, err)
			if err := storeTo(r.Bytes(), 10, 99); err != nil || r.Bytes()[10] != 99 {
				t.Errorf("a store: %v", err)
			}
			if !bytes.Equal(contents(t, f.Name()), data) {
				t.Error("the file has other bytes now")
			}
		}},
		{test: "mmap_6-6", checks: "a file opened for writing cannot be mapped for reading", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, pattern(1024)), os.O_WRONLY)
			r, err := Map(f, ReadOnly)
			if wantErr(t, err, fs.ErrPermission, f.Name()); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "mmap_7-1", checks: "what is stored to a shared mapping is in the next mapping of the file", ask: func(t *testing.T) { storedAndMappedAgain(t, ReadWrite, 99) }},
		{test: "mmap_7-2", checks: "what is stored to a private mapping is not in the next mapping of the file", ask: func(t *testing.T) { storedAndMappedAgain(t, CopyOnWrite, pattern(1024)[10]) }},
		{test: "mmap_7-4", checks: "another process that maps the same object sees what is stored", ask: seenByAnotherProcess},
		{test: "mmap_11-1", checks: "a fixed address inside a page is refused", ask: func(t *testing.T) {
			granule := uintptr(64 << 10) // of every system that there is
			name := tempFile(t, pattern(100))
			r, err := Config{Addr: granule*1000 + 1}.Open(name)
			if wantErr(t, err, ErrAlignment, name); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "mmap_11-1", checks: "an offset inside a page is refused", cannot: "Offset may be any byte, and the region begins there"},
		{test: "mmap_11-3", checks: "whole pages behind the end of the object fault", ask: func(t *testing.T) {
			page := os.Getpagesize()
			r, err := Config{Mode: ReadWrite, Reserve: int64(2 * page)}.Open(tempFile(t, pattern(page/2)))
			need(t, r, err)
			b := r.Reserved()
			if err := loadFrom(b, page-1); err != nil {
				t.Errorf("the rest of the last page: %v", err)
			}
			wantFault(t, "a store", storeTo(b, page+1, 0), r, r.Name(), page+1, ErrTruncated)
			wantFault(t, "a load", loadFrom(b, page+1), r, r.Name(), page+1, ErrTruncated)
		}},
		{test: "mmap_23-1", checks: "a pipe cannot be mapped", ask: func(t *testing.T) {
			pipe, w, err := os.Pipe()
			if err != nil {
				t.Skipf("no pipes: %v", err)
			}
			defer pipe.Close()
			defer w.Close()
			r, err := Config{Length: 1024}.Map(pipe)
			if wantErr(t, err, errors.ErrUnsupported, "pipe"); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "mmap_31-1", checks: "offset and length together do not go beyond the largest offset", ask: func(t *testing.T) {
			name := tempFile(t, pattern(100))
			for _, c := range []Config{
				{Offset: math.MaxInt64, Length: 1},
				{Offset: math.MaxInt64 - 4095, Length: math.MaxInt64},
				{Offset: 1, Length: math.MaxInt64},
			} {
				r, err := c.Open(name)
				if wantErr(t, err, ErrRange, name, "overflows"); r != nil {
					t.Errorf("%+v: there is %v", c, r)
				}
			}
		}},
		{test: "mmap_32-1", checks: "a length of 0 is refused", cannot: "Length 0 means up to the end of the file, and a Region may be empty"},
		{test: "munmap_1-2", checks: "to access what was unmapped is a fault", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(1024)), ReadWrite)
			b := r.Bytes()
			if err := loadFrom(b, 1023); err != nil {
				t.Error(err)
			}
			r.Close()
			wantFault(t, "a load", loadFrom(b, 1023), r, r.Name(), 1023, ErrClosed)
			wantFault(t, "a store", storeTo(b, 1023, 1), r, r.Name(), 1023, ErrClosed)
		}},
	},
}

// storedAndMappedAgain stores 99 through one mapping of a file. The next must have want.
func storedAndMappedAgain(t *testing.T, mode Mode, want byte) {
	r := open(t, tempFile(t, pattern(1024)), mode)
	if err := errors.Join(storeTo(r.Bytes(), 10, 99), r.Sync()); err != nil || r.Bytes()[10] != 99 {
		t.Errorf("the store, or Sync: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := open(t, r.Name(), ReadOnly).Bytes()[10]; got != want {
		t.Errorf("the next mapping has %d, want %d", got, want)
	}
}

// seenByAnotherProcess stores a byte everywhere. A child must find them, and turns
// every bit over.
func seenByAnotherProcess(t *testing.T) {
	data := pattern(3*os.Getpagesize() - 100)
	r := open(t, tempFile(t, make([]byte, len(data))), ReadWrite)
	copy(r.Bytes(), data)
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	runChild(t, childSharer, r.Name())
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(r.Bytes(), turned(data)) {
		t.Error("what the other process stored is not there")
	}
}

var childSharer = registerChild("one that shares a mapped file", func(t testing.TB, args []string) {
	r, err := Open(args[0], ReadWrite)
	need(t, r, err)
	if !bytes.Equal(r.Bytes(), pattern(r.Len())) {
		t.Error("what the other process stored is not there")
	}
	copy(r.Bytes(), turned(r.Bytes()))
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
})

// turned returns the bytes with every bit turned over.
func turned(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		b[i] = ^b[i]
	}
	return b
}
