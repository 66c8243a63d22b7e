//go:build !unix

package main

import (
	"errors"
	"fmt"
	"os"
)

func mapBare(f *os.File, writable bool) (mapped, error) {
	return mapped{}, fmt.Errorf("bare mmap: %w", errors.ErrUnsupported)
}
