//go:build freebsd

package mmap

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const waitsInSystem = true

// Operations of _umtx_op(2), which x/sys/unix lacks. Whether they are for all
// processes follows from the mapping. It must be one that can be stored to: see
// umtx_key_get in sys/kern/kern_umtx.c.
const (
	umtxWake     = 3  // UMTX_OP_WAKE
	umtxWaitUint = 11 // UMTX_OP_WAIT_UINT
)

// A umtxTime is struct _umtx_time: how long to wait, by which clock.
type umtxTime struct {
	timeout      unix.Timespec
	flags, clock uint32
}

// waitWord is told that the word has changed as if that were a wake-up.
func waitWord(p *uint32, old uint32, d time.Duration) (woken bool, err error) {
	t := umtxTime{timeout: unix.NsecToTimespec(int64(d)), clock: unix.CLOCK_MONOTONIC}
	err = intercepted("_umtx_op", func() error {
		_, _, errno := unix.Syscall6(unix.SYS__UMTX_OP, uintptr(unsafe.Pointer(p)), umtxWaitUint, uintptr(old), unsafe.Sizeof(t), uintptr(unsafe.Pointer(&t)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	switch err {
	case unix.EINTR, unix.ETIMEDOUT:
		return false, nil
	}
	return err == nil, err
}

// wakeWord is not told how many.
func wakeWord(p *uint32, n int) (woken int, err error) {
	return 0, intercepted("_umtx_op", func() error {
		_, _, errno := unix.Syscall6(unix.SYS__UMTX_OP, uintptr(unsafe.Pointer(p)), umtxWake, uintptr(n), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}
