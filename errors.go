package mmap

import (
	"fmt"
	"io/fs"
)

// The kinds of failure that are this package's own. Each is returned wrapped
// in an error whose text says what was asked for, of which file, and what was
// there instead; test for them with errors.Is. A system call that fails comes
// back as an *fs.PathError with the errno inside, and what a platform or a
// kind of mapping lacks as errors.ErrUnsupported.
var (
	// ErrClosed means that the region was closed, before the call or during
	// it. It is fs.ErrClosed.
	ErrClosed error = &sentinel{"region is closed", fs.ErrClosed}

	// ErrReadOnly means a store through a region that does not allow it, or a
	// change of the size of a file that the region may only read. It is
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
	// architecture, or that ToEnd does not come out at a whole number of
	// elements.
	ErrLayout error = &sentinel{"no single layout", nil}

	// ErrTruncated means that the file no longer has the byte: it was cut, by
	// this process or another, beneath the mapping.
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

// failure is a sentence about what went wrong; errors.Is finds its kind.
type failure struct {
	text string
	kind error
}

func (f *failure) Error() string { return "mmap: " + f.text }
func (f *failure) Unwrap() error { return f.kind }

func failf(kind error, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), kind}
}

// The panics of the typed views. They are composite literals of small structs
// because the inliner charges little for those and much for a call: see
// TestInlining.

// indexError is the panic of a load, or of taking a pointer or a sub-view.
type indexError struct{ i, n int }

func (e indexError) Error() string {
	return fmt.Sprintf("mmap: index %d out of range of a view of %d elements", e.i, e.n)
}
func (e indexError) Unwrap() error { return ErrRange }

// storeError is the panic of a store. A view of n elements in a read-only
// region has w == 0.
type storeError struct {
	i, n, w int

	// A loop whose only panic is this one has a prologue whose length depends
	// on the size of this struct. On amd64, where functions begin at multiples
	// of 32, three words made the shortest such loop straddle a cache line in
	// every other function, at half the speed; with sixteen it never does.
	// BenchmarkTyped/op=Set shows it.
	_ [13]uintptr
}

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
