package main

import (
	"math/rand/v2"
	"os"
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
