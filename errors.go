package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// The kinds of failure that are this package's own. Each is returned wrapped in
// an error whose text says what was asked for, of which file, and what was there
// instead. Test for them with [errors.Is]. A system call that fails comes back as
// an [*fs.PathError] with the system's error inside. What a system, a file system
// or a driver lacks is [errors.ErrUnsupported].
var (
	// ErrClosed means that the region was closed, before the call or during
	// it. It is fs.ErrClosed.
	ErrClosed error = &sentinel{"region is closed", fs.ErrClosed}

	// ErrReadOnly means a store to a region that does not allow it, or a change
	// of the size of a file that the region may only read. It is
	// fs.ErrPermission.
	ErrReadOnly error = &sentinel{"region is read-only", fs.ErrPermission}

	// ErrRange means an offset, a length or a sum of the two that is negative,
	// overflows, or lies beyond the region, the file, the reservation or the
	// address space.
	ErrRange error = &sentinel{"out of range", nil}

	// ErrAlignment means that an address is not a multiple of what the type or
	// the system needs.
	ErrAlignment error = &sentinel{"not aligned", nil}

	// ErrLayout means that a type does not have the same bytes on every
	// architecture, or that ToEnd leaves no whole number of elements.
	ErrLayout error = &sentinel{"no single layout", nil}

	// ErrTruncated means that the file no longer has the byte: this process or
	// another truncated it beneath the mapping.
	ErrTruncated error = &sentinel{"file was truncated", nil}

	// ErrIO means that the system could not supply or store the page: a device
	// error, or no space left for a page of a sparse file.
	ErrIO error = &sentinel{"input/output error or no space", nil}
)

type sentinel struct {
	text string
	is   error
}

func (s *sentinel) Error() string { return "mmap: " + s.text }
func (s *sentinel) Unwrap() error { return s.is }

// A failure is a sentence about what went wrong. errors.Is finds its kind, and
// its cause if another error led to it.
type failure struct {
	text  string
	kind  error
	cause error
}

func (f *failure) Error() string {
	if f.cause == nil {
		return "mmap: " + f.text
	}
	return "mmap: " + f.text + ": " + f.cause.Error()
}

func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

func failf(kind error, format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), kind: kind}
}

// because makes a failure of what another error led to.
func because(cause, kind error, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), kind, cause}
}

// pathError says of which file a system call failed. Which call it was is in err;
// an error that is worded already stays as it is.
func pathError(name string, err error) error {
	if call, ok := err.(*os.SyscallError); ok {
		return &fs.PathError{Op: call.Syscall, Path: name, Err: call.Err}
	}
	return err
}

// asked is pathError, but what the system lacks is worded with what was asked.
func asked(name string, err error, format string, args ...any) error {
	_, bare := err.(*os.SyscallError)
	err = pathError(name, err)
	if bare && errors.Is(err, errors.ErrUnsupported) {
		return because(err, errors.ErrUnsupported, format, args...)
	}
	return err
}

// The panics of the typed views. They are composite literals of small structs,
// because the inliner charges little for those and much for a call: see
// TestInlining.

// indexError is the panic of a load, or of taking a pointer.
type indexError struct{ i, n int }

func (e indexError) Error() string {
	return fmt.Sprintf("mmap: index %d out of range of a view of %d elements", e.i, e.n)
}
func (e indexError) Unwrap() error { return ErrRange }

// storeError is the panic of a store. A view of n elements in a read-only region
// has w == 0.
type storeError struct{ i, n, w int }

func (e storeError) Error() string {
	text := fmt.Sprintf("mmap: store to index %d of a view of %d elements: ", e.i, e.n)
	switch {
	case e.i >= 0 && e.i < e.n:
		return text + "region is read-only"
	case e.w == 0 && e.n > 0:
		return text + "index out of range, and region is read-only"
	default:
		return text + "index out of range"
	}
}

func (e storeError) Unwrap() error {
	if e.w == 0 && e.n > 0 {
		return ErrReadOnly
	}
	return ErrRange
}

// subError is the panic of Sub.
type subError struct{ i, j, n int }

func (e subError) Error() string {
	return fmt.Sprintf("mmap: sub-view [%d:%d] out of range of a view of %d elements", e.i, e.j, e.n)
}
func (e subError) Unwrap() error { return ErrRange }

// chunkError is the panic of Chunks.
type chunkError struct{ n int }

func (e chunkError) Error() string {
	return fmt.Sprintf("mmap: chunks of %d elements: it must be 1 or more", e.n)
}
func (e chunkError) Unwrap() error { return ErrRange }
