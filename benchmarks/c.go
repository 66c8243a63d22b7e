//go:build cgo && unix

package main

import (
	"unsafe"

	"github.com/seed-498deeca/mmap/benchmarks/internal/cscalar"
	"github.com/seed-498deeca/mmap/benchmarks/internal/cvector"
)

// C, behind functions that exist where it was not compiled, too.

const haveC = true

// A language is C compiled in one way.
type language struct {
	name  string
	read  func(place, kind int, p unsafe.Pointer, n, passes int) uint64
	write func(place, kind int, p unsafe.Pointer, n int, seed int64, passes int)
}

var (
	scalarC  = language{"C, scalar", cscalar.Read, cscalar.Write}
	vectorC  = language{"C, vectorised", cvector.Read, cvector.Write}
	flagsOfC = "C is compiled with " + cscalar.Flags + ", and where it is vectorised with " + cvector.Flags + "."

	cCopy         = cscalar.Copy
	cRandomRead   = cscalar.RandomRead
	cRandomWrite  = cscalar.RandomWrite
	cRandomPread  = cscalar.RandomPread
	cRandomPwrite = cscalar.RandomPwrite
)
