package main

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

func init() {
	growSystem = append(growSystem,
		&grower{name: "ftruncate, mremap", grow: growMremap, maps: true},
		&grower{name: "fallocate, unmap and map", grow: growRemapAllocated, maps: true, allocates: true},
		&grower{name: "fallocate, mremap", grow: growMremapAllocated, maps: true, allocates: true},
	)
}

//go:noinline
func growMremap(name string, g *grower) (sum uint64, err error) {
	f, err := growOpen(name)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := unix.Ftruncate(f.fd, int64(end)); err != nil {
			return 0, err
		}
		if f.data, err = unix.Mremap(f.data, end, unix.MREMAP_MAYMOVE); err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint64(f.data[end-8:], uint64(i))
		sum += binary.NativeEndian.Uint64(f.data)
		g.done(i)
	}
	return sum, f.close()
}

//go:noinline
func growMremapAllocated(name string, g *grower) (sum uint64, err error) {
	f, err := growOpen(name)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := unix.Fallocate(f.fd, 0, int64(len(f.data)), int64(end-len(f.data))); err != nil {
			return 0, err
		}
		if f.data, err = unix.Mremap(f.data, end, unix.MREMAP_MAYMOVE); err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint64(f.data[end-8:], uint64(i))
		sum += binary.NativeEndian.Uint64(f.data)
		g.done(i)
	}
	return sum, f.close()
}

//go:noinline
func growRemapAllocated(name string, g *grower) (sum uint64, err error) {
	f, err := growOpen(name)
	if err != nil {
		return 0, err
	}
	for i, end := range g.ends {
		if err := unix.Fallocate(f.fd, 0, int64(len(f.data)), int64(end-len(f.data))); err != nil {
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
