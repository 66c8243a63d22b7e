//go:build !linux

package main

import (
	"errors"
	"os"
)

func coldDirect(string, int, func(*os.File, []byte) (int64, error)) (int64, error) {
	return 0, errors.ErrUnsupported
}

func newGroup(int) (dir, why string) { return "", "there are cgroups on Linux only" }

func joinGroup(string) error { return errors.ErrUnsupported }

func (s *session) slowFile() error {
	s.skip("a file of which each read takes 2 ms: the file system for it runs on Linux only")
	return nil
}
