package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-498deeca/mmap"
)

// errNotCold means that a file cannot be dropped from memory.
var errNotCold = fmt.Errorf("not cold: %w", errors.ErrUnsupported)

// residentPages counts the pages of a file that are in memory.
func residentPages(f *os.File) (n int, err error) {
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	pages, err := r.Resident(0, mmap.ToEnd)
	for _, in := range pages {
		if in {
			n++
		}
	}
	return n, err
}
