package main

import (
	"encoding/binary"
	"os"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// The loops, a function for each way: generic code would call by a table.

//go:noinline
func randomViewReads(v mmap.View[uint64], at []uint32) (sum uint64) {
	for _, i := range at {
		sum += v.At(int(i))
	}
	return sum
}

//go:noinline
func randomViewWrites(v mmap.View[uint64], at []uint32, x uint64) {
	for _, i := range at {
		v.Set(int(i), uint64(i)+x)
	}
}

//go:noinline
func randomGets(r *mmap.Region, at []uint32) (sum uint64, err error) {
	for _, i := range at {
		x, err := mmap.Get[uint64](r, int(i)*8)
		if err != nil {
			return 0, err
		}
		sum += x
	}
	return sum, nil
}

//go:noinline
func randomPuts(r *mmap.Region, at []uint32, x uint64) error {
	for _, i := range at {
		if err := mmap.Put(r, int(i)*8, uint64(i)+x); err != nil {
			return err
		}
	}
	return nil
}

//go:noinline
func randomRegionReads(r *mmap.Region, at []uint32) (sum uint64, err error) {
	var buf [8]byte
	for _, i := range at {
		if _, err := r.ReadAt(buf[:], int64(i)*8); err != nil {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(buf[:])
	}
	return sum, nil
}

//go:noinline
func randomRegionWrites(r *mmap.Region, at []uint32, x uint64) error {
	var buf [8]byte
	for _, i := range at {
		binary.NativeEndian.PutUint64(buf[:], uint64(i)+x)
		if _, err := r.WriteAt(buf[:], int64(i)*8); err != nil {
			return err
		}
	}
	return nil
}

//go:noinline
func randomExpReads(r *expmmap.ReaderAt, at []uint32) (sum uint64, err error) {
	var buf [8]byte
	for _, i := range at {
		if _, err := r.ReadAt(buf[:], int64(i)*8); err != nil {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(buf[:])
	}
	return sum, nil
}

//go:noinline
func randomBytesReads(b []byte, at []uint32) (sum uint64) {
	for _, i := range at {
		sum += binary.NativeEndian.Uint64(b[int(i)*8:])
	}
	return sum
}

//go:noinline
func randomBytesWrites(b []byte, at []uint32, x uint64) {
	for _, i := range at {
		binary.NativeEndian.PutUint64(b[int(i)*8:], uint64(i)+x)
	}
}

//go:noinline
func randomSliceReads(s []uint64, at []uint32) (sum uint64) {
	for _, i := range at {
		sum += s[i]
	}
	return sum
}

//go:noinline
func randomSliceWrites(s []uint64, at []uint32, x uint64) {
	for _, i := range at {
		s[i] = uint64(i) + x
	}
}

//go:noinline
func randomFileReads(f *os.File, at []uint32) (sum uint64, err error) {
	var buf [8]byte
	for _, i := range at {
		if _, err := f.ReadAt(buf[:], int64(i)*8); err != nil {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(buf[:])
	}
	return sum, nil
}

//go:noinline
func randomFileWrites(f *os.File, at []uint32, x uint64) error {
	var buf [8]byte
	for _, i := range at {
		binary.NativeEndian.PutUint64(buf[:], uint64(i)+x)
		if _, err := f.WriteAt(buf[:], int64(i)*8); err != nil {
			return err
		}
	}
	return nil
}
