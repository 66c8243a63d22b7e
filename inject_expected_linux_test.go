//go:build !mmap_posix

package mmap

import (
	"strings"

	"golang.org/x/sys/unix"
)

// What must come of a call that is refused.

type outcome int

const (
	fails outcome = iota
	works
	atLiberty // it works by other means, or fails as is right
)

// expected says what must come of refusing a call to an operation.
func (op *operation) expected(f refusal) outcome {
	notThere := f.errno == unix.EINVAL || f.errno == unix.ENOSYS || f.errno == unix.EPERM || f.errno == unix.EOPNOTSUPP || f.errno == unix.EINTR
	if op.extra {
		return works
	}
	switch f.call {
	case op.asked:
		return fails
	case "fstatfs", "futex", "munmap", "mlock2", "munlock", "pread", "pwrite", "mincore":
		return works
	case "madvise":
		if !notThere && op.populates {
			return atLiberty
		}
		return works
	case "fallocate":
		if notThere {
			return works
		}
	case "msync":
		if f.errno == unix.EINVAL { // as of a file that has nothing to sync
			return works
		}
	case "open":
		if !f.forever && (op.create && f.nth == 0 || f.errno == unix.EAGAIN) { // the directory, a lease
			return works
		}
	case "mmap":
		if op.closes {
			return works
		}
		if !f.forever { // another try, or a hint
			return atLiberty
		}
	case "mprotect":
		if op.closes || op.window() && f.nth > 0 { // the second shows Reserved more, which is an extra
			return works
		}
	case "fstat":
		if op.syncs || op.create && !op.empties && f.nth > 1 { // whether others have grown the file further
			return works
		}
	case "close":
		if !op.closes {
			return works
		}
		return atLiberty // that of the directory, or of the file
	}
	return fails
}

// window reports whether the operation takes up what lies beyond a window.
func (op *operation) window() bool {
	return strings.Contains(op.what, "window up")
}
