//go:build unix

package main

import (
	"encoding/binary"
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	smallSystem = []smallReader{
		{"os.Open, unix.Mmap", smallMmap, false, true},
		{"bare system calls", smallBare, false, false},
	}
}

// smallBare makes the system calls that there is no way around.
//
//go:noinline
func smallBare(name string) (uint64, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	p, err := unix.MmapPtr(fd, 0, nil, uintptr(st.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	x := binary.NativeEndian.Uint64(unsafe.Slice((*byte)(p), st.Size))
	if err := unix.MunmapPtr(p, uintptr(st.Size)); err != nil {
		return 0, err
	}
	return x, unix.Close(fd)
}

//go:noinline
func smallMmap(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	p, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	x := binary.NativeEndian.Uint64(p)
	return x, errors.Join(unix.Munmap(p), f.Close())
}
