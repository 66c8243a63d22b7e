//go:build windows

package mmap

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// advise is PrefetchVirtualMemory, which is all the advice that Windows takes of
// mapped memory. Nothing has to be taken back, so Normal is what holds already.
func (s *space) advise(from, to uintptr, a Advice) error {
	switch a {
	case Normal:
		return nil
	case WillNeed:
		return s.each(from, to, func(addr, size uintptr) error {
			prefetch(addr, size)
			return nil
		})
	}
	return lacking(os.NewSyscallError("PrefetchVirtualMemory", errors.ErrUnsupported), "Windows has no such advice")
}

// A workingSetEntry is a PSAPI_WORKING_SET_EX_INFORMATION.
type workingSetEntry struct{ addr, attributes uintptr }

// queryWorkingSet is QueryWorkingSetEx: the lowest bit says that the page is in the
// working set of this process.
func (s *space) queryWorkingSet(from uintptr, entries []workingSetEntry) error {
	for i := range entries {
		entries[i] = workingSetEntry{addr: s.address(from) + uintptr(i)*uintptr(os.Getpagesize())}
	}
	return call("QueryWorkingSetEx", func() error {
		return windows.QueryWorkingSetEx(windows.CurrentProcess(), uintptr(unsafe.Pointer(unsafe.SliceData(entries))), uint32(uintptr(len(entries))*unsafe.Sizeof(workingSetEntry{})))
	})
}

// missing is QueryWorkingSetEx.
func (s *space) missing(from, to uintptr) (missing, told bool) {
	var entries [256]workingSetEntry
	page := uintptr(os.Getpagesize())
	for from < to {
		n := min((to-from)/page, uintptr(len(entries)))
		if s.queryWorkingSet(from, entries[:n]) != nil {
			return false, false
		}
		for _, e := range entries[:n] {
			if e.attributes&1 == 0 {
				return true, true
			}
		}
		from += n * page
	}
	return false, true
}

// resident is QueryWorkingSetEx.
func (s *space) resident(from, to uintptr, pages []bool) error {
	page := uintptr(os.Getpagesize())
	entries := make([]workingSetEntry, min(len(pages), 4<<10))
	for len(pages) > 0 {
		n := min(len(pages), len(entries))
		if err := s.queryWorkingSet(from, entries[:n]); err != nil {
			return err
		}
		for i := range n {
			pages[i] = entries[i].attributes&1 != 0
		}
		pages, from = pages[n:], from+uintptr(n)*page
	}
	return nil
}
