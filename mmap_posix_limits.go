//go:build unix && !aix && (!linux || mmap_posix)

package mmap

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Which limit stood in the way, as far as getrlimit(2) tells. How much of it is in
// use POSIX does not tell.

// manyMappings is how many mappings a process is taken to have room for, where a
// system has no fixed limit. Each mapping costs the kernel memory.
const manyMappings = 65530

func limits() allowance {
	_, most := maxMappings()
	a := allowance{bytes: maxSpace, mappings: most}
	if n := resource(spaceLimit); n < maxSpace {
		a.bytes = uintptr(n)
	}
	return a
}

// usedUp finds out by asking for a little space, and for a few mappings in it, by
// mmap(2) and mprotect(2). No test refuses these two: it would be no limit.
func usedUp() bool {
	const pieces = 4
	page := uintptr(os.Getpagesize())
	size := max(1<<20, 2*pieces*page)
	p, err := unix.MmapPtr(int(noFile), 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return true
	}
	defer unix.MunmapPtr(p, size)
	for i := range uintptr(pieces) {
		piece := unsafe.Slice((*byte)(unsafe.Add(p, (2*i+1)*page)), page)
		if unix.Mprotect(piece, unix.PROT_NONE) != nil {
			return true
		}
	}
	return false
}

// refused adds the limit to the error of the mmap(2) that the request led to.
func (q *request) refused(err error) error {
	switch {
	case q.pool > 0:
		return withLimit(err, poolState(q.pool))
	case errors.Is(err, unix.EEXIST):
		return withLimit(err, fmt.Sprintf("something is mapped within the %d bytes at address %#x", q.size, q.addr))
	}
	if errors.Is(err, unix.EACCES) {
		return notOpened(err)
	}
	return limited(err, q.size)
}

// limited adds the limits to an error for want of address space or memory.
func limited(err error, size uintptr) error {
	limit := fmt.Sprintf("%d bytes are asked for", size)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return withLimit(err, limit+": there is not as much swap to be set aside, or memory to be locked")
	case !wantsSpace(err):
		return err
	}
	for _, l := range []struct {
		which int
		name  string
	}{{spaceLimit, "RLIMIT_AS"}, {dataLimit, "RLIMIT_DATA"}} {
		if n := resource(l.which); n < maxSpace {
			limit += fmt.Sprintf(", %s is %d bytes", l.name, n)
		}
	}
	if name, n := maxMappings(); name != "" {
		limit += fmt.Sprintf(", %s is %d mappings", name, n)
	}
	return withLimit(err, limit)
}

// poolState says that there are no huge pages to ask for.
func poolState(size uintptr) string {
	return fmt.Sprintf("%s has no pool of huge pages of %d KiB", runtime.GOOS, size>>10)
}

// ofDescriptors adds the limit to an error for want of file descriptors.
func ofDescriptors(err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return withLimit(err, fmt.Sprintf("RLIMIT_NOFILE is %d: raise it (ulimit -n), or use Map, which takes no descriptor", resource(unix.RLIMIT_NOFILE)))
	case errors.Is(err, unix.ENFILE):
		return withLimit(err, "the system has as many open files as it allows")
	}
	return err
}

// ofLocks adds the limit to the error of mlock(2) of size bytes.
func ofLocks(err error, size uintptr) error {
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	limit := fmt.Sprintf("%d bytes are asked for", size)
	if n := resource(lockLimit); n < maxSpace {
		limit += fmt.Sprintf(", and RLIMIT_MEMLOCK is %d bytes for the process: raise it (ulimit -l)", n)
	}
	return withLimit(err, limit)
}

// unlimited stands for a limit that a system does not have.
const unlimited = -1

// resource is getrlimit(2). What is unlimited comes out at maxSpace or more.
func resource(which int) uint64 {
	var r unix.Rlimit
	if which == unlimited || unix.Getrlimit(which, &r) != nil {
		return math.MaxUint64
	}
	return uint64(r.Cur)
}
