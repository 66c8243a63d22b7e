package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
)

// makeFile makes a file of random bytes, which is in memory then.
func makeFile(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	src := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for done := 0; done < size; done += len(buf) {
		src.Read(buf)
		if _, err := f.Write(buf[:min(len(buf), size-done)]); err != nil {
			return err
		}
	}
	return f.Close()
}

// memoryFile makes a file that is not on a disk, where the system has such.
func memoryFile(s *session, name string) (*os.File, error) {
	f, err := mmap.MemFile(name, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		return os.Create(filepath.Join(s.dir, name))
	}
	return f, err
}
