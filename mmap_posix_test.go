//go:build unix && !aix && (!linux || mmap_posix)

package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuse has fn called before the system call of this name, the n-th, counted from
// 0. What it returns is the call's error.
func refuse(t *testing.T, name string, n int, fn func() error) {
	calls := 0
	ask := func(call string) error {
		if call != name {
			return nil
		}
		calls++
		if calls-1 != n {
			return nil
		}
		return fn()
	}
	intercept.Store(&ask)
	t.Cleanup(func() { intercept.Store(nil) })
}

// foreign are pages of somebody else, at an address where nothing is. Who calls it
// unmaps them.
func foreign(t *testing.T, addr unsafe.Pointer, size uintptr) []byte {
	t.Helper()
	p, err := unix.MmapPtr(-1, 0, addr, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED)
	if err != nil {
		t.Fatal(err)
	}
	b := unsafe.Slice((*byte)(p), size)
	copy(b, bytes.Repeat([]byte{0x5a}, len(b)))
	return b
}

// A space with its size, to look at what a method changes.
func (s *space) is(addr unsafe.Pointer, size uintptr) bool { return s.addr == addr && s.size == size }

// replacements are the ways to replace pages of a region of four, by fresh ones
// without access.
var replacements = []struct {
	name string
	kept uintptr // pages that are not replaced
	do   func(r *Region) error
}{
	{"Close", 0, (*Region).Close},
	{"Resize", 1, func(r *Region) error { return r.Resize(int64(os.Getpagesize())) }},
}

func needsHoles(t *testing.T) {
	if !failedFixedLeavesHole || !replacesInOneStep {
		t.Skip("on this system a failed mmap(2) with MAP_FIXED leaves no hole, or Close does not use it")
	}
}

func TestAHoleThatAFailedMmapLeavesIsFilledAtOnce(t *testing.T) {
	needsHoles(t)
	page := uintptr(os.Getpagesize())
	for _, how := range replacements {
		t.Run(how.name, func(t *testing.T) {
			r := anonymousRegion(t, int64(4*page))
			m := r.o.mapping
			addr, old := m.space.addr, r.Bytes()
			copy(old, pattern(len(old)))
			refuse(t, "mmap", 0, func() error {
				unix.MunmapPtr(m.space.at(how.kept*page), (4-how.kept)*page)
				return unix.ENOMEM
			})
			if err := how.do(r); err != nil {
				t.Fatal(err)
			}
			if !m.space.is(addr, 4*page) || !listed(m) {
				t.Errorf("the space has %d bytes, want %d", m.space.size, 4*page)
			}
			// Nobody else is given the range.
			p, err := mapThere(noFile, 0, uintptr(addr), 4*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("mapped at %p: %v; want it taken", p, err)
			}
			var fault *FaultError
			if err := Guard(func() error { old[3*page]++; return nil }); !errors.As(err, &fault) {
				t.Errorf("a store to what was replaced: %v", err)
			}
			if how.kept == 0 {
				return
			}
			if err := r.Resize(int64(4 * page)); err != nil || !bytes.Equal(r.Bytes()[:page], pattern(int(page))) || !bytes.Equal(r.Bytes()[page:], make([]byte, 3*page)) {
				t.Errorf("grown again: %v, or other bytes than were kept, and zeros", err)
			}
		})
	}
}

func TestWhatOthersMappedIntoAHoleIsNeverTouched(t *testing.T) {
	needsHoles(t)
	page := uintptr(os.Getpagesize())
	for _, how := range replacements {
		t.Run(how.name, func(t *testing.T) {
			r := anonymousRegion(t, int64(4*page))
			m := r.o.mapping
			addr, start := m.space.addr, m.space.at(how.kept*page)
			r.Reserved() // which Close keeps
			var theirs []byte
			refuse(t, "mmap", 0, func() error {
				unix.MunmapPtr(start, (4-how.kept)*page)
				theirs = foreign(t, start, (4-how.kept)*page)
				return unix.EINVAL
			})
			untouched := func(when string) {
				t.Helper()
				for i := range theirs {
					if theirs[i] != 0x5a {
						t.Fatalf("%s: byte %d of somebody else's mapping is %#x", when, i, theirs[i])
					}
				}
				theirs[0] = 0x5a // and can be stored to
			}
			if err := how.do(r); err != nil {
				t.Fatal(err)
			}
			untouched(how.name)
			if !m.space.is(addr, how.kept*page) || listed(m) != (how.kept > 0) || registry.find(uintptr(start)) != nil {
				t.Errorf("%d bytes are still the region's, want %d", m.space.size, how.kept*page)
			}
			if how.kept > 0 {
				if r.Len() != int(page) || r.Cap() != int(page) || len(r.Reserved()) != int(page) {
					t.Errorf("%v, want all of it to end where the space does", r)
				}
				wantErr(t, r.Resize(int64(4*page)), ErrRange)
				r.Bytes()[page-1]++
				if err := r.Resize(0); err != nil {
					t.Error(err)
				}
				untouched("Resize to nothing")
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			untouched("Close")
			if how.kept > 0 && m.high != m.space.size {
				t.Errorf("the tombstone counts as %d bytes, and has %d", m.high, m.space.size)
			}
			r = nil
			collectAll(t)
			rawQuarantine.giveWay()
			untouched("the collection")
			// The address can be used again, also by this package.
			if err := unix.MunmapPtr(start, (4-how.kept)*page); err != nil {
				t.Fatal(err)
			}
			again, err := Config{Addr: uintptr(start)}.Anonymous(int64(page))
			if errors.Is(err, fs.ErrExist) {
				return // by somebody else, meanwhile
			}
			need(t, again, err)
			if got, _ := RegionOf(again.Bytes()); got != again {
				t.Errorf("what is mapped there now is %v, want %v", got, again)
			}
		})
	}
}

func TestAGrowthThatWaitedDoesNotLeaveTheSpace(t *testing.T) {
	page := int64(os.Getpagesize())
	r := anonymousRegion(t, 4*page)
	m := r.o.mapping
	if err := r.Resize(page); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := m.space.size
	m.space.size = uintptr(page)
	err := m.commit(source{}, 2*page)
	m.space.size = size
	wantErr(t, err, ErrRange, "reserved")
}

// A limit is no hole: what cannot be replaced is made inaccessible, and stays this
// package's.
func TestAtALimitTheOldPagesAreOurs(t *testing.T) {
	page := uintptr(os.Getpagesize())
	r := anonymousRegion(t, int64(4*page))
	m := r.o.mapping
	addr, old := m.space.addr, r.Bytes()
	ask := func(call string) error {
		if call == "mmap" {
			return unix.ENOMEM
		}
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	wantErr(t, r.Resize(int64(page)), unix.ENOMEM)
	if r.Len() != int(4*page) || r.Cap() != int(4*page) {
		t.Errorf("Resize failed, and left %v", r)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if !m.space.is(addr, 4*page) || !listed(m) {
		t.Errorf("%d bytes are still the region's, want %d", m.space.size, 4*page)
	}
	wantErr(t, Guard(func() error { old[0]++; return nil }), ErrClosed)
}

// Some systems have one error for an address that is taken and for want of memory.
func TestAVagueErrorOfMmapIsFoundOut(t *testing.T) {
	if !takenIsVague {
		t.Skip("this system says what is wrong")
	}
	page := uintptr(os.Getpagesize())
	name := tempFile(t, pattern(int(page)))
	p, err := unix.MmapPtr(-1, 0, nil, page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.MunmapPtr(p, page); err != nil {
		t.Fatal(err)
	}
	free := Config{Addr: uintptr(p)}
	for _, errno := range []unix.Errno{unix.ENOMEM, unix.EINVAL, unix.EEXIST} {
		refuse(t, "mmap", 0, func() error { return errno })
		_, err := free.Open(name)
		wantErr(t, err, fs.ErrExist, "something is mapped", name)
	}
	for _, errno := range []unix.Errno{unix.ENOMEM, unix.EINVAL, unix.EACCES} {
		ask := func(call string) error {
			if call == "mmap" {
				return errno
			}
			return nil
		}
		intercept.Store(&ask)
		_, err := free.Open(name)
		wantErr(t, err, errno, name)
		if errors.Is(err, fs.ErrExist) {
			t.Errorf("%v: says that the address is taken: %v", errno, err)
		}
	}
}

func TestWantOfSpaceNamesTheLimits(t *testing.T) {
	err := limited(os.NewSyscallError("mmap", unix.ENOMEM), 12345)
	words := []string{"12345 bytes"}
	if name, n := maxMappings(); name != "" {
		words = append(words, name, itoa(n))
	}
	if n := resource(dataLimit); n < maxSpace {
		words = append(words, "RLIMIT_DATA")
	}
	wantErr(t, err, unix.ENOMEM, words...)
	err = limited(os.NewSyscallError("mmap", unix.EAGAIN), 12345)
	wantErr(t, err, unix.EAGAIN, "12345 bytes", "swap")
	if strings.Contains(err.Error(), "RLIMIT") {
		t.Errorf("%v: no limit of address space was in the way", err)
	}
	if err := limited(os.NewSyscallError("mmap", unix.EACCES), 1); err.Error() != "mmap: "+unix.EACCES.Error() {
		t.Errorf("not for want of space: %v", err)
	}
	if n := limits().mappings; n < 1000 {
		t.Errorf("the process may have %d mappings?", n)
	}
}

func TestDevicesThatCannotBeMappedAreNamed(t *testing.T) {
	for _, errno := range []error{unix.ENODEV, unix.EINVAL, unix.EIO} {
		err := unfitToMap("/dev/x", status{kind: device, what: aDevice}, os.NewSyscallError("mmap", errno))
		wantErr(t, err, errors.ErrUnsupported, "/dev/x", aDevice, "cannot be mapped")
	}
	err := unfitToMap("/dev/x", status{kind: device, what: aDevice}, os.NewSyscallError("mmap", unix.EACCES))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a device that may not be mapped, for want of a right: %v", err)
	}
	err = unfitToMap("f", status{kind: regular}, os.NewSyscallError("mmap", unix.EINVAL))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("EINVAL of a regular file: %v", err)
	}
}
