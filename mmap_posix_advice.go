//go:build unix && !aix && (!linux || mmap_posix)

package mmap

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// advise is madvise(2), with the advice that all these systems have. MADV_FREE is for
// memory; of a file, some would forget what was stored.
func (s *space) advise(from, to uintptr, a Advice) error {
	advice, has := map[Advice]int{
		Normal:     unix.MADV_NORMAL,
		Sequential: unix.MADV_SEQUENTIAL,
		Random:     unix.MADV_RANDOM,
		WillNeed:   unix.MADV_WILLNEED,
		DontNeed:   unix.MADV_DONTNEED,
		Free:       unix.MADV_FREE,
		DontDump:   adviseNoDump,
		DoDump:     adviseDump,
	}[a]
	if !has || advice == unix.MADV_NORMAL && a != Normal {
		return lacking(os.NewSyscallError("madvise", errors.ErrUnsupported), runtime.GOOS+" has no such advice")
	}
	return s.madvise(from, to, advice)
}
