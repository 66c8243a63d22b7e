//go:build windows

package mmap

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Before Windows 10 (1803) and Windows Server 2019 there are no placeholders.
//
// Memory is reserved as a whole, and committed as the region grows: growth and
// tombstones are as good as with placeholders. A file is one view, of the size that
// it was mapped with, since address space that is given back to be mapped anew can
// be taken by others in between. Its tombstone is the view itself, without access:
// so the file cannot be shortened or deleted until nothing reaches the region any
// more.

func mapOld(h handle, q *request) (space, error) {
	var s space
	var err error
	switch {
	case h == noFile:
		s, err = reserveOld(q)
	case q.spare:
		err = withLimit(os.NewSyscallError("VirtualAlloc2", errors.ErrUnsupported), "address space to grow into needs Windows 10 version 1803, or Windows Server 2019")
	default:
		s, err = viewOld(h, q)
	}
	if err != nil {
		return space{}, q.refused(err)
	}
	return s, nil
}

func reserveOld(q *request) (space, error) {
	at, err := alloc(q.addr, q.size, windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	if err != nil && q.addr != 0 && !q.exact {
		at, err = alloc(0, q.size, windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	}
	if err == nil && q.exact && at != q.addr { // rounded down
		free(at, 0, windows.MEM_RELEASE)
		err = os.NewSyscallError("VirtualAlloc", windows.ERROR_MAPPED_ALIGNMENT)
	}
	if err != nil {
		return space{}, err
	}
	list := []spacePiece{{to: q.size, what: memoryPiece}}
	return space{system{&pieces{memory: true, list: list}}, pointerTo(at), q.size}, nil
}

func viewOld(h handle, q *request) (space, error) {
	src, err := h.source(q.size, q)
	if err != nil {
		return space{}, err
	}
	defer src.close() // the view keeps the section
	left := src.size - q.off
	if left <= int64(q.size-q.page) {
		return space{}, shorter(src.size, q.off+int64(q.size))
	}
	lead := uintptr(q.off % int64(granularity()))
	access := uint32(windows.FILE_MAP_READ)
	switch {
	case q.private:
		access = windows.FILE_MAP_COPY
	case src.wide.store:
		access = windows.FILE_MAP_WRITE
	}
	if src.wide.execute {
		access |= windows.FILE_MAP_EXECUTE
	}
	n := min(uintptr(left), q.size) + lead
	at := uintptr(0)
	if q.exact {
		at = q.addr - lead
	}
	off := uint64(q.off) - uint64(lead)
	err = call("MapViewOfFileEx", func() error {
		r, _, err := mapViewOfFileEx.Call(uintptr(src.section), uintptr(access), uintptr(off>>32), uintptr(uint32(off)), n, at)
		at = r
		return ok(r, err)
	})
	if err != nil {
		return space{}, err
	}
	list := []spacePiece{{to: q.size, what: viewPiece, lead: lead, store: src.wide.store, private: q.private, access: protection(src.wide, q.private)}}
	return space{system{&pieces{list: list}}, unsafe.Add(pointerTo(at), lead), q.size}, nil
}
