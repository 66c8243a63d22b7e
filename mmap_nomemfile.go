//go:build !linux

package mmap

import (
	"errors"
	"os"
	"runtime"
)

// Files in memory, which Linux has.

func memoryFile(name string) (*os.File, error) { return nil, noMemoryFiles() }
func (h handle) seal(s Seals) error            { return noMemoryFiles() }
func (h handle) seals() (Seals, error)         { return 0, noMemoryFiles() }
func (h handle) ofSeals(err error) error       { return err }

func noMemoryFiles() error {
	return failf(errors.ErrUnsupported, "%s has no memory files", runtime.GOOS)
}
