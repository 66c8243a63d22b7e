//go:build (!linux || mmap_posix) && !freebsd

package mmap

import (
	"errors"
	"time"
)

// POSIX has no queue for a word of memory, and that of Windows is for one process.
const waitsInSystem = false

func waitWord(p *uint32, old uint32, d time.Duration) (woken bool, err error) {
	return false, errors.ErrUnsupported
}

func wakeWord(p *uint32, n int) (woken int, err error) { return 0, errors.ErrUnsupported }
