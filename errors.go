package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The kinds of failure that are this package's own. Each is returned wrapped in
// an error whose text says what was asked for, of which file, and what was there
// instead. Test for them with [errors.Is]. A system call that fails comes back as
// an [*fs.PathError] with the system's error inside. What a system, a file system
// or a driver cannot do is [errors.ErrUnsupported].
var (
	// ErrClosed means that the region was closed, before the call or during it. It
	// wraps [fs.ErrClosed].
	ErrClosed = errClosed() // "mmap: region is closed"

	// ErrReadOnly means a store to a region that does not allow it, or a change
	// of the size of a file that the region may only read. It wraps
	// [fs.ErrPermission].
	ErrReadOnly = errReadOnly() // "mmap: region is read-only"

	// ErrRange means that an offset, a length or their sum is negative or overflows.
	// It also means that one lies beyond the region, the file, the reservation or
	// the address space.
	ErrRange = errors.New("mmap: out of range")

	// ErrAlignment means that an address is not a multiple of what the type or
	// the system needs.
	ErrAlignment = errors.New("mmap: not aligned")

	// ErrLayout means that a type does not have the same bytes on every architecture,
	// or that [ToEnd] leaves no whole number of elements.
	ErrLayout = errors.New("mmap: no single layout")

	// ErrTruncated means that the file no longer has the byte: this process or
	// another truncated it beneath the mapping.
	ErrTruncated = errors.New("mmap: file was truncated")

	// ErrIO means that the system could not supply or store the page: a device
	// error, or no space left for a page of a sparse file.
	ErrIO = errors.New("mmap: input/output error or no space")
)

func errClosed() error   { return &sentinel{"mmap: region is closed", fs.ErrClosed} }
func errReadOnly() error { return &sentinel{"mmap: region is read-only", fs.ErrPermission} }

// A sentinel is one of the kinds that the standard library has a name for.
type sentinel struct {
	text string
	is   error
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.is }

// A failure is a sentence about what went wrong. errors.Is finds its kind, and
// its cause if another error led to it.
type failure struct {
	text  string
	kind  error
	cause error
}

// Error says what was asked for and why it failed, and then which call did, without
// the name of the file, which is said already.
func (f *failure) Error() string {
	text := "mmap: " + f.text
	switch cause := f.cause.(type) {
	case nil:
		return text
	case *fs.PathError:
		err := cause.Err
		if l, ok := err.(*limitError); ok {
			text, err = text+": "+l.limit, l.errno
		}
		return text + " (" + cause.Op + ": " + unstopped(err) + ")"
	default:
		return text + ": " + strings.TrimPrefix(cause.Error(), "mmap: ")
	}
}

// unstopped is the text of an error of the system. Those of Windows end with a period.
func unstopped(err error) string { return strings.TrimSuffix(err.Error(), ".") }

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
	call, bare := err.(*os.SyscallError)
	err = pathError(name, err)
	if !bare || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if _, says := call.Err.(*limitError); !says {
		format += ": the system cannot do it"
	}
	return because(err, errors.ErrUnsupported, format, args...)
}

// A limitError is a system's error with the limit that stood in the way, and what to do
// about it.
type limitError struct {
	errno error
	limit string
	lacks bool // the system, for what was asked
}

func (e *limitError) Error() string { return unstopped(e.errno) + ": " + e.limit }
func (e *limitError) Unwrap() error { return e.errno }

// Is makes what the system lacks errors.ErrUnsupported, whatever its error.
func (e *limitError) Is(target error) bool { return e.lacks && target == errors.ErrUnsupported }

// withLimit adds the limit to the error of a system call.
func withLimit(err error, limit string) error {
	var call *os.SyscallError
	if limit == "" || !errors.As(err, &call) {
		return err
	}
	return os.NewSyscallError(call.Syscall, &limitError{errno: call.Err, limit: limit})
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
		return text + wasReadOnly
	case e.w == 0 && e.n > 0:
		return text + "index out of range, and " + wasReadOnly
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

const wasReadOnly = "region was read-only when the view was made"

// subError is the panic of Sub.
type subError struct{ i, j, n int }

func (e subError) Error() string {
	return fmt.Sprintf("mmap: sub-view [%d:%d] out of range of a view of %d elements", e.i, e.j, e.n)
}
func (e subError) Unwrap() error { return ErrRange }

// chunkError is the panic of Chunks.
type chunkError struct{ n int }

func (e chunkError) Error() string {
	return fmt.Sprintf("mmap: chunks of %d elements: there must be 1 or more", e.n)
}
func (e chunkError) Unwrap() error { return ErrRange }
