package mmap

import "golang.org/x/sys/unix"

// What OpenBSD has otherwise than mmap_posix.go. After its mmap(2), msync(2), fsync(2)
// and getrlimit(2), and sys/uvm/uvm_mmap.c, uvm_map.c and uvm_vnode.c (uvn_flush).
//
// It keeps mapped pages and what read(2) and write(2) see apart, and only msync(2)
// brings them together: what a page of the mapping has been given goes first, and
// MS_INVALIDATE lets go of the page. Only with MS_INVALIDATE does it report what
// could not be written. With MS_ASYNC it waits, and forgets: so nothing starts before
// Sync. There is no RLIMIT_AS, and what has no access does not count for RLIMIT_DATA.
// MAP_CONCEAL, which keeps pages out of core dumps, cannot be taken back when a
// region grows into them.

const (
	mapExactly   = unix.MAP_FIXED | mapNoReplace
	takenIsVague = true // ENOMEM
	mapNoReserve = unix.MAP_NORESERVE

	msyncAndWait = unix.MS_SYNC | unix.MS_INVALIDATE
	msyncToStart = 0

	adviseNoDump = unix.MADV_NORMAL // no such advice
	adviseDump   = unix.MADV_NORMAL

	spaceLimit = unlimited
	dataLimit  = unix.RLIMIT_DATA
	lockLimit  = unix.RLIMIT_MEMLOCK

	aDevice = "a device"

	replacesInOneStep     = true
	failedFixedLeavesHole = true
)

// mapNoReplace is __MAP_NOREPLACE of <sys/mman.h>.
const mapNoReplace = 0x0800

func (h handle) sync() error { return h.fsync() }

// allocate writes zeros: there is no system call, and a store to a hole takes its
// space only when it is written back.
func (h handle) allocate(off, n int64) error { return h.writeZeros(off, n) }

func maxMappings() (name string, n int) { return "", manyMappings }

// blocks returns their size, how many there are, and how many are free.
func blocks(fs *unix.Statfs_t) (size, all, free uint64) {
	return uint64(fs.F_bsize), fs.F_blocks, fs.F_bfree
}
