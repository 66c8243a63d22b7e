//go:build amd64 || arm64 || ppc64le || s390x

package probes

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

var page = os.Getpagesize()

// at says what the kernel does with n bytes at an address: it maps them (nil), they
// are taken (EEXIST), or beyond what it grants (ENOMEM). It asks the kernel itself:
// a region would leave a tombstone.
func at(addr uintptr, n int) error {
	p, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&addr)), uintptr(n), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return err
	}
	return unix.MunmapPtr(p, uintptr(n))
}

// granted finds the end of the address space: the first page that the kernel does
// not map.
func granted(t *testing.T) uintptr {
	t.Helper()
	low, high := uintptr(1)<<32/uintptr(page), ^uintptr(0)/uintptr(page) // in pages; the last one ends at 2^64
	for high-low > 1 {
		middle := low + (high-low)/2
		switch err := at(middle*uintptr(page), page); err {
		case nil, unix.EEXIST:
			low = middle
		case unix.ENOMEM:
			high = middle
		default:
			t.Fatalf("address %#x: %v", middle*uintptr(page), err)
		}
	}
	return high * uintptr(page)
}

// room is the size of the largest gap in the address space, without being asked for a
// high address.
func room() int64 {
	low, high := int64(0), int64(1)<<62/int64(page)
	for high-low > 1 {
		middle := low + (high-low)/2
		p, err := unix.MmapPtr(-1, 0, nil, uintptr(middle*int64(page)), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			high = middle
			continue
		}
		unix.MunmapPtr(p, uintptr(middle*int64(page)))
		low = middle
	}
	return low * int64(page)
}

const tib = 1 << 40

// Reservations need address space, and nothing else. This test comes first: the
// others leave tombstones all over the address space.
func TestReservationsAreAsLargeAsTheKernelGrants(t *testing.T) {
	needs(t, "addresses")
	granted := room()
	most := min(granted-granted/64, 1<<47-1<<22) // a little stays for the Go runtime
	most -= most % int64(page)
	t.Logf("the kernel grants %.1f TiB in one piece; %.1f are reserved", float64(granted)/tib, float64(most)/tib)
	if most < 60*tib { // half of 47 bits, and less: the Go heap may lie in the middle
		t.Error("less than 60 TiB")
	}
	file := "/dev/shm/large"
	defer os.Remove(file)
	for _, tt := range []struct {
		name string
		make func(c mmap.Config) (*mmap.Region, error)
	}{
		{"memory", func(c mmap.Config) (*mmap.Region, error) { return c.Anonymous(int64(page)) }},
		{"file", func(c mmap.Config) (*mmap.Region, error) { return c.Create(file, int64(page)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 100 { // until the tombstone of the one before is gone
				if room() >= most {
					break
				}
				runtime.GC()
				time.Sleep(10 * time.Millisecond)
			}
			r, err := tt.make(mmap.Config{Reserve: most, Sparse: true})
			mapped(t, r, err)
			all := r.Reserved()
			far := r.Cap() - 5
			faults(t, r, far, mmap.ErrTruncated, func() { touched = all[far] })
			err = r.Resize(most)
			switch {
			case tt.name == "memory": // so much cannot be promised
				if err == nil || r.Len() != page || !strings.Contains(err.Error(), "vm.overcommit_memory") {
					t.Errorf("grown to %v, %v", r, err)
				}
				t.Log(err)
			case err != nil || int64(r.Len()) != most:
				t.Errorf("grown to %v, %v", r, err)
			default:
				all[far] = 9
				if got, err := mmap.Get[uint8](r, far); got != 9 || err != nil {
					t.Errorf("the byte at %d: %d, %v", far, got, err)
				}
				if err := r.Resize(int64(page)); err != nil {
					t.Error(err)
				}
				faults(t, r, far, mmap.ErrTruncated, func() { touched = all[far] })
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			faults(t, r, far, mmap.ErrClosed, func() { touched = all[far] })
		})
	}
	r, err := mmap.Config{Reserve: 1<<47 + 1}.Anonymous(int64(page))
	if r != nil || !errors.Is(err, mmap.ErrRange) || !strings.Contains(err.Error(), "a region has at most") {
		t.Errorf("more than 128 TiB: %v, %v", r, err)
	}
	const high = 1 << 48
	if at(high, 1<<47) == nil {
		r, err := mmap.Config{Addr: high, Reserve: 1<<47 - 1<<22}.Anonymous(int64(page))
		mapped(t, r, err)
		far := r.Cap() - 5
		all := r.Reserved()
		faults(t, r, far, mmap.ErrTruncated, func() { touched = all[far] })
		t.Logf("%d bytes at %#x", r.Cap(), r.Addr())
	}
}

func TestARegionLivesWhereverTheKernelMapsIt(t *testing.T) {
	needs(t, "addresses")
	end := granted(t)
	t.Logf("%s, pages of %d bytes: addresses up to %#x are granted, %s", runtime.GOARCH, page, end-1, power(end))
	size := 20 * uintptr(page) // for two regions

	// The highest room: below the end there may be a stack.
	top := end - size
	for at(top, int(size)) == unix.EEXIST {
		top -= size
	}
	addrs := []uintptr{top}
	for b := 32; b < bits.Len64(uint64(end-1)); b++ {
		addrs = append(addrs, 1<<b-2*size, 1<<b-size/2, 1<<b+size) // below, across and above
	}
	lived := 0
	for _, addr := range addrs {
		err := at(addr, int(size))
		if err == unix.EEXIST {
			t.Logf("%#x is taken", addr)
			continue
		}
		if err != nil {
			t.Errorf("%#x, which lies below the end: %v", addr, err)
			continue
		}
		lived++
		t.Run(fmt.Sprintf("%#x", addr), func(t *testing.T) {
			place := addr + size/2
			r, err := mmap.Config{Addr: place, Reserve: 8 * int64(page)}.Anonymous(4 * int64(page))
			live(t, place, mapped(t, r, err), nil)
		})
		t.Run(fmt.Sprintf("%#x,file", addr), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "file")
			r, err := mmap.Config{Addr: addr + 7, Offset: 7, Reserve: 8 * int64(page)}.Create(name, 4*int64(page)+7)
			live(t, addr+7, mapped(t, r, err), func(n int64) error { return os.Truncate(name, n) })
		})
	}
	t.Logf("highest region: %#x, and %d others", top, lived-1)
	if lived < 2*(bits.Len64(uint64(end-1))-32) {
		t.Errorf("only %d of %d places were free", lived, len(addrs))
	}
}

// power says an address as bits.
func power(end uintptr) string {
	return fmt.Sprintf("%d bits (%d TiB)", bits.Len64(uint64(end-1)), (end-1)>>40+1)
}

// live does to a region of 4 pages, which can have 8, all that depends on addresses.
func live(t *testing.T, addr uintptr, r *mmap.Region, truncate func(n int64) error) {
	if r.Addr() != addr || r.Len() != 4*page {
		t.Fatalf("%v at %#x, want %d bytes at %#x", r, r.Addr(), 4*page, addr)
	}
	v, err := mmap.ViewOf[uint8](r, 0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	raw, all := r.Bytes(), r.Reserved()
	last := 4*page - 1
	v.Set(last, 200)
	if got, err := mmap.Get[uint8](r, last); got != 200 || raw[last] != 200 || err != nil {
		t.Errorf("Get: %d, %v", got, err)
	}
	if found, off := mmap.RegionOf(all[5*page+1:]); found != r || off != 5*page+1 {
		t.Errorf("RegionOf: %v, %d", found, off)
	}
	faults(t, r, 5*page+77, mmap.ErrTruncated, func() { touched = all[5*page+77] })
	if err := r.Resize(6 * int64(page)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(mmap.Put[uint64](r, 6*page-8, 1), r.Sync()); err != nil || all[5*page+77] != 0 || v.At(last) != 200 {
		t.Errorf("after growth: %v", err)
	}
	if err := r.Protect(mmap.ReadOnly); err != nil {
		t.Error(err)
	}
	faults(t, r, 3*page+9, mmap.ErrReadOnly, func() { raw[3*page+9] = 1 })
	if err := r.Protect(mmap.ReadWrite); err != nil {
		t.Error(err)
	}
	if err := r.Resize(2 * int64(page)); err != nil {
		t.Error(err)
	}
	beyond := 3*page + 9
	faults(t, r, beyond, mmap.ErrTruncated, func() { touched = v.At(beyond) })
	if err := r.Resize(4 * int64(page)); err != nil {
		t.Error(err)
	}
	if truncate != nil {
		start := int(r.Offset()) % page
		if err := truncate(int64(2 * page)); err != nil {
			t.Fatal(err)
		}
		faults(t, r, beyond, mmap.ErrTruncated, func() { touched = v.At(beyond) })
		n, err := r.ReadAt(make([]byte, 4*page), 0)
		if !errors.Is(err, mmap.ErrTruncated) || n != 2*page-start {
			t.Errorf("ReadAt of a truncated file: %d, %v, want %d", n, err, 2*page-start)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	faults(t, r, page+3, mmap.ErrClosed, func() { touched = v.At(page + 3) })
	faults(t, r, page+3, mmap.ErrClosed, func() { raw[page+3] = 1 })
	if found, off := mmap.RegionOf(raw[3:]); found != r || off != 3 {
		t.Errorf("RegionOf memory of a closed region: %v, %d", found, off)
	}
	first := addr &^ uintptr(page-1)
	again, err := mmap.Config{Addr: first}.Anonymous(int64(page))
	if again != nil || !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), fmt.Sprintf("%#x", first)) {
		t.Errorf("the address of a region that was just closed: %v", err)
	}
	runtime.KeepAlive(r)
}

var touched uint8 // keeps a load

// faults checks that an access of byte off is stopped there.
func faults(t *testing.T, r *mmap.Region, off int, want error, access func()) {
	t.Helper()
	err := mmap.Guard(func() error { access(); return nil })
	var fault *mmap.FaultError
	if !errors.As(err, &fault) || !errors.Is(err, want) || fault.Region != r {
		t.Errorf("byte %d: %v, want %v", off, err, want)
		return
	}
	got, slack := fault.Offset, int(r.Addr())%page
	if runtime.GOARCH == "s390x" { // which reports the page
		off = max(off-(slack+off)%page, 0)
	}
	if got != off {
		t.Errorf("the fault was at %d, want %d", got, off)
	}
}

// A tombstone at the highest address goes when nothing reaches it; where raw memory
// was handed out it stays.
func TestTheHighestAddressIsFreeAgainWhenNothingReachesIt(t *testing.T) {
	needs(t, "addresses")
	top := granted(t) - uintptr(page)
	for at(top, page) == unix.EEXIST {
		top -= uintptr(page)
	}
	for _, tt := range []struct {
		name string
		raw  bool
	}{{"nothing was handed out", false}, {"raw memory was", true}} {
		r, err := mmap.Config{Addr: top}.Anonymous(int64(page))
		if err != nil {
			t.Fatal(err)
		}
		if tt.raw {
			_ = r.Bytes()
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := at(top, page); err != unix.EEXIST {
			t.Errorf("%s: just closed, its address is taken: %v", tt.name, err)
		}
		r = nil
		waits := 50
		for ; waits > 0 && at(top, page) == unix.EEXIST; waits-- {
			runtime.GC()
			time.Sleep(10 * time.Millisecond) // cleanups run on goroutines of the runtime
		}
		if free := at(top, page) == nil; free == tt.raw {
			t.Errorf("%s: free at last: %v", tt.name, free)
		}
		t.Logf("%s: %d collections", tt.name, 50-waits)
	}
}

func TestAddressesBeyondWhatTheKernelGrantsAreAnError(t *testing.T) {
	needs(t, "addresses")
	end := granted(t)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 4*page), 0o600); err != nil {
		t.Fatal(err)
	}
	addrs := []uintptr{end, end + uintptr(page), end - uintptr(page), end - 3*uintptr(page), ^uintptr(0) &^ uintptr(page-1), ^uintptr(0)&^uintptr(page-1) - 3*uintptr(page)}
	for b := bits.Len64(uint64(end - 1)); b < 64; b++ {
		addrs = append(addrs, 1<<b, 1<<b|1<<(b-1))
	}
	said := ""
	for _, addr := range addrs {
		if addr+4*uintptr(page) > addr && addr+4*uintptr(page) <= end {
			continue // a number that has wrapped, or the end itself
		}
		r, err := mmap.Config{Addr: addr}.Anonymous(4 * int64(page))
		f, errFile := mmap.Config{Addr: addr, Mode: mmap.ReadWrite, Reserve: 1 << 30}.Open(name)
		for r, err := range map[*mmap.Region]error{r: err, f: errFile} {
			said = fmt.Sprint(err)
			if r != nil || err == nil {
				t.Errorf("%#x: %v", addr, r)
				r.Close()
			} else if !strings.Contains(said, fmt.Sprintf("%#x", addr)) {
				t.Errorf("%#x: %v, which does not name the address", addr, err)
			}
		}
	}
	t.Log(said)
}
