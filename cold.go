package mmap

import (
	"errors"
	"iter"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Cold data: pages that are not in memory yet. A page fault that waits for a disk
// holds a processor of the Go scheduler, and soon the whole program. A system call
// holds nobody. So what goes over a long range asks the system which pages are
// missing, and has them brought in by system calls, a window at a time.
//
// Before a window is brought in it is announced: the system starts to read what is
// neither there nor on its way, and nothing else. The next one is announced as soon as
// this one is there. Where a file is read in order, the first page is brought in alone
// before. From it the system's own read-ahead begins, which knows the disk, and the
// announcements find little to do. On a local disk this is faster than announcements
// alone, and on slow storage these are faster than the system's read-ahead.

const (
	// window is how many bytes are brought in at a time. On a local disk, 256 KiB to
	// 4 MiB made no difference; on slow storage more is faster.
	window = 1 << 20

	// announced is how many bytes one announcement is of. Linux ignores what of a larger
	// one goes beyond the read-ahead of the device, which is 128 KiB as a rule.
	announced = 128 << 10

	// manyBytes is from how many bytes on a copy asks: for less the question costs too much.
	manyBytes = 64 << 10

	// near is for how many windows a missing page counts. The system's read-ahead goes on
	// when certain pages are brought in, and those may be there already.
	near = 16

	// recentBytes are what a copy remembers as one: that all of them were in memory.
	recentBytes = 64 << 10
)

// rememberFor is for how long. Only tests change it.
var rememberFor = 100 * time.Millisecond

// A recent is of bytes that were in memory a moment ago, of which a copy does not ask
// again: to ask takes a long time beside a copy of 64 KiB. It has the number of each
// 64 KiB, and the period in which they were seen. Others with the same place in the
// table take it over. Then a copy asks once too often. A page that was thrown out since
// is a page fault.
type recent [1024]atomic.Uint64

// recentTime is a mask of the bits of a recent that hold the period.
const recentTime = 1<<24 - 1

// period counts periods of rememberFor. It goes up only while somebody remembers, by a
// timer: to ask for the time would cost more than all else.
var period struct {
	number atomic.Uint32
	ends   atomic.Bool // a timer runs that ends it
}

// has reports whether all blocks of the n bytes at off were seen in this period.
func (b *recent) has(off, n int) bool {
	if b == nil || rememberFor == 0 {
		return false
	}
	now := uint64(period.number.Load()) & recentTime
	for i := off / recentBytes; i <= (off+n-1)/recentBytes; i++ {
		if b[i%len(b)].Load() != (uint64(i)+1)<<24|now {
			return false
		}
	}
	return true
}

func (b *recent) add(off, n int) {
	now := uint64(period.number.Load()) & recentTime
	if period.ends.CompareAndSwap(false, true) {
		time.AfterFunc(rememberFor, func() {
			period.ends.Store(false)
			period.number.Add(1)
		})
	}
	for i := off / recentBytes; i <= (off+n-1)/recentBytes; i++ {
		b[i%len(b)].Store((uint64(i)+1)<<24 | now)
	}
}

// An ahead brings a range of a mapping into memory, in order, before it is accessed.
type ahead struct {
	m       *mapping
	at, end int  // what was not brought in yet
	trusts  bool // what the system does not tell is there, and what was a moment ago
	inOrder bool // what follows will be wanted next
	left    int  // so many windows are brought in, whatever the system says of them
	cold    bool // a page was missing, in one of the last windows, or to bring one in does not map it
	failed  bool // of the last window, a page could not be brought in
	partly  bool // a window was only read, not mapped
}

// ahead is for the n bytes at off, which must be within the pages that the mapping
// ever had. trusts says what it is to think where the system does not tell which
// pages are there, or has told a moment ago. It does nothing about devices.
func (m *mapping) ahead(off, n int, trusts bool) ahead {
	a := ahead{m: m, at: off, end: off + n, trusts: trusts}
	if m.kind == device {
		a.at = a.end
	}
	a.inOrder = off == int(m.follows.Load()) || n > window
	m.follows.Store(int64(off + n))
	if a.inOrder {
		a.probe()
	}
	if a.isMissing() {
		if a.inOrder && trusts { // otherwise probe has
			m.fetch(off, 1)
		}
		a.announce()
	}
	return a
}

// window is the number of bytes of the next one.
func (a *ahead) window() int { return min(window, a.end-a.at) }

// probe maps the first page of the next window, which most likely is in memory. With it
// Linux maps all that it has as one piece, and of pages that are mapped it tells in a
// tenth of the time that it takes to look for others.
func (a *ahead) probe() {
	if a.at < a.end && !a.cold && !a.trusts {
		_, mapped := a.m.fetch(a.at, 1)
		a.cold = !mapped
	}
}

// isMissing reports whether a page of the next window is.
func (a *ahead) isMissing() bool {
	n := a.window()
	if n == 0 || a.m.closed.Load() || a.trusts && a.m.wasThere(a.at, n, a.inOrder) {
		return false
	}
	return a.m.isMissing(a.at, n, a.trusts)
}

// wasThere reports whether the n bytes at off are in memory, or were a moment ago. To
// remember that, it asks for all of each 64 KiB in which they lie, and where what follows
// will be copied next, for all of each MiB before.
func (m *mapping) wasThere(off, n int, inOrder bool) bool {
	return m.recent.Load().has(off, n) || inOrder && m.seeAround(off, n, window) || m.seeAround(off, n, recentBytes)
}

// seeAround remembers the bytes around the n at off, up to multiples of block, if all of
// them are in memory. It reports whether they are.
func (m *mapping) seeAround(off, n, block int) bool {
	from := off - off%block
	to := min((off+n+block-1)/block*block, int(m.len.Load()))
	if from >= to || m.isMissing(from, to-from, true) {
		return false
	}
	if m.recent.Load() == nil {
		m.recent.CompareAndSwap(nil, new(recent))
	}
	m.recent.Load().add(from, to-from)
	return true
}

// isMissing reports whether a page of the n bytes at off is not in memory.
func (m *mapping) isMissing(off, n int, trusts bool) bool {
	from, to := m.span(off, n)
	missing, told := m.space.missing(from, to)
	if !told || m.untold {
		missing = !trusts
	}
	return missing
}

// announce starts to read the next window, which is to be brought in.
func (a *ahead) announce() {
	a.left, a.cold = max(a.left, near), true
	from, to := a.m.span(a.at, a.window())
	for ; from < to; from += announced {
		a.m.space.advise(from, min(to, from+announced), WillNeed)
	}
}

// reach returns when everything before the given byte is in memory, or cannot be.
func (a *ahead) reach(end int) {
	for a.at < end && a.at < a.end {
		n := a.window()
		a.failed = false
		if a.left > 0 {
			a.left--
			a.cold = a.cold && a.left > 0
			there, mapped := a.m.fetch(a.at, n)
			a.failed, a.partly = !there, a.partly || !mapped
		}
		a.at += n
		a.probe()
		if a.isMissing() {
			a.announce()
		}
	}
}

// fetch brings the pages that hold the n bytes at off into memory by system calls. It
// reports whether all of them came, and are mapped. Which did not, the access will
// say.
func (m *mapping) fetch(off, n int) (there, mapped bool) {
	from, to := m.span(off, n)
	err := m.space.populate(from, to, false)
	if errors.Is(err, errors.ErrUnsupported) {
		return m.readThrough(off, n), false
	}
	return err == nil, err == nil
}

// transferMany is transfer, for n elements of size bytes between byte off of the
// mapping and other memory at p. It has what is missing brought in before.
func (m *mapping) transferMany(off int, p unsafe.Pointer, n, size int, reversed bool, a access) (int, error) {
	distance, bytes := uintptr(m.at(off))-uintptr(p), uintptr(n)*uintptr(size)
	if distance < bytes || -distance < bytes { // what overlaps cannot go by pieces
		return m.transferPiece(off, p, n, size, reversed, a)
	}
	if bytes <= window && m.recent.Load().has(off, n*size) {
		m.follows.Store(int64(off + n*size))
		return m.transferPiece(off, p, n, size, reversed, a)
	}
	pages := m.ahead(off, n*size, true)
	for done := 0; ; {
		k := min(n-done, max(1, window/size))
		pages.reach(off + (done+k)*size)
		k, err := m.transferPiece(off+done*size, unsafe.Add(p, done*size), k, size, reversed, a)
		if done += k; done == n || err != nil {
			return done, err
		}
	}
}

func (m *mapping) transferPiece(off int, p unsafe.Pointer, n, size int, reversed bool, a access) (int, error) {
	if a == aStore {
		return transfer(m.at(off), p, n, size, reversed)
	}
	return transfer(p, m.at(off), n, size, reversed)
}

// Populate is [Region.Populate] for the view's bytes: when it returns nil they are in
// memory. It returns nil for the zero View.
func (v View[T]) Populate() error {
	if v.region == nil {
		return nil
	}
	defer runtime.KeepAlive(v.region)
	return v.region.populateRange(v.Offset(), v.n*int(unsafe.Sizeof(*v.base)))
}

// Populate is [Region.Populate] for the view's bytes: when it returns nil they are in
// memory. It returns nil for the zero value.
func (v BigEndian[T]) Populate() error { return v.numbers.view().Populate() }

// Populate is [Region.Populate] for the view's bytes: when it returns nil they are in
// memory. It returns nil for the zero value.
func (v LittleEndian[T]) Populate() error { return v.numbers.view().Populate() }

// Chunks returns an iterator over sub-views of n elements, in order, with the index
// of the first element of each. The last sub-view has the rest. An n below 1 panics.
//
// Each sub-view is in memory when it is yielded. What was missing has been brought in
// by system calls, and what follows is being read meanwhile. So a loop over slow
// storage does not hold up other goroutines, as page faults would. Whatever n is, the
// system is asked once for each MiB. Chunks of 64 KiB to 4 MiB are best: then the
// program works while the disk reads.
//
// To the compiler, the body of the loop is a function. A tight loop in it is much
// faster with a variable of its own:
//
//	for _, chunk := range v.Chunks(1 << 16) {
//		sum := uint64(0)
//		for x := range chunk.Values() {
//			sum += x
//		}
//		total += sum
//	}
//
// If a sub-view cannot be brought in, because the file was truncated, the device
// failed or the region is closed, it is yielded all the same. An access to it is
// then a fault: use [Guard], or [View.CopyTo]. The memory of devices is left
// alone.
//
// Any number of goroutines may call Chunks, and use its iterator. Each loop goes over all
// of the view. To divide a view among goroutines, give each of them a [View.Sub]. Where
// Linux does not tell which pages are in memory (see [Region.Resident]), Chunks brings in
// all of them, which takes longer than asking.
func (v View[T]) Chunks(n int) iter.Seq2[int, View[T]] {
	bounds := v.chunks(n)
	return func(yield func(int, View[T]) bool) {
		bounds(func(i, j int) bool { return yield(i, v.Sub(i, j)) })
	}
}

// Chunks returns an iterator over sub-views of n numbers, in order, with the index of
// the first number of each. It brings them into memory as [View.Chunks] does.
func (v BigEndian[T]) Chunks(n int) iter.Seq2[int, BigEndian[T]] {
	bounds := v.numbers.view().chunks(n)
	return func(yield func(int, BigEndian[T]) bool) {
		bounds(func(i, j int) bool { return yield(i, v.Sub(i, j)) })
	}
}

// Chunks returns an iterator over sub-views of n numbers, in order, with the index of
// the first number of each. It brings them into memory as [View.Chunks] does.
func (v LittleEndian[T]) Chunks(n int) iter.Seq2[int, LittleEndian[T]] {
	bounds := v.numbers.view().chunks(n)
	return func(yield func(int, LittleEndian[T]) bool) {
		bounds(func(i, j int) bool { return yield(i, v.Sub(i, j)) })
	}
}

// chunks yields the bounds of sub-views of n elements, each when it is in memory.
func (v View[T]) chunks(n int) iter.Seq2[int, int] {
	if n < 1 {
		panic(chunkError{n})
	}
	return func(yield func(i, j int) bool) {
		if v.n == 0 {
			return
		}
		defer runtime.KeepAlive(v.region)
		start, size := v.Offset(), int(unsafe.Sizeof(*v.base))
		pages := v.region.ahead(start, v.n*size, false)
		for i, j := 0, 0; i < v.n; i = j {
			j = i + min(n, v.n-i)
			pages.reach(start + j*size)
			if pages.failed { // some chunks of the window are there, some are not
				v.region.fetch(start+i*size, min(window, (j-i)*size))
			}
			if !yield(i, j) {
				return
			}
		}
	}
}
