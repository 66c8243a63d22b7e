//go:build (unix && !aix) || windows

package mmap_test

import (
	"fmt"
	"log"
	"os"

	"github.com/seed-498deeca/mmap"
)

// Two processes that only know the name. Here both are this one.
func ExampleShared() {
	name := fmt.Sprintf("mmap-example-%d", os.Getpid())
	defer mmap.RemoveShared(name)

	// One process.
	prices, err := mmap.Shared(name, 4096)
	if err != nil {
		log.Fatal(err) // also if another user has taken the name
	}
	defer prices.Close()
	v, err := mmap.AtomicOf[uint32](prices, 0, 1024)
	if err != nil {
		log.Fatal(err)
	}
	v.Store(7, 900)

	// The other.
	same, err := mmap.Shared(name, 0) // all that is there
	if err != nil {
		log.Fatal(err)
	}
	defer same.Close()
	w, err := mmap.AtomicOf[uint32](same, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Len(), w.Load(7))
	// Output: 1024 900
}
