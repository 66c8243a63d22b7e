//go:build unix

package main

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	growSystem = append(growSystem,
		&grower{name: growByRemap, grow: growRemap, maps: true},
		&grower{name: "ftruncate alone, mapped beyond the end", grow: growBare},
	)
}

// A growFile is a file, all of which is mapped.
type growFile struct {
	fd   int
	data []byte
}

func growOpen(name string) (*growFile, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := &growFile{fd: fd}
	f.data, err = unix.Mmap(fd, 0, growFrom, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return f, err
}

func (f *growFile) close() error {
	if err := unix.Munmap(f.data); err != nil {
		return err
	}
	return unix.Close(f.fd)
}

func (f *growFile) remap(end int) (err error) {
	if err := unix.Munmap(f.data); err != nil {
		return err
	}
	f.data, err = unix.Mmap(f.fd, 0, end, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

//go:noinline
func growRemap(name string, g *grower) (sum uint64, err error) {
	f, err := growOpen(name)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := unix.Ftruncate(f.fd, int64(end)); err != nil {
			return 0, err
		}
		if err := f.remap(end); err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint64(f.data[end-8:], uint64(i))
		sum += binary.NativeEndian.Uint64(f.data)
		g.done(i)
	}
	return sum, f.close()
}

// growBare is what ours does, without the library: no way can take less.
//
//go:noinline
func growBare(name string, g *grower) (sum uint64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	fd, size := int(f.Fd()), g.ends[len(g.ends)-1]
	p, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	data := unsafe.Slice((*byte)(p), size)
	for i, end := range g.ends {
		if err := unix.Ftruncate(fd, int64(end)); err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint64(data[end-8:], uint64(i))
		sum += binary.NativeEndian.Uint64(data)
		g.done(i)
	}
	if err := unix.MunmapPtr(p, uintptr(size)); err != nil {
		return 0, err
	}
	return sum, f.Close()
}
