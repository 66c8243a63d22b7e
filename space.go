package mmap

import (
	"math"
	"sync/atomic"
	"unsafe"
)

// The seam. Above it the library knows regions, files and modes, and no system.
// Below it, in mmap_GOOS.go, stands what one system does, and nothing of a Region, a
// Config, a Mode, a name or a lock.
//
// To add a system: a new unix is one file, with the few constants that the head of
// mmap_posix.go lists; mmap_unix.go and mmap_posix.go do the rest. Any other system
// begins with a copy of mmap_other.go, which has the types, and defines all of the
// following, but for what mmap_handles.go has. It leaves the build tags of the files
// that it does not use.
//
// The caller holds a lock for whatever changes pages. sync, startSync, lock, unlock,
// populate, advise, resident and missing have none: others may change or bury the
// pages meanwhile. A space may be copied. A call that a signal interrupts is repeated.
//
// # Address space
//
// In whole pages. from and to are offsets from space.addr, and from is below to
// unless it says otherwise.
//
//	system
//		what a space needs beside its address; an empty struct where that is nothing.
//	growsWithFile
//		a shared mapping may lie beyond the file's end, and comes to life there when the
//		file grows.
//	mapSpace(h, q)
//		maps the file h, or memory if h is noFile, as the request says. What of the request
//		the system lacks is an error, never left out. Where growsWithFile is false it need
//		only reserve: for a file or device fill and allow follow, for memory allow.
//	space.fill(from, to, src, q)
//		where growsWithFile is false: maps the file's pages into space, without access.
//		Pages from an earlier fill, forbidden by now, stay as they are. Nothing for memory.
//		It must not wait for a disk: what may was done by handle.source.
//	space.allow(from, to, r)
//		gives access; nothing if from is to.
//	space.forbid(from, to)
//		takes it; nothing if from is to.
//	space.discard(from, q)
//		replaces pages of memory, up to the end, by fresh ones, zero and without access. If
//		it fails the old ones are as they were. Sets size to from if the system has given
//		the pages to others: they are never touched again.
//	space.bury(keep)
//		in one step makes the first keep bytes inaccessible for good, gives their memory
//		back, and releases the rest. Sets size to what is still ours: more than keep if the
//		rest could not be released, 0 if the system has given all to others. An error means
//		that access could not be taken.
//	space.deny()
//		makes all pages inaccessible for good and gives their memory back, without a mapping
//		more. Pages of a file stay mapped, because sync and bury may follow.
//	space.unmap()
//		releases all of it.
//	unmapsNeighbours
//		several spaces that lie side by side may be unmapped as one.
//	space.sync(from, to)
//		writes pages of a file back, waits, and reports what could not be written; nil for
//		what has nothing to write. Some pages may be denied, buried or never filled.
//	space.startSync(from, to, h, off)
//		starts to write back, at off in the file; may do nothing where it would wait.
//	space.lock(from, to)
//		keeps pages in memory.
//	space.lockWhenThere(from, to)
//		where lock never ends at a page of a file that cannot be read: keeps pages in memory
//		once they are there, which the caller sees to before lock. false elsewhere, or if it
//		failed.
//	space.unlock(from, to)
//		no longer; pages may be unfilled.
//	space.advise(from, to, a)
//		tells the system how pages will be used; errors.ErrUnsupported, in a sentence, if it
//		cannot be told that of them. Never PopulateRead and PopulateWrite.
//	space.resident(from, to, pages)
//		sets pages[i] if the i-th page of the system's page size is in memory;
//		errors.ErrUnsupported if the system does not tell.
//	space.missing(from, to)
//		whether a page is not in memory, and whether the system tells. It allocates nothing.
//	space.populate(from, to, store)
//		brings pages in, in a system call. errors.ErrUnsupported if there is none; after any
//		other error the caller touches the pages to find out which one.
//	space.hugeHint()
//		asks for huge pages where the system likes.
//	space.dump(from, to, on)
//		says whether a core dump has the pages; a hint; from may be to.
//
// # Files
//
//	handle, noFile
//		an open file as system calls want it: an integer type. handle(0) stands for any file
//		where only "== noFile" matters.
//	directory
//		where a file has a name. It has a field h, its handle, which handle.close is given.
//	openFile(name, store)
//		opens an existing file to read, and to write if store; never waits for a pipe's
//		other end. No child process inherits a handle.
//	createFile(name, perm)
//		opens a file to read and write, or makes it, and opens the directory of its name
//		before. It keeps the bytes that are there. It follows symbolic links, also to no
//		file yet: the directory is that of the file. dir is never nil. Where the directory
//		cannot be opened, its h is noFile, of which close is nil.
//	sharedFolder()
//		where names of shared memory are. Its error is an *fs.PathError.
//	openShared(name)
//		opens a file in it to read and write, or makes it, closed to other users. It follows
//		no symbolic link, and opens only a regular file of this user, with one name, that
//		others cannot open. Of anything else it changes nothing, and says what is there, in
//		words with an article; an error beside that is of the open that failed.
//	removeShared(name)
//		removes a name, of a file or a link.
//	control(f, fn)
//		calls fn with the handle of an *os.File, which stays open meanwhile, and returns
//		fn's error; os.ErrClosed if f is closed.
//	handle.status()
//		what the file is.
//	handle.hasOwnID()
//		whether no other file that is open has the id of this regular one; false where that
//		is not certain.
//	handle.size()
//		in bytes, asked anew; of a block device 0 if the system does not tell.
//	handle.awaitSize()
//		waits until a change of the size by another process has ended, which size may tell
//		earlier. Before, the system could zero what is stored behind the old size. Nothing
//		where size never tells earlier.
//	handle.permits(r)
//		an error, as of mapping, if the file was not opened for that access.
//	handle.truncate(n)
//		sets the size; errors.ErrUnsupported, in a sentence, if a file that is mapped cannot
//		be made shorter.
//	handle.allocate(off, n)
//		takes disk space for n bytes at off, and extends the file; bytes that are there
//		stay. If there is too little it takes none. errors.ErrUnsupported if it cannot do
//		this: then the library truncates and touches pages.
//	handle.writesBack()
//		an error if the file system does not write back any more, although sync may report
//		success: it was forced to be read-only. Nothing where that cannot be.
//	handle.sync()
//		makes data and size durable, through the disk's own cache.
//	handle.source(n, q)
//		where growsWithFile is false: opens what fill maps n bytes of the file from, as the
//		file is now. It may wait.
//	source, source.close()
//		that; the pages that fill mapped stay. The zero source is that of memory.
//	handle.readAt(p, off)
//		an ordinary read; 0 at the end.
//	handle.close()
//	memoryFile(name)
//		a file in memory without a name. It, handle.seal and handle.seals are
//		errors.ErrUnsupported where there are none.
//	handle.seal(s)
//		adds seals.
//	handle.seals()
//		says which it has.
//	directory.sync(h)
//		makes the name of h in it durable; if the directory could not be opened, in another
//		way, or an error.
//	directory.remove(h, id)
//		removes that name, if it is still h's, which has this id, if it is known.
//	directory.close()
//		closes its h.
//	syncsWithoutFile
//		space.sync alone makes data durable.
//
// # Waiting
//
// In any memory that is mapped, between all processes that share it. An error means
// that this cannot be done here, or not now, and that the caller is to poll.
//
//	waitsInSystem
//		there is more than the error.
//	waitWord(p, old, d)
//		waits for a wakeWord of p, if *p is old, and says whether that came. It looks and
//		begins to wait in one step: a wakeWord comes before both or after. It may return
//		early, as when a signal interrupts it, and at once if *p is not old.
//	wakeWord(p, n)
//		wakes at most n waiters, in any process, and returns how many, or 0 if the system
//		does not tell. n is at least 1 and fits into 32 bits.
//
// # What the system's answers mean
//
//	limits()
//		how much address space and how many mappings the process may have; maxSpace, and a
//		large number, where there is no limit.
//	usedUp()
//		whether it is at such a limit, where even Go's collector cannot run.
//	wantsSpace(err)
//		whether a call failed for want of either.
//	lostWriteback(err)
//		data that was to be written back is lost; false for a call that was refused or not
//		made, errors.ErrUnsupported and fs.ErrClosed among those.
//	isBadAddress(err)
//		a system call met an inaccessible page.
//	unmappable(err)
//		what cannot be mapped, in words before "cannot be mapped", if the error of openFile,
//		createFile, status, mapSpace or fill means that. It words a bare
//		errors.ErrUnsupported too.
//	unmappableDevice(err)
//		whether the error of mapSpace or fill means that of a device.
//	poolState(size)
//		how many huge pages of a size the system has, in words after a colon.
//	privateBy(flags, otherwise)
//		whether flags make a mapping private.
//	refusesFlags(h, q)
//		why the flags contradict the rest of the request, in words after "Flags 0x10", or
//		"". By force at an address: "use Addr"; asked before the file is looked at, so of q
//		only flags, rights, private, hugeHint and pool are set.
//
// # Errors
//
// An error is an [os.SyscallError] with the name of the call. A bare
// errors.ErrUnsupported has a meaning for allocate and populate, and where
// unmappable words it; elsewhere it belongs into an os.SyscallError. Where a limit
// stood in the way, the error in it names the limit and its value. Every system call
// whose failure a caller can see goes through intercepted, so that tests can refuse
// it.
//
// # Tests
//
// All tests without linux or windows in the file's name must pass. What the system
// lacks is said in helpers_test.go (canShortenMapped) and ways_posix_test.go.

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
	private  bool    // stores are seen here only: copy-on-write of a file, or memory, even if flags share it: then flags count
	spare    bool    // more space than is in use yet
	sparse   bool    // nothing is set aside for the pages of a file: see Config
	hugeHint bool    // huge pages where the system likes
	pooled   bool    // see status: mapping the file must not change it
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
	untold   bool    // missing may say of each page that it is in memory: this process has no right to know
	pooled   bool    // its pages come from a pool: it has whole ones, and a mapping that can be stored to makes it as long as itself
	what     string  // in words, with an article, if it is no regular file
	asks     bool    // mapping it has no effect, so that the system can be asked what is wrong: any error of mapSpace but wantsSpace then means "cannot be mapped"
}

// A fileID stays the same as long as a file is open. Two files may have the same:
// what is keyed by it must only ever be too careful.
type fileID struct {
	device uint64
	number [2]uint64
}

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
	block        // a disk, harmless to read; its size is not that of stat(2)
	other        // a directory or a pipe: the system will say what is wrong
)

// An allowance is what the process may have, at most.
type allowance struct {
	bytes    uintptr // of address space
	mappings int
}

// share is n of so many parts of an allowance.
func (a allowance) share(n, parts int) allowance {
	return allowance{min(a.bytes, userSpace) / uintptr(parts) * uintptr(n), a.mappings / parts * n}
}

func (a allowance) twice() allowance { return allowance{2 * a.bytes, 2 * a.mappings} }

func (a allowance) atMost(b allowance) allowance {
	return allowance{min(a.bytes, b.bytes), min(a.mappings, b.mappings)}
}

// exceeds reports whether a is more than each of two others, in bytes or in
// mappings.
func (a allowance) exceeds(b, c allowance) bool {
	return a.bytes > max(b.bytes, c.bytes) || a.mappings > max(b.mappings, c.mappings)
}

// maxSpace bounds the bytes of one mapping, so that sums with offsets and page
// sizes cannot overflow. The system may allow less. On 64-bit machines it is
// 2^47 bytes, all that most systems hand out without being asked for a high address.
// Linux has twice as much on arm64, and far more on s390x.
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
