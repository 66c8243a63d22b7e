//go:build openbsd || solaris

package mmap

import (
	"errors"
	"os"
)

// resident has no system call: OpenBSD gave its mincore(2) up, and that of Solaris is
// in its C library only.
func (s *space) resident(from, to uintptr, pages []bool) error {
	return lacking(os.NewSyscallError("mincore", errors.ErrUnsupported), "this system does not tell")
}

func (s *space) missing(from, to uintptr) (missing, told bool) { return false, false }
