//go:build unix && !aix

package mmap_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
)

// Windows does not truncate a file while anyone has it mapped.

func ExampleGuard() {
	name := tempFile(make([]byte, 1<<20))
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadOnly))
	defer r.Close()
	v := must(mmap.ViewOf[uint64](r, 0, mmap.ToEnd))

	os.Truncate(name, 0) // as another process might

	var sum uint64
	err := mmap.Guard(func() error {
		s := uint64(0) // fn's own variable is faster in a loop
		for x := range v.Values() {
			s += x
		}
		sum = s
		return nil
	})
	var fault *mmap.FaultError
	if errors.As(err, &fault) {
		fmt.Println(errors.Is(err, mmap.ErrTruncated), "at offset", fault.Offset)
	} else {
		fmt.Println(sum, err)
	}
	// Output: true at offset 0
}
