//go:build !linux

package mmap_test

import "os"

func syncData(f *os.File) error { return f.Sync() }
