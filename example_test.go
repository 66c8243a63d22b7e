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

// Maps a file that holds the C int 900, prints it, and changes it in place.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "log.txt")
	if err := os.WriteFile(name, binary.NativeEndian.AppendUint32(nil, 900), 0o600); err != nil {
		log.Fatal(err)
	}

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
	if err := r.Sync(); err != nil { // durable from here on
		log.Fatal(err)
	}
	b, err := os.ReadFile(name)
	fmt.Println(binary.NativeEndian.Uint32(b), err)
	// Output:
	// 900
	// 901 <nil>
}

// A file format begins with four letters, a version and a count, least significant byte
// first. Its numbers follow. The count cannot be trusted.
func Example_readAHeader() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "index")
	if err := os.WriteFile(name, []byte("IDX1\x02\x00\x00\x00\x03\x00\x00\x00\x0a\x00\x14\x00\x1e\x00"), 0o600); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	magic := make([]byte, 4)
	if _, err := r.ReadAt(magic, 0); err != nil || string(magic) != "IDX1" {
		log.Fatalf("%s is no index: it begins with %q (%v)", name, magic, err)
	}
	header, err := mmap.LittleEndianOf[uint32](r, 4, 2)
	if err != nil {
		log.Fatal(err)
	}
	version, count := header.At(0), header.At(1)
	if int64(count) > int64(r.Len()) {
		log.Fatalf("%s: %d numbers in %d bytes", name, count, r.Len())
	}
	// A count that is too large is an error here, and leads nowhere.
	numbers, err := mmap.LittleEndianOf[uint16](r, 12, int(count))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", version)
	for i, x := range numbers.All() {
		fmt.Println(i, x)
	}
	// Output:
	// version 2
	// 0 10
	// 1 20
	// 2 30
}

// Any number of processes map the file and count. Here both are this one.
func Example_shareACounter() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "requests")

	count := func() { // what every process does
		r, err := mmap.OpenOrCreate(name, 8) // the first one makes it, of zeros
		if err != nil {
			log.Fatal(err)
		}
		defer r.Close()
		requests, err := mmap.AtomicOf[uint32](r, 0, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("request", requests.Add(0, 1))
	}
	count()
	count()
	// Output:
	// request 1
	// request 2
}

// A file grows while it is mapped. Nothing moves: views that were made before stay
// valid.
func Example_growAFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// Address space for up to a GiB. It takes neither memory nor disk.
	r, err := mmap.Config{Reserve: 1 << 30}.Create(filepath.Join(dir, "journal"), 1<<16)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	length, err := mmap.ViewOf[uint64](r, 0, 1) // the first number says how many bytes are in use
	if err != nil {
		log.Fatal(err)
	}
	length.Set(0, 8)

	appendBytes := func(b []byte) error {
		end := int64(length.At(0))
		if need := end + int64(len(b)); need > int64(r.Len()) {
			if err := r.Resize(2 * need); err != nil { // in large steps
				return err
			}
		}
		if _, err := r.WriteAt(b, end); err != nil {
			return err
		}
		length.Set(0, uint64(end)+uint64(len(b)))
		return nil
	}
	for range 3 {
		if err := appendBytes(make([]byte, 100_000)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(length.At(0), "bytes are in use")
	// Output: 300008 bytes are in use
}

// Follows a file that another process makes longer.
func Example_followAFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "app.log")
	writer, err := os.Create(name) // stands for the other process
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()

	r, err := mmap.Config{Reserve: 1 << 30}.Open(name) // as far as it may grow
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	seen := 0
	for _, line := range []string{"started\n", "ready\n"} {
		fmt.Fprint(writer, line)

		if err := r.Refresh(); err != nil { // now and then, or when told to
			log.Fatal(err)
		}
		added := make([]byte, r.Len()-seen)
		n, err := r.ReadAt(added, int64(seen)) // a copy: no fault if the file is truncated
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s", added[:n])
		seen += n
	}
	// Output:
	// started
	// ready
}

// A format has a header of 3 bytes, and then numbers whose most significant byte comes
// first.
func Example_bigEndianFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "font")
	if err := os.WriteFile(name, []byte{'h', 'd', 'r', 0, 1, 0, 2, 1, 0}, 0o600); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.BigEndianOf[uint16](r, 3, mmap.ToEnd) // any offset will do
	if err != nil {
		log.Fatal(err)
	}
	for x := range v.Values() {
		fmt.Println(x)
	}
	// Output:
	// 1
	// 2
	// 256
}

// Floating-point numbers lie at an odd offset, in the byte order of the format.
func Example_unalignedFloats() {
	r, err := mmap.Anonymous(1 + 3*8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	// A View refuses this: its numbers must be aligned on every machine.
	_, err = mmap.ViewOf[float64](r, 1, 3)
	fmt.Println(err)

	v, err := mmap.LittleEndianOf[float64](r, 1, 3)
	if err != nil {
		log.Fatal(err)
	}
	for i := range v.Len() {
		v.Set(i, float64(i)/2)
	}
	sum := 0.0
	for x := range v.Values() {
		sum += x
	}
	fmt.Println(sum)
	// Output:
	// mmap: view of 3 float64 at offset 1 of anonymous memory: not 8-byte aligned: LittleEndianOf and BigEndianOf take any offset
	// 1.5
}

// Structs lie in the file as they lie in memory. Every gap is declared.
func Example_structRecords() {
	type trade struct {
		ID    uint32
		_     [4]byte // an 8-byte field lies at a multiple of 8, on every machine
		Price float64
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := mmap.Create(filepath.Join(dir, "trades"), 100*16)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	trades, err := mmap.StructViewOf[trade](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	trades.Set(7, trade{ID: 7, Price: 9.50})
	trades.Ptr(7).Price *= 2 // one field, in place
	fmt.Println(trades.Len(), trades.At(7).Price)
	// Output: 100 19
}

// Changes a bit in a register of a device. Here a file stands for the device, which
// would be /sys/bus/pci/devices/0000:00:04.0/resource0, or a piece of /dev/mem.
func Example_device() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "device")
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		log.Fatal(err)
	}

	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer device.Close()
	r, err := mmap.Config{Mode: mmap.ReadWrite, Offset: 0, Length: 4096}.Map(device)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	registers, err := mmap.RegistersOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	const control, enable = 0x20 / 4, 1 << 7
	registers.Store(control, registers.Load(control)|enable) // one load and one store of 32 bits
	fmt.Printf("%#x\n", registers.Load(control))
	// Output: 0x80
}

// Goes over a file that is not in memory. Each chunk is there when the loop gets it, and the
// next one is on its way. Meanwhile other goroutines run.
func Example_coldData() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "measurements")
	var data []byte
	for i := range uint32(1000) {
		data = binary.NativeEndian.AppendUint32(data, i)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	var total uint64
	err = mmap.Guard(func() error { // an error, if the disk fails or the file is truncated
		for _, chunk := range v.Chunks(1 << 16) { // 256 KiB each
			sum := uint64(0) // a variable of its own is faster in a loop
			for x := range chunk.Values() {
				sum += uint64(x)
			}
			total += sum
		}
		return nil
	})
	fmt.Println(total, err)
	// Output: 499500 <nil>
}
