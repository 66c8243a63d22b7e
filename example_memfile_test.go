//go:build linux

package mmap_test

import (
	"fmt"
	"log"

	"github.com/seed-498deeca/mmap"
)

// A file in memory, to be handed to a child in exec.Cmd.ExtraFiles. Sealed against
// shrinking, it can be relied on by both sides.
func ExampleMemFile() {
	f, err := mmap.MemFile("mailbox", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := mmap.Seal(f, mmap.SealShrink); err != nil {
		log.Fatal(err)
	}

	// What a receiver does that does not trust the sender.
	seals, err := mmap.SealsOf(f)
	if err != nil || seals&mmap.SealShrink == 0 {
		log.Fatal("not sealed against shrinking: an access could fault")
	}
	r, err := mmap.Map(f, mmap.ReadWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Len(), f.Truncate(0) != nil)
	// Output: 4096 true
}

// Tells the system to read nothing ahead, and asks which pages are in memory.
func ExampleRegion_Advise() {
	r, err := mmap.Anonymous(1 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := r.Advise(0, mmap.ToEnd, mmap.Random); err != nil {
		log.Fatal(err)
	}
	if err := mmap.Put(r, 0, int32(900)); err != nil {
		log.Fatal(err)
	}
	pages, err := r.Resident(0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pages[0])
	// Output: true
}
