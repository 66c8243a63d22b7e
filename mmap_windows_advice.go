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

// resident is QueryWorkingSetEx: the lowest bit says that the page is in the
// working set of this process.
func (s *space) resident(from, to uintptr, pages []bool) error {
	page := uintptr(os.Getpagesize())
	type entry struct{ addr, attributes uintptr } // PSAPI_WORKING_SET_EX_INFORMATION
	entries := make([]entry, min(len(pages), 4<<10))
	for len(pages) > 0 {
		n := min(len(pages), len(entries))
		for i := range n {
			entries[i] = entry{addr: s.address(from) + uintptr(i)*page}
		}
		err := call("QueryWorkingSetEx", func() error {
			return windows.QueryWorkingSetEx(windows.CurrentProcess(), uintptr(unsafe.Pointer(&entries[0])), uint32(uintptr(n)*unsafe.Sizeof(entry{})))
		})
		if err != nil {
			return err
		}
		for i := range n {
			pages[i] = entries[i].attributes&1 != 0
		}
		pages, from = pages[n:], from+uintptr(n)*page
	}
	return nil
}
