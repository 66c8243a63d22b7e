//go:build !linux

package main

import (
	"fmt"
	"os"
)

func forget(*os.File) error {
	return fmt.Errorf("%w: dropping a file from memory is done on Linux only", errNotCold)
}
