//go:build cgo && unix

// Package cvector is the work in C, compiled as the compiler vectorises it.
package cvector

// #cgo CFLAGS: -O3 -ffast-math -Wno-unused-function -I${SRCDIR}/../cloops
// #cgo 386 amd64 arm64 s390x CFLAGS: -march=native
// #include "loops.h"
import "C"

import "unsafe"

// Flags are those of the compiler. Without -ffast-math it adds numbers of floating point
// one after the other.
const Flags = "-O3 -march=native -ffast-math"

func Read(place, kind int, p unsafe.Pointer, n, passes int) uint64 {
	return uint64(C.read_all(C.int(place), C.int(kind), p, C.size_t(n), C.int(passes)))
}

func Write(place, kind int, p unsafe.Pointer, n int, seed int64, passes int) {
	C.write_all(C.int(place), C.int(kind), p, C.size_t(n), C.int64_t(seed), C.int(passes))
}
