//go:build (unix && !aix) || windows

package mmap_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed-498deeca/mmap"
)

// tempFile makes a file with some bytes, for the examples.
func tempFile(data []byte) string {
	dir, err := os.MkdirTemp("", "mmap")
	if err != nil {
		log.Fatal(err)
	}
	name := filepath.Join(dir, "data")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		log.Fatal(err)
	}
	return name
}

func must[T any](x T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return x
}

func Example() {
	name := tempFile(binary.NativeEndian.AppendUint32(nil, 900))
	defer os.RemoveAll(filepath.Dir(name))

	r, err := mmap.Open(name, mmap.ReadWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[int32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.At(0))

	v.Set(0, 901)
	if err := r.Sync(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(binary.NativeEndian.Uint32(must(os.ReadFile(name))))
	// Output:
	// 900
	// 901
}

func ExampleRegion_Resize() {
	dir := must(os.MkdirTemp("", "mmap"))
	defer os.RemoveAll(dir)

	r := must(mmap.Config{Reserve: 1 << 30}.Create(filepath.Join(dir, "journal"), 8))
	defer r.Close()
	first := must(mmap.ViewOf[uint64](r, 0, 1))
	first.Set(0, 42)

	if err := r.Resize(1 << 20); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Len(), first.At(0)) // the view is still good: nothing moved
	// Output: 1048576 42
}

func ExampleStructViewOf() {
	type record struct {
		ID    uint32
		_     [4]byte // an 8-byte field lies at a multiple of 8 everywhere
		Price float64
	}
	r := must(mmap.Anonymous(4096))
	defer r.Close()
	records := must(mmap.StructViewOf[record](r, 0, 100))
	records.Set(7, record{ID: 7, Price: 9.50})
	records.Ptr(7).Price *= 2
	fmt.Printf("%+v\n", records.At(7).Price)

	type careless struct {
		ID    uint32
		Price float64
	}
	_, err := mmap.StructViewOf[careless](r, 0, 100)
	fmt.Println(err)
	// Output:
	// 19
	// mmap: view of mmap_test.careless: field Price: it would begin at byte 4, not a multiple of 8: insert `_ [4]byte` before field Price
}

func ExampleBigEndianOf() {
	// A format with a 3-byte header and then big-endian numbers.
	name := tempFile([]byte{'h', 'd', 'r', 0, 1, 0, 2, 1, 0})
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadOnly))
	defer r.Close()
	for i, x := range must(mmap.BigEndianOf[uint16](r, 3, mmap.ToEnd)).All() {
		fmt.Println(i, x)
	}
	// Output:
	// 0 1
	// 1 2
	// 2 256
}

func ExampleRegistersOf() {
	// Here a file stands for the registers of a device, which would be
	// /sys/bus/pci/devices/0000:00:04.0/resource0 or a piece of /dev/mem.
	name := tempFile(make([]byte, 4096))
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadWrite))
	defer r.Close()
	const control, status = 0x20 / 4, 0x24 / 4
	registers := must(mmap.RegistersOf[uint32](r, 0, mmap.ToEnd))
	use := func() error {
		registers.Store(control, 0x80)       // one store of 32 bits, which reads nothing
		fmt.Println(registers.Load(control), // one load of 32 bits
			registers.Load(status)&1 != 0)
		registers.Store(control, registers.Load(control)|1) // to set a bit: a load and a store
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

func ExampleAtomicView() {
	// One goroutine, or process, hands data to another: first the data, then the flag.
	name := tempFile(make([]byte, 64))
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadWrite))
	defer r.Close()
	data := must(mmap.ViewOf[uint64](r, 8, 2))
	flag := must(mmap.AtomicOf[uint32](r, 0, 1))
	go func() {
		data.Set(0, 6)
		data.Set(1, 7)
		flag.Store(0, 1)
	}()
	for flag.Load(0) == 0 {
		runtime.Gosched()
	}
	fmt.Println(data.At(0) * data.At(1)) // the race detector agrees
	// Output: 42
}

func ExampleAtomicOf() {
	// Any number of processes that map the file can do this at the same time.
	name := tempFile(make([]byte, 64))
	defer os.RemoveAll(filepath.Dir(name))
	r := must(mmap.Open(name, mmap.ReadWrite))
	defer r.Close()
	counters := must(mmap.AtomicOf[uint32](r, 0, mmap.ToEnd))
	counters.Add(3, 1)
	counters.Add(3, 1)
	fmt.Println(counters.Load(3))
	// Output: 2
}
