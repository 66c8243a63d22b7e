//go:build unix && !aix

package mmap_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
)

// Another process truncates a file while it is read. (Windows does not allow that.)
func Example_surviveTruncation() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "data")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		log.Fatal(err)
	}
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}

	os.Truncate(name, 0) // the other process

	// A loop over a view, under Guard.
	var total uint64
	err = mmap.Guard(func() error {
		sum := uint64(0)
		for x := range v.Values() {
			sum += x
		}
		total = sum
		return nil
	})
	fmt.Println(total, errors.Is(err, mmap.ErrTruncated))

	// A copy says how much was there.
	n, err := v.CopyTo(make([]uint64, v.Len()))
	fmt.Println(n, errors.Is(err, mmap.ErrTruncated))
	// Output:
	// 0 true
	// 0 true
}
