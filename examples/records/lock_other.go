//go:build (!unix && !windows) || aix

package main

import (
	"errors"
	"os"
)

func lock(*os.File) error { return errors.ErrUnsupported }
