//go:build !mmap_posix

package mmap

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Files on hugetlbfs, whose pages come from a pool. internal/vmtest does more, with
// pages of other sizes.

const hugePage = 2 << 20

// hugeFile returns the name of a file on one, for which the system has n pages.
func hugeFile(t *testing.T, n int, options string) (name string) {
	hugePool(t, n)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "hugetlbfs", 0, "pagesize=2M"+options); err != nil {
		t.Skipf("mounting a hugetlbfs needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return filepath.Join(dir, "f")
}

func sizeOf(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestAMappingDoesNotStretchAFileOfHugePages(t *testing.T) {
	name := hugeFile(t, 4, "")
	r, err := Config{Reserve: 8 * hugePage}.Create(name, hugePage)
	need(t, r, err)
	if got := sizeOf(t, name); got != hugePage {
		t.Errorf("Create with a page and a reservation: %d bytes", got)
	}
	for what, c := range map[string]Config{
		"ReadWrite":              {Mode: ReadWrite, Reserve: 3 * hugePage},
		"CopyOnWrite":            {Mode: CopyOnWrite, Reserve: 3 * hugePage},
		"ReadOnly":               {Reserve: 3 * hugePage},
		"ReadWrite, from byte 5": {Mode: ReadWrite, Offset: 5, Reserve: 3 * hugePage},
	} {
		other, err := c.Open(name)
		need(t, other, err)
		if err := Put(other, 3, byte(1)); (err != nil) != (c.Mode == ReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
		if got := sizeOf(t, name); got != hugePage || other.Len() != hugePage-int(c.Offset) {
			t.Errorf("%s: %v of %d bytes, want one page", what, other, got)
		}
		other.Close()
	}
	if err := r.Resize(2 * hugePage); err != nil {
		t.Error(err)
	}
	if got := sizeOf(t, name); got != 2*hugePage {
		t.Errorf("Resize to two pages: %d bytes", got)
	}
	if f, err := os.Open(name); err != nil {
		t.Error(err)
	} else {
		defer f.Close()
		_, err := Config{Mode: ReadWrite, Reserve: 8 * hugePage}.Map(f)
		wantErr(t, err, os.ErrPermission)
	}
}

func TestAGrowthBeyondThePoolTakesNoPage(t *testing.T) {
	for _, c := range []struct{ options, says string }{{"", "has 4"}, {",size=4M", "mounted to have at most 2"}} {
		name := hugeFile(t, 4, c.options)
		r, err := Config{Reserve: 16 * hugePage}.Create(name, hugePage)
		need(t, r, err)
		if err := Put(r, 100, uint64(7)); err != nil {
			t.Error(err)
		}
		for what, grow := range map[string]func() error{
			"Resize": func() error { return r.Resize(8 * hugePage) },
			"OpenOrCreate": func() error {
				other, err := OpenOrCreate(name, 8*hugePage)
				if err == nil {
					other.Close()
				}
				return err
			},
			"Create": func() error {
				_, err := Create(name+"2", 8*hugePage)
				if _, err := os.Stat(name + "2"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("Create left a file: %v", err)
				}
				return err
			},
		} {
			wantErr(t, grow(), unix.ENOSPC, name, "nr_hugepages", c.says)
			if got := freeHugePages(t); got != "3" || sizeOf(t, name) != hugePage || r.Len() != hugePage {
				t.Errorf("%s left %s free pages of 3, and %v of %d bytes", what, got, r, sizeOf(t, name))
			}
		}
		if got, err := Get[uint64](r, 100); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		if err := errors.Join(r.Resize(2*hugePage), r.Close(), os.Remove(name)); err != nil {
			t.Error(err)
		}
		if got := freeHugePages(t); got != "4" {
			t.Errorf("%s free pages of 4 when the file is gone", got)
		}
	}
}

func TestAFileOfHugePagesHasWholeOnes(t *testing.T) {
	name := hugeFile(t, 4, "")
	r, err := Config{Reserve: 8 * hugePage}.Create(name, 3*hugePage)
	need(t, r, err)
	if err := Put(r, 2*hugePage-8, uint64(7)); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func() error{
		"resize":         func() error { return r.Resize(hugePage + 1) },
		"resize ":        func() error { return r.Resize(3*hugePage + 1) },
		"create":         func() error { _, err := Create(name, hugePage+1); return err },
		"open or create": func() error { _, err := Config{Sparse: true}.OpenOrCreate(name, 3*hugePage+1); return err },
	} {
		wantSentence(t, change(), errors.ErrUnsupported, what, name, "whole pages of 2097152 bytes")
		if got := sizeOf(t, name); r.Len() != 3*hugePage || got != 3*hugePage {
			t.Errorf("%s: a change that failed left %v of %d bytes", what, r, got)
		}
	}
	if err := r.Resize(2 * hugePage); err != nil {
		t.Error(err)
	}
	if got := freeHugePages(t); got != "2" || sizeOf(t, name) != 2*hugePage {
		t.Errorf("%s free pages of 2, and %d bytes", got, sizeOf(t, name))
	}
	if got, err := Get[uint64](r, 2*hugePage-8); got != 7 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	part, err := Config{Mode: ReadWrite, Length: hugePage + 9, Reserve: 2 * hugePage}.Open(name)
	need(t, part, err)
	if err := errors.Join(part.Resize(5), part.Resize(hugePage+5)); err != nil {
		t.Errorf("a region that ends before its file: %v", err)
	}
	if other, err := OpenOrCreate(name, 5); err != nil || other.Len() != 2*hugePage {
		t.Errorf("%v, %v", other, err)
	} else {
		other.Close()
	}
}

func TestASparseFileOfHugePagesTakesThemWhenTheyAreTouched(t *testing.T) {
	name := hugeFile(t, 4, "")
	r, err := Config{Sparse: true}.Create(name, 8*hugePage)
	need(t, r, err)
	others, err := Config{HugePages: HugePages2M}.Anonymous(2 * hugePage) // nothing was set aside for r
	need(t, others, err)
	for i := range 2 {
		if err := Put(r, 3*i*hugePage, byte(1)); err != nil {
			t.Error(err)
		}
	}
	for what, take := range map[string]func() error{
		"Put":      func() error { return Put(r, hugePage, byte(1)) },
		"Guard":    func() error { return Guard(func() error { r.Bytes()[hugePage] = 1; return nil }) },
		"Get":      func() error { _, err := Get[byte](r, hugePage); return err },
		"Populate": func() error { return r.Populate(0, 2*hugePage) },
		"Lock":     func() error { return r.Lock(0, 2*hugePage) },
	} {
		err := take()
		if wantErr(t, err, ErrIO, "offset 2097152", "nr_hugepages", "has 4, of which 0 are free"); t.Failed() {
			t.Fatal(what)
		}
	}
}
