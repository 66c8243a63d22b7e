package mmap_test

import (
	"fmt"
	"log"
	"os"

	"github.com/seed-498deeca/mmap"
)

// receive is what the child does with the file.
func receive(f *os.File) error {
	seals, err := mmap.SealsOf(f)
	if err != nil {
		return err
	}
	if seals&mmap.SealShrink == 0 {
		return fmt.Errorf("%s is not sealed against shrinking: an access could fault", f.Name())
	}
	r, err := mmap.Map(f, mmap.ReadWrite)
	if err != nil {
		return err
	}
	defer r.Close()
	box, err := mmap.AtomicOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	box.Store(0, 900)
	return nil
}

// A parent process hands memory to a child process, which does not trust the parent.
func Example_handMemoryToAChild() {
	f, err := mmap.MemFile("mailbox", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := mmap.Seal(f, mmap.SealShrink); err != nil {
		log.Fatal(err)
	}

	// cmd := exec.Command("child")
	// cmd.ExtraFiles = []*os.File{f} // descriptor 3 of the child
	// and in the child: receive(os.NewFile(3, "mailbox"))
	if err := receive(f); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	x, err := mmap.Get[uint32](r, 0)
	fmt.Println(x, err)
	// Output: 900 <nil>
}

func ExampleMemFile() {
	f, err := mmap.MemFile("scratch", 4096) // in memory, without a name in any directory
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	r, err := mmap.Map(f, mmap.ReadWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Len())
	// Output: 4096
}

func ExampleSeal() {
	f, err := mmap.MemFile("sealed", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := mmap.Seal(f, mmap.SealShrink|mmap.SealGrow); err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Truncate(0) != nil, f.Truncate(8192) != nil) // refused, to everybody
	// Output: true true
}

func ExampleSealsOf() {
	f, err := mmap.MemFile("sealed", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := mmap.Seal(f, mmap.SealShrink); err != nil {
		log.Fatal(err)
	}
	seals, err := mmap.SealsOf(f)
	fmt.Println(seals&mmap.SealShrink != 0, err)
	// Output: true <nil>
}

func ExampleSeals() {
	fmt.Println(mmap.SealShrink | mmap.SealGrow)
	// Output: SealShrink|SealGrow
}

// Says that the bytes will be read in no order, and asks which pages are in memory.
func ExampleAdvice() {
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
