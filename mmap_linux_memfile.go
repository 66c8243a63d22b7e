//go:build linux

package mmap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile is memfd_create(2). Before Linux 6.3 it does not know
// MFD_NOEXEC_SEAL, which makes the file one that can be sealed and not executed.
func memoryFile(name string) (*os.File, error) {
	fd := -1
	create := func(flags int) error {
		return ofDescriptors(call("memfd_create", func() (err error) {
			fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
			return err
		}))
	}
	err := create(unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		err = create(unix.MFD_ALLOW_SEALING)
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return nil, withLimit(err, "the name of a memory file has at most 249 bytes")
	case errors.Is(err, unix.ENOSYS):
		return nil, lacking(err, "Linux has memory files since 3.17")
	case err != nil:
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// sealNumbers has the number of each seal for fcntl(2), in the order of the seals.
var sealNumbers = [...]int{unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE, unix.F_SEAL_FUTURE_WRITE}

func (h handle) seal(s Seals) error {
	numbers := 0
	for i, number := range sealNumbers {
		if s&(1<<i) != 0 {
			numbers |= number
		}
	}
	err := call("fcntl", func() error {
		_, err := unix.FcntlInt(uintptr(h), unix.F_ADD_SEALS, numbers)
		return err
	})
	switch {
	case errors.Is(err, unix.EBUSY):
		return withLimit(err, "somebody has it mapped and could store: close that region, or use SealFutureWrite")
	case errors.Is(err, unix.EPERM):
		now, unfit := h.seals()
		if unfit != nil {
			return unfit
		}
		return withLimit(err, "it has "+now.String()+": SealSeal forbids more, and the file must be open for writing")
	case errors.Is(err, unix.EINVAL) && h.sealable():
		return lacking(err, "this kernel does not know all of the seals: Linux 5.1 does")
	}
	return noMemoryFile(err)
}

func (h handle) seals() (s Seals, err error) {
	var numbers int
	err = call("fcntl", func() (err error) {
		numbers, err = unix.FcntlInt(uintptr(h), unix.F_GET_SEALS, 0)
		return err
	})
	if err != nil {
		return 0, noMemoryFile(err)
	}
	for i, number := range sealNumbers {
		if numbers&number != 0 {
			s |= 1 << i
		}
	}
	return s, nil
}

// ofSeals adds to what was not permitted the seals that may be the reason.
func (h handle) ofSeals(err error) error {
	if errors.Is(err, unix.EPERM) {
		if s, unfit := h.seals(); unfit == nil && s&^SealSeal != 0 {
			return withLimit(err, "the file is sealed with "+s.String())
		}
	}
	return err
}

func (h handle) sealable() bool {
	_, err := h.seals()
	return err == nil
}

// noMemoryFile words EINVAL, which is what a file gives that cannot have seals.
func noMemoryFile(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return lacking(err, "only memory files have seals")
	}
	return err
}
