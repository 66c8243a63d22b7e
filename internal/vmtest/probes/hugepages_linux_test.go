package probes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// named are the sizes in bytes that Config can ask for.
var named = map[mmap.HugePages]int{mmap.HugePages2M: 2 << 20, mmap.HugePages1G: 1 << 30}

// Larger pages take an emulated processor seconds each to clear.
const slow = 32 << 20

// withPools runs a test for each size of which the pool has pages enough for it.
func withPools(t *testing.T, least int, fn func(t *testing.T, size int, was pool)) {
	needs(t, "hugepages")
	sizes := hugeSizes(t)
	if len(sizes) == 0 {
		t.Skip("this processor has no huge pages")
	}
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%dKiB", size>>10), func(t *testing.T) {
			was := poolOf(t, size)
			defer func() { isNow(t, "after the test", size, was) }()
			if was.all < least {
				t.Skipf("the pool was given %d pages, and this needs %d", was.all, least)
			}
			if was != (pool{was.all, was.all, 0, 0}) {
				t.Fatalf("the pool is in use: %+v", was)
			}
			fn(t, size, was)
		})
	}
}

// asked is the constant for a size.
func asked(t testing.TB, size int) mmap.HugePages {
	for h, s := range named {
		if s == size {
			return h
		}
	}
	t.Skipf("Config has no name for pages of %d KiB", size>>10)
	return 0
}

func TestMemoryOfAPoolGrowsAndShrinksInsideIt(t *testing.T) {
	withPools(t, 2, func(t *testing.T, size int, was pool) {
		r, err := mmap.Config{HugePages: asked(t, size), Reserve: int64(was.all+4) * int64(size)}.Anonymous(int64(size)/2 + 3)
		must(t, err)
		defer r.Close()
		in, flags := smaps(t, r.Addr())
		if r.PageSize() != size || in("KernelPageSize") != size || !bytes.Contains([]byte(flags), []byte(" ht ")) {
			t.Errorf("PageSize %d, KernelPageSize %d, flags %s", r.PageSize(), in("KernelPageSize"), flags)
		}
		taken := func(what string, pages int) {
			t.Helper()
			isNow(t, what, size, pool{was.all, was.all - pages, 0, 0})
			resident, err := r.Resident(0, mmap.ToEnd)
			if err != nil || len(resident) != pages || slices.Contains(resident, false) {
				t.Errorf("%s: Resident is %v, %v; want %d pages", what, resident, err, pages)
			}
		}
		taken("mapped", 1)
		must(t, mmap.Put(r, size/2-5, uint64(7)))
		must(t, r.Resize(int64(size)+5))
		taken("grown", 2)
		if _, err := r.WriteAt([]byte("over the edge"), int64(size)-8); err != nil {
			t.Error(err)
		}
		must(t, r.Resize(10))
		taken("shrunk", 1)

		err = r.Resize(int64(was.all+1) * int64(size))
		wants(t, err, mmap.ErrIO, "resize anonymous memory", fmt.Sprintf("pages of %d KiB", size>>10), fmt.Sprintf("has %d, of which 0 are free", was.all))
		t.Log(err)
		taken("a growth that failed", 1)
		if r.Len() != 10 {
			t.Errorf("a growth that failed left %v", r)
		}
		must(t, r.Resize(2*int64(size)))
		for _, at := range []int{size/2 - 5, size - 8, size} {
			if got, err := mmap.Get[uint64](r, at); got != 0 || err != nil {
				t.Errorf("shrunk and grown: %#x at %d, %v", got, at, err)
			}
		}
		must(t, r.Populate(1, mmap.ToEnd), r.Lock(size-1, 2), r.Lock(size-1, 2), r.Unlock(0, mmap.ToEnd), r.Sync())

		if size > slow {
			return
		}
		// The range has all of the second page only.
		must(t, mmap.Put(r, 8, byte(1)), mmap.Put(r, size+8, byte(2)))
		err = r.Advise(1, mmap.ToEnd, mmap.DontNeed)
		if !kernelIs(t, 5, 18) {
			wants(t, err, errors.ErrUnsupported, "Linux 5.18")
		} else {
			isNow(t, "DontNeed", size, pool{was.all, was.all - 1, 0, 0})
			first, err1 := mmap.Get[byte](r, 8)
			resident, err2 := r.Resident(size-1, 2)
			second, err3 := mmap.Get[byte](r, size+8)
			if err := errors.Join(err, err1, err2, err3); err != nil || first != 1 || second != 0 || !slices.Equal(resident, []bool{true, false}) {
				t.Errorf("DontNeed: %d, %d, %v, %v", first, second, resident, err)
			}
		}
	})
}

func TestAPoolThatIsSetAsideIsExhausted(t *testing.T) {
	withPools(t, 2, func(t *testing.T, size int, was pool) {
		c := mmap.Config{HugePages: asked(t, size)}
		all, err := c.Anonymous(int64(was.all) * int64(size))
		must(t, err)
		defer all.Close()
		isNow(t, "mapped whole", size, pool{was.all, was.all, was.all, 0})
		for _, reserve := range []int64{0, 8 * int64(size)} {
			c.Reserve = reserve
			r, err := c.Anonymous(1)
			if r != nil {
				t.Errorf("a page beyond the pool: %v", r)
			}
			wants(t, err, nil, "anonymous memory", fmt.Sprintf("pages of %d KiB", size>>10), fmt.Sprintf("has %d, of which 0 are free", was.all))
			t.Log(err)
		}
		if size > slow {
			return
		}
		// What was set aside is there when it is wanted.
		must(t, mmap.Put(all, was.all*size-8, uint64(1)))
		isNow(t, "stored to", size, pool{was.all, was.all - 1, was.all - 1, 0})
	})
}

func TestAnOvercommittedPoolLendsPages(t *testing.T) {
	withPools(t, 2, func(t *testing.T, size int, was pool) {
		h := asked(t, size)
		if size > slow {
			t.Skip("the kernel makes no such pages while it runs")
		}
		turn(t, fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB/nr_overcommit_hugepages", size>>10), "2")
		r, err := mmap.Config{HugePages: h, Reserve: int64(was.all+8) * int64(size)}.Anonymous(int64(was.all+1) * int64(size))
		must(t, err)
		defer r.Close()
		isNow(t, "one page more", size, pool{was.all + 1, 0, 0, 1})
		err = r.Resize(int64(was.all+4) * int64(size))
		wants(t, err, mmap.ErrIO, "nr_overcommit_hugepages allows 2 more, of which it has 2")
		t.Log(err)
		isNow(t, "a growth that failed", size, pool{was.all + 1, 0, 0, 1})
		must(t, r.Resize(int64(was.all+2)*int64(size)))
		isNow(t, "two pages more", size, pool{was.all + 2, 0, 0, 2})
	})
}

func TestASizeThatTheMachineLacksIsUnsupported(t *testing.T) {
	needs(t, "hugepages")
	sizes := hugeSizes(t)
	for h, size := range named {
		if slices.Contains(sizes, size) {
			continue
		}
		for _, reserve := range []int64{0, 4 << 30} {
			r, err := mmap.Config{HugePages: h, Reserve: reserve}.Anonymous(1)
			if r != nil {
				t.Errorf("pages of %d KiB: %v", size>>10, r)
			}
			wants(t, err, errors.ErrUnsupported, "map anonymous memory", fmt.Sprintf("has no huge pages of %d KiB", size>>10))
			for _, s := range sizes {
				wants(t, err, nil, fmt.Sprint(s>>10))
			}
			t.Log(err)
		}
		return
	}
	t.Skipf("this machine has huge pages of 2 MiB and of 1 GiB, of %v bytes", sizes)
}

func TestFilesOfHugePages(t *testing.T) {
	withPools(t, 2, func(t *testing.T, size int, was pool) {
		name := filepath.Join(mounted(t, "none", "hugetlbfs", fmt.Sprintf("pagesize=%dK", size>>10)), "f")
		n := int64(size)
		taken := func(what string, pages int, length int64) {
			t.Helper()
			isNow(t, what, size, pool{was.all, was.all - pages, 0, 0})
			if info, err := os.Stat(name); err != nil || info.Size() != length {
				t.Errorf("%s: the file has %v bytes, want %d; %v", what, info.Size(), length, err)
			}
		}
		c := mmap.Config{Mode: mmap.ReadWrite, Reserve: int64(was.all+4) * n}
		r, err := c.Create(name, n)
		must(t, err)
		defer r.Close()
		taken("created", 1, n)
		in, _ := smaps(t, r.Addr())
		if r.PageSize() != size || in("KernelPageSize") != size {
			t.Errorf("PageSize %d, KernelPageSize %d", r.PageSize(), in("KernelPageSize"))
		}
		other, err := c.Open(name)
		must(t, err)
		defer other.Close()
		taken("opened", 1, n)

		must(t, r.Resize(2*n))
		taken("grown", 2, 2*n)
		text := []byte("over the edge")
		if _, err := r.WriteAt(text, n-5); err != nil {
			t.Error(err)
		}
		must(t, other.Refresh(), r.Sync(), r.SyncRange(size+1, 5), r.Flush(0, mmap.ToEnd))
		got := make([]byte, len(text))
		if _, err := other.ReadAt(got, n-5); err != nil || !bytes.Equal(got, text) || other.Len() != 2*size {
			t.Errorf("%v reads %q, %v", other, got, err)
		}
		window, err := mmap.Config{Offset: n - 3, Length: 8}.Open(name)
		must(t, err)
		if _, err := window.ReadAt(got, 0); err != io.EOF || string(got[:8]) != string(text[2:10]) {
			t.Errorf("a window over the edge reads %q, %v", got[:8], err)
		}
		if resident, err := window.Resident(2, 2); err != nil || !slices.Equal(resident, []bool{true, true}) {
			t.Errorf("Resident over the edge: %v, %v", resident, err)
		}
		must(t, window.Close())

		err = r.Resize(c.Reserve)
		wants(t, err, unix.ENOSPC, name, fmt.Sprintf("pages of %d KiB", size>>10), fmt.Sprintf("has %d", was.all))
		t.Log(err)
		taken("a growth that failed", 2, 2*n)
		copies, err := mmap.Config{Mode: mmap.CopyOnWrite, Reserve: 4 * n}.Open(name)
		must(t, err)
		filler, err := os.Create(name + "2")
		must(t, err)
		if rest := int64(was.all - 2); rest > 0 {
			must(t, unix.Fallocate(int(filler.Fd()), 0, 0, rest*n))
		}
		wants(t, mmap.Put(copies, 9, byte(1)), mmap.ErrIO, fmt.Sprintf("has %d, of which 0 are free", was.all))
		must(t, copies.Close(), filler.Close(), os.Remove(name+"2"))

		wants(t, r.Resize(n+1), errors.ErrUnsupported, fmt.Sprintf("whole pages of %d bytes", size))
		must(t, r.Resize(n))
		taken("shrunk", 1, n)
		again, err := c.OpenOrCreate(name, 2*n)
		must(t, err, other.Refresh())
		taken("grown by another", 2, 2*n)
		must(t, mmap.Put(again, size+9, byte(3)))
		if got, err := mmap.Get[byte](other, size+9); got != 3 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		must(t, os.Truncate(name, n))
		var fault *mmap.FaultError
		_, err = again.ReadAt(got, n-5)
		if !errors.As(err, &fault) || fault.Err != mmap.ErrTruncated || fault.Offset != size {
			t.Errorf("a read over the new end: %v", err)
		}
		wants(t, again.Sync(), mmap.ErrTruncated)
		must(t, again.Close(), other.Close(), r.Close(), os.Remove(name))
	})
}
