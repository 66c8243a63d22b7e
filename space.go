package mmap

import (
	"math"
	"sync/atomic"
	"unsafe"
)

// The seam. Above it the library knows regions, files and modes, and no system.
// Below it, in mmap_GOOS.go, stands what one system does, and nothing of a
// Region, a Config, a Mode, a name or a lock. A new system is one new file that
// defines all of the following. mmap_unix.go is POSIX and serves all unixes.
//
// Address space, in whole pages; from and to are offsets from space.addr:
//
//	system                      what a space needs beside its address, often nothing
//	handle, noFile              an open file, as system calls want it
//	growsWithFile               a shared mapping may lie beyond the file's end, and comes to life there when the file grows
//	mapSpace(h, q)              maps h, or memory if h is noFile, as the request says
//	space.fill(from, to, h, q)  maps the file's pages into reserved space, where growsWithFile is false
//	space.allow(from, to, r)    gives access to pages
//	space.forbid(from, to)      takes it
//	space.discard(from, q)      replaces private pages, up to the end, by fresh ones without access
//	space.bury(keep)            in one step makes the first keep bytes inaccessible for good, and gives back their pages; releases the rest
//	space.unmap()               gives the address space back
//	space.sync(from, to)        writes pages of a file back and waits
//	space.startSync(from, to, h, off)  starts to, does not wait
//	space.lock(from, to)        keeps pages in memory
//	space.unlock(from, to)      no longer
//	space.populate(from, to, store)    brings pages in, in a system call; errors.ErrUnsupported if there is none
//	space.hugeHint()            asks for huge pages where the system likes
//	space.dump(from, to, on)    says whether a core dump has the pages; a hint
//
// Files:
//
//	openFile(name, store)       opens an existing file; never waits for a pipe's other end
//	createFile(name, perm)      opens one, or makes it, and opens the directory of its name before
//	control(f, fn)              calls fn with the handle of an *os.File, which stays open meanwhile
//	handle.status()             what the file is
//	handle.size()               in bytes, asked anew
//	handle.permits(r)           whether it was opened for that access
//	handle.truncate(n)          sets the size
//	handle.allocate(off, n)     takes disk space, extending the file; errors.ErrUnsupported if the file system cannot
//	handle.sync()               makes data and size durable, through the disk's own cache
//	handle.readAt(p, off)       an ordinary read
//	handle.close()
//	directory.sync(h)           makes the name of h in it durable
//	directory.remove(h)         removes that name, if it is still h's
//	directory.close()
//	syncsWithoutFile            space.sync alone makes data durable
//
// What the system's answers mean:
//
//	limits()                    how much address space and how many mappings the process may have
//	wantsSpace(err)             whether a call failed for want of either
//	usedUp()                    whether the process is at such a limit, where even Go's collector cannot run
//	lostWriteback(err)          data that was to be written back is lost
//	isBadAddress(err)           a system call met an inaccessible page
//	unmappable(err)             what cannot be mapped, in words, if the error means that
//	unmappableDevice(err)       whether it does of a device
//	poolState(size)             how many huge pages of a size the system has, in words
//	privateBy(flags, otherwise) whether flags make a mapping private
//	refusesFlags(h, q)             why the flags contradict the rest of the request, in words
//
// Errors carry the name of the system call, as [os.SyscallError] does, or are
// errors.ErrUnsupported. Where a limit stood in the way, they name it and its
// value. Every system call goes through intercepted, so that tests can refuse it.

// A space is address space that this package owns, in whole pages.
type space struct {
	system
	addr unsafe.Pointer
	size uintptr // bytes
}

// at returns the address of the byte at an offset.
func (s *space) at(off uintptr) unsafe.Pointer { return unsafe.Add(s.addr, off) }

// from returns the bytes from one offset to another.
func (s *space) from(from, to uintptr) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(s.addr, from)), to-from)
}

// rights are what may be done with pages, beside loading from them.
type rights struct{ store, execute bool }

// A request is what is asked of mapSpace. It stays the same for the life of a
// mapping.
type request struct {
	addr     uintptr // of the first page
	exact    bool    // at addr or not at all; otherwise addr is welcome, not needed
	hidden   bool    // without access at first
	private  bool    // stores are seen here only: copy-on-write of a file, or memory
	spare    bool    // more space than is in use yet
	hugeHint bool    // huge pages where the system likes
	rights   rights
	flags    int     // further flags of the system's own
	pool     uintptr // size of the pages to take from the pool of huge ones; 0: ordinary
	page     uintptr // size in bytes of the pages that back it
	size     uintptr // bytes, whole pages
	off      int64   // of the file, whole pages
}

// A status is what a file is.
type status struct {
	id       fileID
	kind     kind
	size     int64
	page     uintptr // size in bytes of the pages that a mapping of it has
	nameless bool    // it has no name (any more)
	lingers  bool    // it may write back, and wait, when a mapping of it goes
	what     string  // in words, with an article, if it is no regular file
	asks     bool    // mapping it has no effect, so that the system can be asked what is wrong
}

// A fileID stays the same as long as a file is open. Two files may have the same:
// what is keyed by it must only ever be too careful.
type fileID struct{ device, number, more uint64 }

// A created is what createFile returns.
type created struct {
	h    handle
	dir  *directory
	made bool // the file was not there before
}

// kind is what lies beneath a mapping.
type kind uint8

const (
	memory  kind = iota
	regular      // a file of bytes, whose size means something
	device       // may act when it is touched, so the library never does
	block        // a disk: no size of its own here, but harmless to read
	other        // a directory or a pipe: the system will say what is wrong
)

// An allowance is what the process may have, at most.
type allowance struct {
	bytes    uintptr // of address space
	mappings int
}

// maxSpace bounds the bytes of one mapping, so that sums with offsets and page
// sizes cannot overflow. The system may allow less. On 64-bit machines it is
// 2^47 bytes: no system hands out more without being asked for a high address.
const maxSpace = math.MaxInt>>(16*is64) - 1<<21 + 1

// is64 is 1 on 64-bit machines and 0 on others, to shift by.
const is64 = ^uint(0) >> 63

// intercept, if a test has set it, is asked before every system call of this
// package. An error that it returns is the call's.
var intercept atomic.Pointer[func(call string) error]

// intercepted makes a system call, unless a test refuses it.
func intercepted(call string, fn func() error) error {
	if ask := intercept.Load(); ask != nil {
		if err := (*ask)(call); err != nil {
			return err
		}
	}
	return fn()
}
