//go:build unix

package main

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	scaleLibraries = append(scaleLibraries, scaleLibrary{"bare system calls", scaleBare, false})
}

func scaleBare(f *os.File, n int) (unmap func() error, err error) {
	page := uintptr(os.Getpagesize())
	pages := make([]unsafe.Pointer, 0, n)
	unmap = func() (err error) {
		for _, p := range pages {
			err = errors.Join(err, unix.MunmapPtr(p, page))
		}
		return err
	}
	for range n {
		p, err := unix.MmapPtr(int(f.Fd()), 0, nil, page, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return unmap, err
		}
		pages = append(pages, p)
	}
	return unmap, nil
}
