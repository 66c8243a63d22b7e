package main

import (
	"fmt"
	"math"
	"time"
)

// Ways to read get the buffer that is best for them here.
var buffers = []int{4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 4 << 20}

// bestBuffer does work with each of the buffers, a few times in turns, and returns
// the size of the one with which it took the least.
func bestBuffer(what string, work func(size int) error) (int, error) {
	best, least := 0, math.Inf(1)
	for range 2 {
		for _, size := range buffers {
			progress("%s: which buffer is best", what)
			start := time.Now()
			if err := work(size); err != nil {
				return 0, fmt.Errorf("%s of %s: %w", what, sizeOf(size), err)
			}
			if took := float64(time.Since(start)); took < least {
				least, best = took, size
			}
		}
	}
	return best, nil
}

// sizeOf writes a number of bytes that is whole in its unit.
func sizeOf(n int) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
