package mmap

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What safety costs, beside the bare call that it is wrapped around; the two
// take turns, see compare.
//
//	go test -run '^$' -bench Safety .

func BenchmarkSafetyGuard(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Guard(func() error { return nil })
	}
}

func BenchmarkSafetyReadAt8(b *testing.B) {
	r := anonymousRegion(b, 4096)
	var p [8]byte
	b.ReportAllocs()
	for b.Loop() {
		if n, _ := r.ReadAt(p[:], 16); n != 8 {
			b.Fatal(n)
		}
	}
}

func BenchmarkSafetyGet(b *testing.B) {
	r := anonymousRegion(b, 4096)
	b.ReportAllocs()
	for b.Loop() {
		x, err := Get[uint64](r, 16)
		if err != nil {
			b.Fatal(err)
		}
		sink += x
	}
}

// BenchmarkSafetyClose maps one page of a file and takes it away again, of which
// only the latter is timed: Close against munmap(2).
func BenchmarkSafetyClose(b *testing.B) {
	name := tempFile(b, make([]byte, 4096))
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var p unsafe.Pointer
	var r *Region
	compareTimed(b,
		func() {
			if p, err = unix.MmapPtr(int(f.Fd()), 0, nil, 4096, unix.PROT_READ, unix.MAP_SHARED); err != nil {
				b.Fatal(err)
			}
			sink += uint64(*(*byte)(p))
		},
		func() { unix.MunmapPtr(p, 4096) },
		func() {
			if r, err = Map(f, ReadOnly); err != nil {
				b.Fatal(err)
			}
			x, _ := Get[uint8](r, 0)
			sink += uint64(x)
		},
		func() { r.Close() })
}

// BenchmarkSafetyResize grows a file by one page and cuts it again, in regions
// of very different size.
func BenchmarkSafetyResize(b *testing.B) {
	for _, fs := range []struct{ name, dir string }{{"disk", ""}, {"tmpfs", "/dev/shm"}} {
		for _, sparse := range []bool{true, false} {
			for _, size := range []int64{1 << 20, 1 << 36} {
				if size > 1<<30 && unsafe.Sizeof(uintptr(0)) == 4 {
					continue
				}
				b.Run(fmt.Sprintf("fs=%s/sparse=%v/size=%dMiB", fs.name, sparse, size>>20), func(b *testing.B) {
					dir, err := os.MkdirTemp(fs.dir, "mmap")
					if err != nil {
						b.Skipf("no %s here: %v", fs.name, err)
					}
					defer os.RemoveAll(dir)
					r, err := Config{Sparse: true, Reserve: size + 1<<20}.Create(filepath.Join(dir, "ours"), size)
					if err != nil {
						b.Skipf("the file system has no file of %d bytes: %v", size, err)
					}
					defer r.Close()
					r.o.sparse = sparse
					f, err := os.Create(filepath.Join(dir, "bare"))
					if err != nil {
						b.Fatal(err)
					}
					defer f.Close()
					if err := f.Truncate(size); err != nil {
						b.Fatal(err)
					}
					fd := int(f.Fd())
					// As mapped as ours: to cut a file costs more when the kernel
					// has to look for pages of it in address spaces.
					p, err := unix.MmapPtr(fd, 0, nil, uintptr(size+1<<20), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
					if err != nil {
						b.Fatal(err)
					}
					defer unix.MunmapPtr(p, uintptr(size+1<<20))
					compare(b, 1,
						func() {
							if sparse {
								err = unix.Ftruncate(fd, size+4096)
							} else {
								err = unix.Fallocate(fd, 0, size, 4096)
							}
							if err != nil {
								b.Fatal(err)
							}
							if err := unix.Ftruncate(fd, size); err != nil {
								b.Fatal(err)
							}
						},
						func() {
							if err := r.Resize(size + 4096); err != nil {
								b.Fatal(err)
							}
							if err := r.Resize(size); err != nil {
								b.Fatal(err)
							}
						})
				})
			}
		}
	}
}
