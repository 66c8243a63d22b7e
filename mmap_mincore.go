//go:build darwin || dragonfly || freebsd || linux || netbsd

package mmap

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident is mincore(2). The lowest bit says that a page is in memory, everywhere.
func (s *space) resident(from, to uintptr, pages []bool) error {
	page := uintptr(os.Getpagesize())
	vec := make([]byte, min(len(pages), 64<<10))
	for len(pages) > 0 {
		n := min(len(pages), len(vec))
		err := call("mincore", func() error {
			_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(s.addr)+from, uintptr(n)*page, uintptr(unsafe.Pointer(&vec[0])))
			if errno != 0 {
				return errno
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range n {
			pages[i] = vec[i]&1 != 0
		}
		pages, from = pages[n:], from+uintptr(n)*page
	}
	return nil
}
