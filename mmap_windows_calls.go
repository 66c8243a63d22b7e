//go:build windows

package mmap

import (
	"errors"
	"math"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The calls of Windows, each with its name in its error, and those that package
// windows lacks.

var (
	kernelBase       = windows.NewLazySystemDLL("kernelbase.dll")
	virtualAlloc2    = kernelBase.NewProc("VirtualAlloc2")
	mapViewOfFile3   = kernelBase.NewProc("MapViewOfFile3")
	unmapViewOfFile2 = kernelBase.NewProc("UnmapViewOfFile2")

	kernel32              = windows.NewLazySystemDLL("kernel32.dll")
	mapViewOfFileEx       = kernel32.NewProc("MapViewOfFileEx")
	prefetchVirtualMemory = kernel32.NewProc("PrefetchVirtualMemory")
	globalMemoryStatusEx  = kernel32.NewProc("GlobalMemoryStatusEx")
	getNativeSystemInfo   = kernel32.NewProc("GetNativeSystemInfo")
)

// What package windows lacks of winnt.h.
const (
	memReservePlaceholder  = 0x40000
	memReplacePlaceholder  = 0x4000
	memPreservePlaceholder = 2
	memCoalesce            = 1
)

// placeholders reports whether the system has them: Windows 10 from 1803 on,
// Windows Server from 2019 on. That there are the calls does not say so: Wine 8 has
// them, and refuses the flags. Before, see mmap_windows_old.go.
var placeholders = sync.OnceValue(func() bool {
	for _, p := range []*windows.LazyProc{virtualAlloc2, mapViewOfFile3, unmapViewOfFile2} {
		if p.Find() != nil {
			return false
		}
	}
	at, err := placeholder(0, granularity())
	if err == nil {
		windows.VirtualFree(at, 0, windows.MEM_RELEASE)
	}
	return !isCode(err, windows.ERROR_INVALID_PARAMETER)
})

// call makes a system call, and says in the error which call it was.
func call(name string, fn func() error) error {
	return os.NewSyscallError(name, intercepted(name, fn))
}

// ok is the error of a call that returns 0 if it fails.
func ok(r uintptr, err error) error {
	switch {
	case r != 0:
		return nil
	case err == nil || err == syscall.Errno(0):
		return windows.ERROR_INVALID_FUNCTION
	}
	return err
}

// self is the handle of this process.
var self = uintptr(windows.CurrentProcess())

// pointerTo is not a conversion: to the checks of pointer arithmetic, address space
// that Go knows nothing of is no pointer.
func pointerTo(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// reserve takes address space at addr, or anywhere if that is 0: one free
// placeholder.
func reserve(addr, size uintptr) (at uintptr, err error) {
	err = call("VirtualAlloc2", func() error {
		at, err = placeholder(addr, size)
		return err
	})
	return at, err
}

func placeholder(addr, size uintptr) (at uintptr, err error) {
	at, _, err = virtualAlloc2.Call(self, addr, size, windows.MEM_RESERVE|memReservePlaceholder, windows.PAGE_NOACCESS, 0, 0)
	return at, ok(at, err)
}

// reserveIn turns a free placeholder into memory that is reserved, not committed.
func reserveIn(addr, size uintptr) error {
	return call("VirtualAlloc2", func() error {
		r, _, err := virtualAlloc2.Call(self, addr, size, windows.MEM_RESERVE|memReplacePlaceholder, windows.PAGE_NOACCESS, 0, 0)
		return ok(r, err)
	})
}

// alloc is VirtualAlloc.
func alloc(addr, size uintptr, how, protection uint32) (at uintptr, err error) {
	err = call("VirtualAlloc", func() (err error) {
		at, err = windows.VirtualAlloc(addr, size, how, protection)
		return err
	})
	return at, err
}

// free is VirtualFree.
func free(addr, size uintptr, how uint32) error {
	return call("VirtualFree", func() error { return windows.VirtualFree(addr, size, how) })
}

// protect is VirtualProtect.
func protect(addr, size uintptr, protection uint32) error {
	return call("VirtualProtect", func() error {
		var old uint32
		return windows.VirtualProtect(addr, size, protection, &old)
	})
}

// section opens a section of the file: of the size that it has at that moment if size
// is 0. One that is larger than the file makes the file grow.
func (h handle) section(protection uint32, size int64) (sec windows.Handle, err error) {
	err = call("CreateFileMapping", func() (err error) {
		sec, err = windows.CreateFileMapping(windows.Handle(h), nil, protection, uint32(size>>32), uint32(size), nil)
		return err
	})
	return sec, err
}

// mapIn turns the free placeholder at addr into a view. size 0 means up to the end
// of the section.
func mapIn(sec windows.Handle, addr uintptr, off int64, size uintptr, protection uint32) error {
	args := []uintptr{uintptr(sec), self, addr, uintptr(off)}
	if is64 == 0 {
		args = append(args, uintptr(uint64(off)>>32))
	}
	args = append(args, size, memReplacePlaceholder, uintptr(protection), 0, 0)
	return call("MapViewOfFile3", func() error {
		r, _, err := mapViewOfFile3.Call(args...)
		return ok(r, err)
	})
}

// unmapTo turns the view at addr back into a free placeholder, in one step.
func unmapTo(addr uintptr) error {
	return call("UnmapViewOfFile2", func() error {
		r, _, err := unmapViewOfFile2.Call(self, addr, memPreservePlaceholder)
		return ok(r, err)
	})
}

// unmapView gives a view and its address space back.
func unmapView(addr uintptr) error {
	return call("UnmapViewOfFile", func() error { return windows.UnmapViewOfFile(addr) })
}

// prefetch asks for pages to be read in. It does not report what could not be read.
func prefetch(addr, size uintptr) {
	if prefetchVirtualMemory.Find() != nil { // Windows 8
		return
	}
	span := struct{ addr, size uintptr }{addr, size}
	call("PrefetchVirtualMemory", func() error {
		r, _, err := prefetchVirtualMemory.Call(self, 1, uintptr(unsafe.Pointer(&span)), 0)
		return ok(r, err)
	})
}

// A memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	length                                 uint32
	load                                   uint32
	totalPhys, availPhys                   uint64
	commitLimit, availCommit               uint64
	totalVirtual, availVirtual, availExtra uint64
}

func memoryNow() (st memoryStatus) {
	st.length = uint32(unsafe.Sizeof(st))
	if r, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&st))); r == 0 {
		st.commitLimit, st.availCommit, st.totalVirtual, st.availVirtual = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	}
	return st
}

// granularity is what the address of a reservation is a multiple of, in bytes: 64
// KiB. The offset of a view in its file need only be whole pages where there are
// placeholders, and is a multiple of this where there are none.
var granularity = sync.OnceValue(func() uintptr {
	var info struct {
		_                      uint32
		pageSize               uint32
		lowest, highest        uintptr
		mask                   uintptr
		processors, kind, unit uint32
		_, _                   uint16
	}
	getNativeSystemInfo.Call(uintptr(unsafe.Pointer(&info)))
	if info.unit == 0 {
		return 64 << 10
	}
	return uintptr(info.unit)
})

// isCode reports whether an error is one of these.
func isCode(err error, codes ...syscall.Errno) bool {
	var code syscall.Errno
	if !errors.As(err, &code) {
		return false
	}
	for _, c := range codes {
		if code == c {
			return true
		}
	}
	return false
}
