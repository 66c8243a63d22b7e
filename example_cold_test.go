//go:build (unix && !aix) || windows

package mmap_test

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
)

func ExampleView_Chunks() {
	var data []byte
	for i := range uint32(1000) {
		data = binary.NativeEndian.AppendUint32(data, i)
	}
	name := tempFile(data)
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadOnly))
	defer r.Close()
	v := must(mmap.ViewOf[uint32](r, 0, mmap.ToEnd))

	// The data of each chunk is in memory when the loop gets it, and that of the next is
	// on its way. A fault, if the file is truncated meanwhile, is an error: see Guard.
	var sum uint64
	err := mmap.Guard(func() error {
		s := uint64(0)
		for _, chunk := range v.Chunks(1 << 16) { // 256 KiB each
			for x := range chunk.Values() {
				s += uint64(x)
			}
		}
		sum = s
		return nil
	})
	fmt.Println(sum, err)
	// Output: 499500 <nil>
}

func ExampleView_Populate() {
	name := tempFile(make([]byte, 1<<20))
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadOnly))
	defer r.Close()
	records := must(mmap.ViewOf[uint64](r, 0, mmap.ToEnd))

	wanted := records.Sub(50_000, 50_010)
	if err := wanted.Populate(); err != nil { // waits for the disk, and holds up nobody
		log.Fatal(err)
	}
	fmt.Println(wanted.At(3))
	// Output: 0
}
