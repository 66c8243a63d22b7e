//go:build (unix && !aix) || windows

package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-498deeca/mmap"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "hello.txt")
	if err := os.WriteFile(name, []byte("Hello, world"), 0o600); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Printf("%d bytes: %s\n", r.Len(), r.Bytes())
	// Output: 12 bytes: Hello, world
}

func ExampleCreate() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	r, err := mmap.Create(filepath.Join(dir, "primes"), 4*8) // on a full disk: an error here
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := v.CopyFrom([]uint64{2, 3, 5, 7}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Len(), v.At(3), r.Sync())
	// Output: 4 7 <nil>
}

func ExampleOpenOrCreate() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "starts")
	for range 3 { // three starts of the program
		r, err := mmap.OpenOrCreate(name, 4)
		if err != nil {
			log.Fatal(err)
		}
		starts, err := mmap.ViewOf[uint32](r, 0, 1)
		if err != nil {
			log.Fatal(err)
		}
		starts.Set(0, starts.At(0)+1)
		fmt.Println("start", starts.At(0))
		r.Close()
	}
	// Output:
	// start 1
	// start 2
	// start 3
}

func ExampleMap() {
	f, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close() // stays the caller's
	if _, err := f.WriteString("borrowed"); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Map(f, mmap.ReadWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	r.Bytes()[0] = 'B' // raw memory: not to be used after Close
	b := make([]byte, 8)
	_, err = f.ReadAt(b, 0)
	fmt.Println(string(b), err)
	// Output: Borrowed <nil>
}

func ExampleAnonymous() {
	r, err := mmap.Anonymous(1 << 30) // takes memory only where it is stored to
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close() // the memory is not part of Go's heap
	v, err := mmap.ViewOf[int64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	v.Set(100_000_000, 900)
	fmt.Println(v.At(100_000_000), v.At(1))
	// Output: 900 0
}

func ExampleViewOf() {
	r, err := mmap.Anonymous(64)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[float32](r, 16, 4) // four numbers, the first at byte 16
	if err != nil {
		log.Fatal(err)
	}
	if err := v.Fill(1.5); err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.At(3), v.Offset())

	_, err = mmap.ViewOf[float32](r, 16, 100)
	fmt.Println(errors.Is(err, mmap.ErrRange), err)
	// Output:
	// 1.5 16
	// true mmap: view of 100 float32 at offset 16 of anonymous memory: it ends at byte 416, and region has 64 bytes
}

func ExampleStructViewOf() {
	r, err := mmap.Anonymous(4096)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	// This struct has gaps that differ between machines.
	type careless struct {
		ID    uint32
		Price float64
	}
	_, err = mmap.StructViewOf[careless](r, 0, 100)
	fmt.Println(err)

	// The same with the gap declared.
	type record struct {
		ID    uint32
		_     [4]byte
		Price float64
	}
	records, err := mmap.StructViewOf[record](r, 0, 100)
	if err != nil {
		log.Fatal(err)
	}
	records.Set(7, record{ID: 7, Price: 9.50})
	fmt.Println(records.At(7).Price)
	// Output:
	// mmap: view of mmap_test.careless: field Price: it would begin at byte 4, not a multiple of 8: insert `_ [4]byte` before field Price
	// 9.5
}

func ExampleBigEndianOf() {
	r, err := mmap.Anonymous(8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.BigEndianOf[uint32](r, 3, 1)
	if err != nil {
		log.Fatal(err)
	}
	v.Set(0, 0x01020304)
	fmt.Printf("% x\n", r.Bytes())
	// Output: 00 00 00 01 02 03 04 00
}

func ExampleLittleEndianOf() {
	r, err := mmap.Anonymous(8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.LittleEndianOf[uint32](r, 3, 1)
	if err != nil {
		log.Fatal(err)
	}
	v.Set(0, 0x01020304)
	fmt.Printf("% x\n", r.Bytes())
	// Output: 00 00 00 04 03 02 01 00
}

func ExampleAtomicOf() {
	r, err := mmap.Anonymous(64)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	counters, err := mmap.AtomicOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan bool)
	for range 4 {
		go func() {
			for range 1000 {
				counters.Add(3, 1)
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	fmt.Println(counters.Load(3))
	// Output: 4000
}

func ExampleRegistersOf() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := mmap.Create(filepath.Join(dir, "device"), 4096) // stands for a device
	if err != nil {
		log.Fatal(err)
	}
	const control, status = 0x20 / 4, 0x24 / 4
	registers, err := mmap.RegistersOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	use := func() error {
		registers.Store(control, 0x80)       // one store of 32 bits, which reads nothing
		fmt.Println(registers.Load(control), // one load of 32 bits
			registers.Load(status)&1 != 0)
		return nil
	}
	fmt.Println(mmap.Guard(use))
	r.Close()
	fmt.Println(errors.Is(mmap.Guard(use), mmap.ErrClosed)) // and no crash
	// Output:
	// 128 false
	// <nil>
	// true
}

func ExampleGet() {
	r, err := mmap.Anonymous(16)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := mmap.Put(r, 3, int64(900)); err != nil { // at any offset
		log.Fatal(err)
	}
	x, err := mmap.Get[int64](r, 3)
	fmt.Println(x, err)
	_, err = mmap.Get[int64](r, 9)
	fmt.Println(err)
	// Output:
	// 900 <nil>
	// mmap: get 8 bytes at offset 9 of anonymous memory: region has 16 bytes
}

func ExamplePut() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "flags")
	if err := os.WriteFile(name, make([]byte, 8), 0o600); err != nil {
		log.Fatal(err)
	}
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	err = mmap.Put(r, 0, uint8(1))
	fmt.Println(errors.Is(err, mmap.ErrReadOnly)) // an error, not a crash
	// Output: true
}

func ExampleGuard() {
	r, err := mmap.Anonymous(1 << 20)
	if err != nil {
		log.Fatal(err)
	}
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	r.Close() // too early

	var total uint64
	err = mmap.Guard(func() error {
		sum := uint64(0) // a variable of its own is faster in a loop
		for x := range v.Values() {
			sum += x
		}
		total = sum
		return nil
	})
	var fault *mmap.FaultError
	if errors.As(err, &fault) {
		fmt.Println(errors.Is(err, mmap.ErrClosed), "at offset", fault.Offset)
	} else {
		fmt.Println(total, err)
	}
	// Output: true at offset 0
}

// Two programs share memory, and know only its name. Here both are this one.
func ExampleShared() {
	name := fmt.Sprintf("mmap-example-%d", os.Getpid())
	defer mmap.RemoveShared(name)

	// One program.
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

func ExampleRemoveShared() {
	name := fmt.Sprintf("mmap-example-remove-%d", os.Getpid())
	r, err := mmap.Shared(name, 64)
	if err != nil {
		log.Fatal(err)
	}
	r.Close() // the memory stays
	if err := mmap.RemoveShared(name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(mmap.RemoveShared(name), os.ErrNotExist))
	// Output: true
}

func ExampleRegionOf() {
	r, err := mmap.Anonymous(4096)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	part := r.Bytes()[100:200] // handed through code that knows only slices
	owner, off := mmap.RegionOf(part)
	fmt.Println(owner == r, off)
	// Output: true 100
}

// A Region is an io.ReaderAt and an io.WriterAt, for everything that takes those.
func ExampleRegion_ReadAt() {
	r, err := mmap.Anonymous(1 << 10)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := r.WriteAt([]byte("one two three"), 100); err != nil {
		log.Fatal(err)
	}
	words := io.NewSectionReader(r, 100, 13)
	for {
		var word string
		if _, err := fmt.Fscan(words, &word); err != nil {
			break
		}
		fmt.Println(strings.ToUpper(word))
	}
	// Output:
	// ONE
	// TWO
	// THREE
}
