package main

import (
	"unsafe"

	"github.com/seed-498deeca/mmap"
)

// scanLoops are the loops under test, at one place in memory.
type scanLoops struct {
	ints func(p []int64) int64
	view func(v mmap.View[int64]) int64
}

func scanLoopsAt[P any]() scanLoops { return scanLoops{scanIntsAt[P], scanViewAt[P]} }

var scanPlaces = []scanLoops{
	scanLoopsAt[[0]byte](), scanLoopsAt[[1]byte](), scanLoopsAt[[2]byte](), scanLoopsAt[[3]byte](),
	scanLoopsAt[[4]byte](), scanLoopsAt[[5]byte](), scanLoopsAt[[6]byte](), scanLoopsAt[[7]byte](),
	scanLoopsAt[[8]byte](), scanLoopsAt[[9]byte](), scanLoopsAt[[10]byte](), scanLoopsAt[[11]byte](),
}

//go:noinline
func scanIntsAt[P any](p []int64) (sum int64) {
	pad[P]()
	for _, x := range p {
		sum += x
	}
	return sum
}

//go:noinline
func scanViewAt[P any](v mmap.View[int64]) (sum int64) {
	pad[P]()
	for i := range v.Len() {
		sum += v.At(i)
	}
	return sum
}

// scanInts is b as integers; its memory is aligned to them.
func scanInts(b []byte) []int64 {
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}
