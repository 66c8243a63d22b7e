//go:build linux && !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Which limit stood in the way. Linux says ENOMEM for most of them.

// limits returns what RLIMIT_AS and vm.max_map_count allow.
func limits() allowance {
	a := allowance{bytes: maxSpace, mappings: defaultMappings}
	if n := resource(unix.RLIMIT_AS); n < maxSpace {
		a.bytes = uintptr(n)
	}
	if n, ok := number("/proc/sys/vm/max_map_count"); ok {
		a.mappings = n
	}
	return a
}

const defaultMappings = 65530

// usedUp reports whether the process is at its limit of address space or mappings.
func usedUp() bool { return usedUpBy(0) != "" }

// usedUpBy says which limit keeps the process from size bytes more, if one does.
func usedUpBy(size uintptr) string {
	if most := resource(unix.RLIMIT_AS); most < maxSpace {
		pages, _ := number("/proc/self/statm")
		used := uint64(pages) * uint64(os.Getpagesize())
		if used+max(uint64(size), 1<<20) > most {
			return fmt.Sprintf("RLIMIT_AS is %d bytes, of which %d are in use: raise it (ulimit -v)", most, used)
		}
	}
	if most, ok := number("/proc/sys/vm/max_map_count"); ok {
		if n := lines("/proc/self/maps"); n+8 > most {
			return fmt.Sprintf("vm.max_map_count is %d, and the process has %d mappings: raise it (sysctl), or map less often", most, n)
		}
	}
	return ""
}

// refused adds the limit to the error of the mmap(2) that the request led to.
func (q *request) refused(err error) error {
	huge := q.page > uintptr(os.Getpagesize())
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return lacking(err, q.unknownFlags())
	case errors.Is(err, unix.EINVAL) && q.pool > 0:
		return lacking(err, lacksPool(q.pool))
	case errors.Is(err, unix.EINVAL): // as a rule a driver's
		return withLimit(err, fmt.Sprintf("%d bytes at offset %d cannot be mapped, or not with this mode and these flags", q.size, q.off))
	case errors.Is(err, unix.EACCES):
		return notOpened(err)
	case q.exact && !wantsSpace(err):
		return withLimit(err, fmt.Sprintf("something is mapped within the %d bytes at address %#x", q.size, q.addr))
	case huge && wantsSpace(err) && usedUpBy(q.size) == "":
		return withLimit(err, poolState(q.page))
	}
	where := ""
	if q.exact {
		where = fmt.Sprintf(" at address %#x", q.addr)
	}
	return limitedBy(err, q.size, q.promised(), where)
}

// promised reports whether the system must promise memory for the pages, so that it
// may refuse for want of it. A file has its own memory, and what has no access needs
// none.
func (q *request) promised() bool {
	switch {
	case !q.private:
		return false
	case q.flags&unix.MAP_TYPE == unix.MAP_SHARED, q.flags&unix.MAP_TYPE == unix.MAP_SHARED_VALIDATE:
		return true
	}
	return q.rights.store && !q.hidden
}

// unknownFlags says what a file that can be mapped cannot be mapped with.
func (q *request) unknownFlags() string {
	if q.flags&mapSync != 0 {
		return fmt.Sprintf("Flags %#x has MAP_SYNC, which is for files on persistent memory, on a file system that is mounted with the option dax: leave it out", q.flags)
	}
	return fmt.Sprintf("Flags %#x has some that this kernel or the file system does not know", q.flags)
}

// limited adds the limit to an error for want of address space or memory.
func limited(err error, size uintptr) error { return limitedBy(err, size, true, "") }

func limitedBy(err error, size uintptr, promised bool, where string) error {
	if !wantsSpace(err) {
		return err
	}
	limit := usedUpBy(size)
	if limit == "" && promised {
		limit = overcommitted(size)
	}
	if limit == "" {
		limit = fmt.Sprintf("the address space has no room for %d bytes%s", size, where)
	}
	return withLimit(err, limit)
}

// overcommitted says how much memory the system would promise, if that may be why it
// refuses to.
func overcommitted(size uintptr) string {
	if most := resource(unix.RLIMIT_DATA); most < maxSpace {
		return fmt.Sprintf("RLIMIT_DATA is %d bytes: raise it (ulimit -d)", most)
	}
	how, _ := number("/proc/sys/vm/overcommit_memory")
	info, _ := os.ReadFile("/proc/meminfo")
	kib := func(field string) int {
		_, after, _ := bytes.Cut(info, []byte(field+":"))
		n, _ := strconv.Atoi(string(leadingDigits(bytes.TrimLeft(after, " "))))
		return n
	}
	switch {
	case how == 2:
		return fmt.Sprintf("vm.overcommit_memory is 2: CommitLimit is %d KiB, of which %d are promised", kib("CommitLimit"), kib("Committed_AS"))
	case size/1024 > uintptr(kib("MemTotal")+kib("SwapTotal")):
		return fmt.Sprintf("%d KiB are asked for: the machine has %d of memory and %d of swap (vm.overcommit_memory is %d)", size/1024, kib("MemTotal"), kib("SwapTotal"), how)
	}
	return ""
}

const poolsDir = "/sys/kernel/mm/hugepages"

// poolState says how many huge pages of a size in bytes the system has. Those that
// are set aside for mappings are not free, though they are not in use either.
func poolState(size uintptr) string {
	dir := fmt.Sprintf("%s/hugepages-%dkB/", poolsDir, size>>10)
	pages := func(name string) int {
		n, _ := number(dir + name + "_hugepages")
		return n
	}
	all, ok := number(dir + "nr_hugepages")
	if !ok {
		return lacksPool(size)
	}
	text := fmt.Sprintf("the pool of huge pages of %d KiB has %d, of which %d are free: raise %snr_hugepages", size>>10, all, pages("free")-pages("resv"), dir)
	if more := pages("nr_overcommit"); more > 0 {
		text += fmt.Sprintf("; nr_overcommit_hugepages allows %d more, of which it has %d", more, pages("surplus"))
	}
	return text
}

// lacksPool says which sizes there are instead.
func lacksPool(size uintptr) string {
	var kib []int
	dirs, _ := os.ReadDir(poolsDir)
	for _, d := range dirs {
		n, _ := strconv.Atoi(string(leadingDigits([]byte(strings.TrimPrefix(d.Name(), "hugepages-")))))
		kib = append(kib, n)
	}
	slices.Sort(kib)
	text := fmt.Sprintf("this system has no huge pages of %d KiB", size>>10)
	for i, n := range kib {
		text += fmt.Sprintf("%s %d", [...]string{", only of", ","}[min(i, 1)], n)
	}
	if len(kib) > 0 {
		text += " KiB"
	}
	return text
}

// ofDescriptors adds the limit to an error for want of file descriptors.
func ofDescriptors(err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return withLimit(err, fmt.Sprintf("RLIMIT_NOFILE is %d: raise it (ulimit -n), or use Map, which takes no descriptor", resource(unix.RLIMIT_NOFILE)))
	case errors.Is(err, unix.ENFILE):
		most, _ := number("/proc/sys/fs/file-max")
		return withLimit(err, fmt.Sprintf("fs.file-max is %d: raise it (sysctl)", most))
	}
	return err
}

// ofLocks adds the limit to the error of mlock(2) of size bytes.
func ofLocks(err error, size uintptr) error {
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	return withLimit(err, fmt.Sprintf("%d bytes are asked for, and RLIMIT_MEMLOCK is %d bytes for the process: raise it (ulimit -l)", size, resource(unix.RLIMIT_MEMLOCK)))
}

func resource(which int) uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(which, &r) != nil {
		return unix.RLIM_INFINITY
	}
	return uint64(r.Cur)
}

// At a limit of address space the Go heap cannot grow. So files are read into
// this buffer.
var scratch struct {
	sync.Mutex
	buf [32 << 10]byte
}

// number returns the number that a file begins with.
func number(name string) (n int, ok bool) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	scratch.Lock()
	defer scratch.Unlock()
	k, _ := unix.Read(fd, scratch.buf[:64])
	n, err = strconv.Atoi(string(leadingDigits(scratch.buf[:max(k, 0)])))
	return n, err == nil
}

func leadingDigits(b []byte) []byte {
	return b[:len(b)-len(bytes.TrimLeft(b, "0123456789"))]
}

// lines returns how many lines a file has.
func lines(name string) (n int) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	scratch.Lock()
	defer scratch.Unlock()
	for {
		k, err := unix.Read(fd, scratch.buf[:])
		if k <= 0 || err != nil {
			return n
		}
		n += bytes.Count(scratch.buf[:k], []byte{'\n'})
	}
}
