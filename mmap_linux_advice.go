//go:build linux && !mmap_posix

package mmap

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Advice, as madvise(2) has it.

// advices has for each Advice the number of madvise(2), since when Linux knows it,
// and what the refusal of a kernel that does means.
var advices = [...]struct {
	number      int
	name, since string
	why         string
}{
	Normal:      {unix.MADV_NORMAL, "MADV_NORMAL", "2.4", "not for this memory"},
	Sequential:  {unix.MADV_SEQUENTIAL, "MADV_SEQUENTIAL", "2.4", "not for this memory"},
	Random:      {unix.MADV_RANDOM, "MADV_RANDOM", "2.4", "not for this memory"},
	WillNeed:    {unix.MADV_WILLNEED, "MADV_WILLNEED", "2.4", "not for this memory"},
	DontNeed:    {unix.MADV_DONTNEED, "MADV_DONTNEED", "2.4", "not for locked pages and devices, and for pages of a pool since Linux 5.18 only"},
	Cold:        {unix.MADV_COLD, "MADV_COLD", "5.4", "not for locked pages, devices and pages of a pool"},
	PageOut:     {unix.MADV_PAGEOUT, "MADV_PAGEOUT", "5.4", "not for locked pages, devices and pages of a pool"},
	Free:        {unix.MADV_FREE, "MADV_FREE", "4.5", "only for private memory that is not locked"},
	Remove:      {unix.MADV_REMOVE, "MADV_REMOVE", "2.6.16", "only for files and shared memory, not for locked pages"},
	HugePage:    {unix.MADV_HUGEPAGE, "MADV_HUGEPAGE", "2.6.38, with CONFIG_TRANSPARENT_HUGEPAGE,", "not for devices and pages of a pool"},
	NoHugePage:  {unix.MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE", "2.6.38, with CONFIG_TRANSPARENT_HUGEPAGE,", "not for devices and pages of a pool"},
	Collapse:    {unix.MADV_COLLAPSE, "MADV_COLLAPSE", "6.1, with CONFIG_TRANSPARENT_HUGEPAGE,", "only for pages that hold a whole huge page, where their file system has huge pages"},
	DontDump:    {unix.MADV_DONTDUMP, "MADV_DONTDUMP", "3.4", "not for devices"},
	DoDump:      {unix.MADV_DODUMP, "MADV_DODUMP", "3.4", "not for devices and pages of a pool"},
	WipeOnFork:  {unix.MADV_WIPEONFORK, "MADV_WIPEONFORK", "4.14", "only for private memory"},
	KeepOnFork:  {unix.MADV_KEEPONFORK, "MADV_KEEPONFORK", "4.14", "not for devices"},
	Mergeable:   {unix.MADV_MERGEABLE, "MADV_MERGEABLE", "2.6.32, with CONFIG_KSM,", "not for devices"},
	Unmergeable: {unix.MADV_UNMERGEABLE, "MADV_UNMERGEABLE", "2.6.32, with CONFIG_KSM,", "not for devices"},
}

// advise is madvise(2).
func (s *space) advise(from, to uintptr, a Advice) error {
	known := advices[a]
	err := s.madvise(from, to, known.number)
	unfit := errors.Is(err, unix.EINVAL)
	if a == Remove { // is fallocate(2), which says this of a device
		unfit = unfit || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EFBIG)
	}
	switch {
	case errors.Is(err, unix.ENOMEM):
		return limited(err, to-from)
	case !unfit:
		return err
	case !s.knows(known.number):
		return lacking(err, known.name+" is not known to this kernel: Linux "+known.since+" has it")
	}
	return lacking(err, known.name+" is "+known.why)
}

// knows asks for advice on no bytes, which says whether the kernel has it
// (madvise(2), VERSIONS).
func (s *space) knows(advice int) bool {
	return call("madvise", func() error {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(s.addr), 0, uintptr(advice)); errno != 0 {
			return errno
		}
		return nil
	}) == nil
}
