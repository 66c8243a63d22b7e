//go:build linux && !mmap_posix

package mmap

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const waitsInSystem = true

// Operations of futex(2), which x/sys/unix lacks. Without FUTEX_PRIVATE_FLAG they are
// for all processes that share the memory.
const (
	futexWait = 0
	futexWake = 1
)

func waitWord(p *uint32, old uint32, d time.Duration) (woken bool, err error) {
	ts := unix.NsecToTimespec(int64(d))
	err = intercepted("futex", func() error {
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p)), futexWait, uintptr(old), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	switch err {
	case unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT:
		return false, nil
	}
	return err == nil, err
}

func wakeWord(p *uint32, n int) (woken int, err error) {
	err = intercepted("futex", func() error {
		r, _, errno := unix.Syscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p)), futexWake, uintptr(n))
		if errno != 0 {
			return errno
		}
		woken = int(r)
		return nil
	})
	return woken, err
}
