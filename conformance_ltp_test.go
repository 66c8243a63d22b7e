package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"
)

// The Linux Test Project, testcases/kernel/syscalls, as far as every system has it.
var ltp = suite{
	name: "Linux Test Project",
	tests: `mmap01 mmap02 mmap04 mmap05 mmap06 mmap08 mmap12 mmap14 mmap17 mmap19 mmap20
		msync01 msync02 msync03 msync04 munmap01 munmap03 madvise01 madvise02 madvise03 madvise08 madvise10
		mprotect01 mprotect02 mprotect03 mincore01 mincore02 mincore03 mlock02 mlock05 mlock201 mlock203
		memfd_create01`,
	cases: []conformance{
		{test: "mmap01", checks: "behind the end of the file, its last page reads as zero, and what is stored there stays out of the file", ask: storesBehindTheFile},
		{test: "mmap02", checks: "a file opened for reading can be mapped for reading, and has its bytes", ask: func(t *testing.T) {
			data := pattern(os.Getpagesize())
			r, err := Map(openFileAs(t, tempFile(t, data), os.O_RDONLY), ReadOnly)
			if need(t, r, err); !bytes.Equal(r.Bytes(), data) {
				t.Error("the region has other bytes than the file")
			}
		}},
		{test: "mmap05", checks: "to access what is mapped with no rights is a fault", ask: func(t *testing.T) {
			page := os.Getpagesize()
			c := Config{Mode: ReadWrite, Reserve: int64(2 * page)}
			memory, err := c.Anonymous(int64(page))
			need(t, memory, err)
			c.Length = int64(page)
			file, err := c.Open(tempFile(t, pattern(2*page)))
			need(t, file, err)
			for _, r := range []*Region{memory, file} {
				b := r.Reserved()
				if err := loadFrom(b, page-1); err != nil {
					t.Error(err)
				}
				wantFault(t, "a load", loadFrom(b, page), r, r.Name(), page, ErrTruncated)
				wantFault(t, "a store", storeTo(b, page, 1), r, r.Name(), page, ErrTruncated)
			}
		}},
		{test: "mmap06", checks: "a file that is not open for reading cannot be mapped, however", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, pattern(1024)), os.O_WRONLY)
			for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
				r, err := Map(f, mode)
				if wantErr(t, err, fs.ErrPermission, f.Name()); r != nil {
					t.Errorf("%v: there is %v", mode, r)
				}
			}
		}},
		{test: "mmap06", checks: "a length of 0 is refused", cannot: "Length 0 means up to the end of the file, and a Region may be empty"},
		{test: "mmap06", checks: "flags must say whether the mapping is shared", cannot: "Mode always says it"},
		{test: "mmap08", checks: "a closed file cannot be mapped", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, pattern(100)), os.O_RDWR)
			f.Close()
			r, err := Map(f, ReadWrite)
			if wantErr(t, err, os.ErrClosed, f.Name()); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "mmap17", checks: "an address that is taken is refused, and what is there stays", ask: func(t *testing.T) {
			mine, other := pattern(100), bytes.Repeat([]byte{7}, 100)
			r := open(t, tempFile(t, mine), CopyOnWrite)
			x, err := Config{Mode: CopyOnWrite, Addr: r.Addr()}.Open(tempFile(t, other))
			if wantErr(t, err, fs.ErrExist); x != nil || !bytes.Equal(r.Bytes(), mine) {
				t.Errorf("there is %v, and what was there has the bytes %v", x, r.Bytes())
			}
		}},
		{test: "msync01", checks: "write-back of a part can be started, and the file has what was stored", ask: func(t *testing.T) {
			data := pattern(os.Getpagesize())
			r := open(t, tempFile(t, data), ReadWrite)
			ones := bytes.Repeat([]byte{1}, 256)
			if _, err := r.WriteAt(ones, 100); err != nil {
				t.Fatal(err)
			}
			if err := r.Flush(100, len(ones)); err != nil {
				t.Error(err)
			}
			copy(data[100:], ones)
			if !bytes.Equal(contents(t, r.Name()), data) {
				t.Error("the file does not have what was stored")
			}
		}},
		{test: "msync02", checks: "after a synchronization, the mapping has what was written to the file", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, pattern(os.Getpagesize())), os.O_RDWR)
			r, err := Map(f, ReadWrite)
			need(t, r, err)
			if _, err := f.WriteAt([]byte("Testing"), 100); err != nil {
				t.Fatal(err)
			}
			if err := r.Sync(); err != nil {
				t.Error(err)
			}
			if got := string(r.Bytes()[100:107]); got != "Testing" {
				t.Errorf("the region has %q", got)
			}
		}},
		{test: "msync03", checks: "what is not mapped cannot be synchronized", ask: func(t *testing.T) {
			asOfARange(t, func(r *Region, off, n int) error { return r.SyncRange(off, n) })
			asOfARange(t, func(r *Region, off, n int) error { return r.Flush(off, n) })
		}},
		{test: "msync03", checks: "pages that are locked cannot be invalidated", cannot: "invalidating is no call of its own: Sync does it where a system needs it"},
		{test: "msync03", checks: "unknown and contradictory flags are refused", cannot: "Sync and Flush take no flags"},
		{test: "msync03", checks: "an address inside a page is refused", cannot: "ranges are in bytes, and the package rounds them"},
		{test: "munmap01", checks: "to access what was unmapped is a fault, also when a part was", ask: func(t *testing.T) {
			page := os.Getpagesize()
			r, err := Config{Mode: ReadWrite, Length: int64(3 * page)}.Open(tempFile(t, pattern(3*page+1)))
			need(t, r, err)
			b := r.Bytes()
			if err := r.Resize(int64(page)); err != nil { // the file goes on, and stays as it is
				t.Fatal(err)
			}
			if err := storeTo(b, page-1, 50); err != nil {
				t.Errorf("what is still mapped: %v", err)
			}
			wantFault(t, "a part", storeTo(b, page, 50), r, r.Name(), page, ErrTruncated)
			r.Close()
			for _, i := range []int{0, page, 3*page - 1} {
				wantFault(t, "all", storeTo(b, i, 50), r, r.Name(), i, ErrClosed)
			}
		}},
		{test: "munmap03", checks: "an address outside of the address space or inside a page, and a length of 0, are refused", cannot: "Close takes neither address nor length: it is for the whole region"},
		{test: "madvise02", checks: "advice that does not exist, or is for what is not mapped, is refused", ask: func(t *testing.T) {
			r := anonymousRegion(t, 100)
			wantErr(t, r.Advise(0, ToEnd, 1212), errors.ErrUnsupported, "1212")
			asOfARange(t, func(r *Region, off, n int) error { return r.Advise(off, n, WillNeed) })
		}},
		{test: "madvise02", checks: "an address inside a page is refused", cannot: "ranges are in bytes, and the package rounds them"},
		{test: "madvise02", checks: "memory that no file backs will not be read soon", cannot: "Linux takes this advice of memory since 3.9, and the test leaves it out then"},
		{test: "mprotect01", checks: "a region of a file opened for reading cannot become writable", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(100)), ReadOnly)
			if err := r.Protect(ReadWrite); err == nil || r.Mode() != ReadOnly {
				t.Errorf("error %v, and the region is %v", err, r.Mode())
			}
			wantFault(t, "a store", storeTo(r.Bytes(), 5, 1), r, r.Name(), 5, ErrReadOnly)
		}},
		{test: "mprotect01", checks: "what is not mapped cannot be given rights", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(100)), ReadWrite)
			b := r.Bytes()
			r.Close()
			for _, mode := range []Mode{ReadOnly, ReadWrite} {
				wantErr(t, r.Protect(mode), ErrClosed, r.Name())
			}
			wantFault(t, "a load", loadFrom(b, 0), r, r.Name(), 0, ErrClosed)
		}},
		{test: "mprotect01", checks: "an address inside a page is refused", cannot: "Protect takes no address: it is for the whole region"},
		{test: "mprotect02", checks: "to store to a read-only mapping is a fault, until it is made writable", ask: func(t *testing.T) {
			data := pattern(os.Getpagesize())
			f := openFileAs(t, tempFile(t, data), os.O_RDWR)
			r, err := Map(f, ReadOnly)
			need(t, r, err)
			wantFault(t, "a store", storeTo(r.Bytes(), 3, 99), r, f.Name(), 3, ErrReadOnly)
			if err := r.Protect(ReadWrite); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(storeTo(r.Bytes(), 3, 99), r.Sync()); err != nil {
				t.Error(err)
			}
			data[3] = 99
			if !bytes.Equal(contents(t, f.Name()), data) {
				t.Error("the file does not have what was stored, or has more")
			}
		}},
		{test: "mprotect03", checks: "to store to a shared mapping that was made read-only is a fault", ask: func(t *testing.T) {
			data := pattern(26)
			r := open(t, tempFile(t, data), ReadWrite)
			if err := r.Protect(ReadOnly); err != nil {
				t.Fatal(err)
			}
			wantFault(t, "a store", storeTo(r.Bytes(), 0, 99), r, r.Name(), 0, ErrReadOnly)
			if !bytes.Equal(r.Bytes(), data) || !bytes.Equal(contents(t, r.Name()), data) {
				t.Error("there are other bytes now")
			}
		}},
		{test: "mincore01", checks: "there is no answer for what is not mapped", ask: func(t *testing.T) {
			asOfARange(t, func(r *Region, off, n int) error {
				in, err := r.Resident(off, n)
				if err != nil && in != nil {
					t.Errorf("the answer is %v, and %v", in, err)
				}
				return err
			})
		}},
		{test: "mincore01", checks: "an address inside a page is refused", cannot: "ranges are in bytes, and the package rounds them"},
		{test: "mincore01", checks: "a vector in memory that is not there is refused", cannot: "Resident makes the vector"},
		{test: "mlock02", checks: "what is not mapped cannot be locked", ask: func(t *testing.T) {
			asOfARange(t, func(r *Region, off, n int) error { return r.Lock(off, n) })
		}},
	},
}

func storesBehindTheFile(t *testing.T) {
	page := os.Getpagesize()
	data := []byte("hello world\n")
	r, err := Config{Mode: ReadWrite, Reserve: int64(page)}.Open(tempFile(t, data))
	need(t, r, err)
	rest := r.Reserved()[len(data):]
	for i, x := range rest {
		if x != 0 {
			t.Fatalf("byte %d behind the end is %d", i, x)
		}
	}
	if n := copy(rest, "XYZ"); n != 3 || len(rest) != page-len(data) {
		t.Errorf("there are %d bytes behind the end", len(rest))
	}
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
	if got := contents(t, r.Name()); !bytes.Equal(got, data) {
		t.Errorf("the file has the bytes %q", got)
	}
}

// asOfARange calls fn for ranges that are not those of a region, and for one that is,
// of a closed region: none is taken.
func asOfARange(t *testing.T, fn func(r *Region, off, n int) error) {
	t.Helper()
	r := anonymousRegion(t, int64(2*os.Getpagesize()))
	for _, tt := range []struct{ off, n int }{
		{0, r.Len() + 1}, {r.Len(), 1}, {r.Len() + 1, 0}, {1, math.MaxInt}, {-1, 1}, {0, -1},
	} {
		wantErr(t, fn(r, tt.off, tt.n), ErrRange)
	}
	r.Close()
	wantErr(t, fn(r, 0, 1), ErrClosed)
}

// openFileAs opens a file, until the end of the test.
func openFileAs(t testing.TB, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
