//go:build cgo && unix

// Package cscalar is the work in C, compiled as scalar loops.
package cscalar

// #cgo CFLAGS: -O2 -DSCALAR -I${SRCDIR}/../cloops
// #include "loops.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Flags are those of the compiler. The second stands in the source, because cgo does not
// accept it.
const Flags = "-O2 -fno-tree-vectorize"

func Read(place, kind int, p unsafe.Pointer, n, passes int) uint64 {
	return uint64(C.read_all(C.int(place), C.int(kind), p, C.size_t(n), C.int(passes)))
}

func Write(place, kind int, p unsafe.Pointer, n int, seed int64, passes int) {
	C.write_all(C.int(place), C.int(kind), p, C.size_t(n), C.int64_t(seed), C.int(passes))
}

// Copy makes n copies of a piece by memcpy, one after the other in what the span says.
func Copy(dst, src []byte, n, piece, span int) {
	C.copies((*C.char)(unsafe.Pointer(&dst[0])), (*C.char)(unsafe.Pointer(&src[0])), C.size_t(n), C.size_t(piece), C.size_t(span))
}

func RandomRead(b []byte, at []uint32) uint64 {
	return uint64(C.random_reads((*C.uint64_t)(unsafe.Pointer(&b[0])), (*C.uint32_t)(&at[0]), C.size_t(len(at))))
}

func RandomWrite(b []byte, at []uint32, x uint64) {
	C.random_writes((*C.uint64_t)(unsafe.Pointer(&b[0])), (*C.uint32_t)(&at[0]), C.size_t(len(at)), C.uint64_t(x))
}

func RandomPread(fd uintptr, at []uint32) (uint64, error) {
	var sum C.uint64_t
	if C.random_preads(C.int(fd), (*C.uint32_t)(&at[0]), C.size_t(len(at)), &sum) != 0 {
		return 0, errors.New("pread failed")
	}
	return uint64(sum), nil
}

func RandomPwrite(fd uintptr, at []uint32, x uint64) error {
	if C.random_pwrites(C.int(fd), (*C.uint32_t)(&at[0]), C.size_t(len(at)), C.uint64_t(x)) != 0 {
		return errors.New("pwrite failed")
	}
	return nil
}
