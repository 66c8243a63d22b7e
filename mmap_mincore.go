//go:build darwin || dragonfly || freebsd || linux || netbsd

package mmap

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore says of each page in memory 1 in the lowest bit of its byte.
func (s *space) mincore(from uintptr, vec []byte) error {
	n := uintptr(len(vec)) * uintptr(os.Getpagesize())
	return call("mincore", func() error {
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(s.addr)+from, n, uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// missing is mincore(2).
func (s *space) missing(from, to uintptr) (missing, told bool) {
	var vec [256]byte
	page := uintptr(os.Getpagesize())
	for from < to {
		n := min((to-from)/page, uintptr(len(vec)))
		if s.mincore(from, vec[:n]) != nil {
			return false, false
		}
		there := byte(1)
		for _, v := range vec[:n] {
			there &= v
		}
		if there == 0 {
			return true, true
		}
		from += n * page
	}
	return false, true
}

// resident is mincore(2). The lowest bit says that a page is in memory, everywhere.
func (s *space) resident(from, to uintptr, pages []bool) error {
	page := uintptr(os.Getpagesize())
	vec := make([]byte, min(len(pages), 64<<10))
	for len(pages) > 0 {
		n := min(len(pages), len(vec))
		if err := s.mincore(from, vec[:n]); err != nil {
			return err
		}
		for i := range n {
			pages[i] = vec[i]&1 != 0
		}
		pages, from = pages[n:], from+uintptr(n)*page
	}
	return nil
}
