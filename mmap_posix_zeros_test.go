//go:build openbsd || dragonfly || mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a system has for it, allocating gives the file its size and nothing but
// zeros, and leaves the bytes that are there to those who store them.
func TestAllocatingKeepsWhatIsThere(t *testing.T) {
	old := pattern(5000)
	for _, tt := range []struct{ off, n, size int64 }{
		{0, 1, 5000},
		{4999, 1, 5000},
		{0, 5000, 5000},
		{0, 5001, 5001},
		{4000, 3000, 7000},
		{5000, 200_000, 205_000}, // more than is written at a time
		{90_000, 1, 90_001},      // behind a hole: OpenOrCreate of a sparse file
	} {
		for how, allocate := range map[string]func(h handle, off, n int64) error{"allocate": handle.allocate, "writeZeros": handle.writeZeros} {
			name := tempFile(t, old)
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			var written int64
			ask := func(call string) error {
				if call == "pwrite" {
					written++
				}
				return nil
			}
			intercept.Store(&ask)
			err = control(f, func(h handle) error { return allocate(h, tt.off, tt.n) })
			intercept.Store(nil)
			f.Close()
			if how == "allocate" && errors.Is(err, errors.ErrUnsupported) {
				continue
			}
			want := append(bytes.Clone(old), make([]byte, tt.size-5000)...)
			if got := contents(t, name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of %d bytes at %d: %v, %d bytes; want the old ones and zeros, %d", how, tt.n, tt.off, err, len(got), tt.size)
			}
			if tt.size == 5000 && written > 0 {
				t.Errorf("%s of %d bytes at %d wrote to bytes that the file has", how, tt.n, tt.off)
			}
		}
	}
}

func TestWritingZerosTakesBlocks(t *testing.T) {
	const size = 1 << 20
	name := tempFile(t, nil)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := control(f, func(h handle) error { return h.writeZeros(0, size) }); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	if got := int64(st.Blocks) * 512; got < size {
		t.Errorf("the file has %d bytes on the disk, want %d", got, size)
	}
}

// On a full disk nothing is left of a file that could not be made, nor of a growth.
func TestWritingZerosOnAFullDisk(t *testing.T) {
	dir, page := t.TempDir(), int64(os.Getpagesize())
	full := func() {
		refuse(t, "pwrite", 1, func() error { return unix.ENOSPC })
	}
	full()
	_, err := Create(dir+"/new", 1<<20)
	wantErr(t, err, unix.ENOSPC, "pwrite", "new")
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("the file that could not be made is there")
	}
	intercept.Store(nil)
	r, err := Config{Reserve: 1 << 20}.Create(dir+"/old", page)
	need(t, r, err)
	full()
	wantErr(t, r.Resize(1<<20), unix.ENOSPC, "pwrite", "old")
	if got := len(contents(t, dir+"/old")); r.Len() != int(page) || got != int(page) {
		t.Errorf("a growth that failed left a region of %d bytes and a file of %d", r.Len(), got)
	}
}

// A file of which is known that it does not fit would fill the disk for everybody.
func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	name := tempFile(t, pattern(10))
	ask := func(call string) error {
		if call == "pwrite" {
			t.Error("writes zeros")
			return unix.EIO
		}
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{1 << 58, math.MaxInt64} {
		intercept.Store(&ask)
		err = control(f, func(h handle) error { return h.writeZeros(0, size) })
		intercept.Store(nil)
		if !errors.Is(err, unix.ENOSPC) || !bytes.Equal(contents(t, name), pattern(10)) {
			t.Errorf("%d bytes: %v, or another file", size, err)
		}
	}
}
