package mmap

import (
	"os"
	"runtime/debug"
	"unsafe"
)

// Bulk copies between mapped memory and other memory, which may be mapped too. All
// are as the built-in copy, and none ends the process.
//
// A copy is made whole. Only if it faults is it made again, page by page, to find
// out how far it can go. Where the two sides overlap, a copy that was stopped in
// the middle may have changed what is still to be copied: so it goes by pages from
// the start, in the direction that is right, and a page either is copied or not.

// transfer copies n elements of size bytes each from src to dst, with the bytes of
// each reversed if reversed. It returns how many were copied before the first
// that could not be, and why.
func transfer(dst, src unsafe.Pointer, n, size int, reversed bool) (int, error) {
	if apart(dst, src, n*size) {
		if reversed && tryCopy(dst, src, n*size, size, reversed) == nil || !reversed && move(dst, src, n*size) {
			return n, nil
		}
	}
	return transferByPages(dst, src, n, size, reversed)
}

// transferByPages is transfer for what could not be copied whole.
func transferByPages(dst, src unsafe.Pointer, n, size int, reversed bool) (int, error) {
	if distance := uintptr(dst) - uintptr(src); distance == 0 || distance >= uintptr(n*size) {
		return transferUpwards(dst, src, n, size, reversed)
	}
	return transferDownwards(dst, src, n, size, reversed)
}

// apart reports whether n bytes at dst and n bytes at src do not overlap.
func apart(dst, src unsafe.Pointer, n int) bool {
	distance := uintptr(dst) - uintptr(src)
	return distance >= uintptr(n) && -distance >= uintptr(n)
}

// move copies n bytes, and reports whether it could. The two sides are apart.
//
// It is what every small copy pays for. So it does what scope does without scope's
// calls, and copies up to 16 bytes as two words that may overlap: the built-in copy
// would be one call more. What is left above a bare copy is the flag and the deferred
// call.
func move(dst, src unsafe.Pointer, n int) (done bool) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if !done {
			faultOrPanic(recover())
		}
	}()
	switch {
	case hasWords && n >= 8 && n <= 16:
		first, last := *(*uint64)(src), *(*uint64)(unsafe.Add(src, n-8))
		*(*uint64)(dst), *(*uint64)(unsafe.Add(dst, n-8)) = first, last
	case hasWords && n >= 4 && n <= 8:
		first, last := *(*uint32)(src), *(*uint32)(unsafe.Add(src, n-4))
		*(*uint32)(dst), *(*uint32)(unsafe.Add(dst, n-4)) = first, last
	default:
		copy(unsafe.Slice((*byte)(dst), n), unsafe.Slice((*byte)(src), n))
	}
	return true
}

// hasWords says that a word may have any address, also to the race detector, which
// would see two accesses of a byte that lies in both words.
const hasWords = unalignedAccess && !raceEnabled

// tryCopy copies n bytes, whole elements of size bytes, and returns the fault that
// stopped it.
func tryCopy(dst, src unsafe.Pointer, n, size int, reversed bool) (f *fault) {
	old, done := debug.SetPanicOnFault(true), false
	defer func() {
		debug.SetPanicOnFault(old)
		if !done {
			f = faultOrPanic(recover())
		}
	}()
	switch {
	case reversed && size > 1:
		copyReversed(dst, src, n, size)
	case uintptr(dst)-uintptr(src) < uintptr(n):
		copyDownwards(dst, src, n)
	default:
		copy(unsafe.Slice((*byte)(dst), n), unsafe.Slice((*byte)(src), n))
	}
	done = true
	return nil
}

// copyDownwards is copy for a dst that begins within src, from the last byte to the
// first. The built-in copy sets the direction flag of some x86 processors then. A
// fault would leave it set, and the Go runtime would end the process, or worse.
func copyDownwards(dst, src unsafe.Pointer, n int) {
	for ; n%8 > 0; n-- {
		*(*byte)(unsafe.Add(dst, n-1)) = *(*byte)(unsafe.Add(src, n-1))
	}
	for n -= 8; n >= 0; n -= 8 {
		store((*uint64)(unsafe.Add(dst, n)), load((*uint64)(unsafe.Add(src, n))))
	}
}

func transferUpwards(dst, src unsafe.Pointer, n, size int, reversed bool) (int, error) {
	for i := 0; i < n; {
		d, s := unsafe.Add(dst, i*size), unsafe.Add(src, i*size)
		k := min(n-i, max(1, min(toPageEnd(d), toPageEnd(s))/size))
		if f := tryCopy(d, s, k*size, size, reversed); f != nil {
			return i, f.ofPiece(d, s, k, size)
		}
		i += k
	}
	return n, nil
}

// transferDownwards goes on where it cannot copy: what is above does not count any
// more.
func transferDownwards(dst, src unsafe.Pointer, n, size int, reversed bool) (int, error) {
	var failed error
	count := n
	for i := n; i > 0; {
		k := min(i, max(1, min(fromPageStart(unsafe.Add(dst, i*size)), fromPageStart(unsafe.Add(src, i*size)))/size))
		i -= k
		d, s := unsafe.Add(dst, i*size), unsafe.Add(src, i*size)
		if f := tryCopy(d, s, k*size, size, reversed); f != nil {
			count, failed = i, f.ofPiece(d, s, k, size)
		}
	}
	return count, failed
}

// ofPiece explains the fault of a copy of n elements of size bytes. One element may
// lie in two pages a side, and the processor may have tried the last first: so it
// is tried again from its first byte on.
func (f *fault) ofPiece(dst, src unsafe.Pointer, n, size int) error {
	if n == 1 && size > 1 {
		if _, err := transferUpwards(dst, src, size, 1, false); err != nil {
			return err
		}
	}
	return f.ofCopy(dst, src, n*size)
}

// ofCopy explains the fault of a copy of n bytes that touches a page, or for one
// element two pages, on each side. The side that failed is the one in whose page
// the fault was.
func (f *fault) ofCopy(dst, src unsafe.Pointer, n int) *FaultError {
	stored, loaded := f.within(dst, n), f.within(src, n)
	switch {
	case stored && loaded:
		return f.from(dst).explain(either)
	case stored:
		return f.from(dst).explain(aStore)
	case loaded:
		return f.from(src).explain(aLoad)
	}
	return f.explain(either)
}

// within reports whether the fault was in a page that n bytes at p lie in.
func (f *fault) within(p unsafe.Pointer, n int) bool {
	start := uintptr(f.m.base) + uintptr(f.m.pageStart(f.off))
	return uintptr(p)+uintptr(n) > start && uintptr(p) < start+f.m.page()
}

// from moves the fault to the first byte from p on that lies in its page: where a
// page is missing, all of it is.
func (f *fault) from(p unsafe.Pointer) *fault {
	f.off = f.m.pageStart(f.off)
	if first := uintptr(f.m.base) + uintptr(f.off); uintptr(p) > first {
		f.off += int(uintptr(p) - first)
	}
	return f
}

// toPageEnd returns the number of bytes from p to the end of its page.
func toPageEnd(p unsafe.Pointer) int {
	page := uintptr(os.Getpagesize())
	return int(page - uintptr(p)%page)
}

// fromPageStart returns the number of bytes before p in the page of the last of
// them.
func fromPageStart(p unsafe.Pointer) int {
	page := uintptr(os.Getpagesize())
	return int((uintptr(p)-1)%page) + 1
}
