//go:build !unix || solaris || illumos || aix

package main

import (
	"errors"
	"os"
)

func twoLock(*os.File) error { return errors.ErrUnsupported }

func twoUnlock(*os.File) error { return errors.ErrUnsupported }
