//go:build !unix && !windows

package main

import (
	"errors"
	"os"
)

func lock(f *os.File, at int64) error           { return errors.ErrUnsupported }
func locked(f *os.File, at int64) (bool, error) { return false, errors.ErrUnsupported }
