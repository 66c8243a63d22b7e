//go:build windows

package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/windows"
)

// Which limit stood in the way, and what the system's errors mean.

// manyMappings is how many mappings a process is taken to have room for. Windows has
// no fixed limit, but each costs it memory.
const manyMappings = 8192

func limits() allowance {
	return allowance{bytes: uintptr(min(memoryNow().totalVirtual, maxSpace)), mappings: manyMappings}
}

// usedUp reports whether there is too little address space left, or too little
// memory to be committed, for the Go heap to grow.
func usedUp() bool {
	const little = 8 << 20
	now := memoryNow()
	return min(now.availVirtual, now.availCommit) < little
}

// wantsSpace reports whether a call failed for want of address space or of memory.
func wantsSpace(err error) bool {
	return isCode(err, windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_OUTOFMEMORY, windows.ERROR_COMMITMENT_LIMIT, windows.ERROR_NO_SYSTEM_RESOURCES)
}

// refused adds the limit to the error of the reservation that the request led to.
func (q *request) refused(err error) error {
	switch {
	case q.pool > 0:
		return withLimit(err, poolState(q.pool))
	case q.exact && !wantsSpace(err):
		err = withLimit(err, fmt.Sprintf("something is mapped within the %d bytes at address %#x, or in the same block of %d bytes", q.size, q.addr, granularity()))
		var call *os.SyscallError
		if isCode(err, windows.ERROR_INVALID_ADDRESS) && errors.As(err, &call) {
			err = os.NewSyscallError(call.Syscall, takenError{call.Err})
		}
		return err
	}
	return limited(err, q.size)
}

// notOpened says what a refused section means.
func notOpened(err error) error {
	if !isCode(err, windows.ERROR_ACCESS_DENIED) {
		return err
	}
	return withLimit(err, "the file must be open to read, and for ReadWrite to read and write (os.O_RDWR)")
}

// A takenError is that of an address where something is already.
type takenError struct{ error }

func (e takenError) Unwrap() []error { return []error{fs.ErrExist, e.error} }

// limited adds the limits to an error for want of address space or memory.
func limited(err error, size uintptr) error {
	if !wantsSpace(err) {
		return err
	}
	now := memoryNow()
	return withLimit(err, fmt.Sprintf("%d bytes are asked for: %d bytes of address space are left of %d, and the commit limit is %d bytes, of which %d are left",
		size, now.availVirtual, now.totalVirtual, now.commitLimit, now.availCommit))
}

// ofLocks adds the limit to the error of VirtualLock of size bytes.
func ofLocks(err error, size uintptr) error {
	if err == nil {
		return nil
	}
	var least, most uintptr
	var flags uint32
	windows.GetProcessWorkingSetSizeEx(windows.CurrentProcess(), &least, &most, &flags)
	return withLimit(err, fmt.Sprintf("%d bytes are asked for: the minimum working set (SetProcessWorkingSetSizeEx) is %d bytes, less a few pages", size, least))
}

// shorter is the error for a file that has too few bytes by now.
func shorter(size, want int64) error {
	return withLimit(os.NewSyscallError("CreateFileMapping", windows.ERROR_HANDLE_EOF), fmt.Sprintf("the file has %d bytes, and the page before byte %d is to be mapped", size, want))
}

// poolState says that there are no huge pages to ask for.
func poolState(size uintptr) string {
	return fmt.Sprintf("%s has no pool of huge pages of %d KiB", runtime.GOOS, size>>10)
}

// notWritten are errors of calls that were refused, so that nothing was lost.
var notWritten = []syscall.Errno{
	windows.ERROR_INVALID_ADDRESS, windows.ERROR_INVALID_PARAMETER, windows.ERROR_INVALID_HANDLE,
	windows.ERROR_INVALID_FUNCTION, windows.ERROR_ACCESS_DENIED, windows.ERROR_NOT_SUPPORTED,
	windows.ERROR_LOCK_VIOLATION, // FlushViewOfFile, while others are writing: the pages stay dirty
}

func lostWriteback(err error) bool {
	return err != nil && !isCode(err, notWritten...) && !errors.Is(err, fs.ErrClosed) && !errors.Is(err, errors.ErrUnsupported)
}

// isBadAddress reports whether a call met a page without access, or one that could
// not be read in.
func isBadAddress(err error) bool {
	return isCode(err, windows.ERROR_NOACCESS, windows.ERROR_SWAPERROR, windows.ERROR_INVALID_USER_BUFFER, syscall.Errno(windows.WSAEFAULT))
}

func privateBy(flags int, otherwise bool) bool { return otherwise }

func refusesFlags(h handle, q *request) string {
	if q.flags != 0 {
		return "are for mmap(2), which Windows does not have"
	}
	return ""
}
