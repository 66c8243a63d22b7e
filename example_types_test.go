//go:build (unix && !aix) || windows

package mmap_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/seed-498deeca/mmap"
)

// All six arguments of mmap(2): address, length, protection, flags, file and offset.
func ExampleConfig() {
	f, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Config{
		Addr:   0,             // where the system likes
		Length: 131072,        // bytes
		Mode:   mmap.ReadOnly, // PROT_READ, MAP_SHARED
		Flags:  0,             // nothing more
		Offset: 917504,        // need not be a multiple of the page size
	}.Map(f)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Len(), r.Offset(), r.Mode())
	// Output: 131072 917504 ReadOnly
}

// CopyOnWrite keeps stores private: they never reach the file.
func ExampleMode() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "config")
	if err := os.WriteFile(name, []byte("color=red"), 0o600); err != nil {
		log.Fatal(err)
	}
	r, err := mmap.Open(name, mmap.CopyOnWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	copy(r.Bytes()[6:], "RED")
	b, err := os.ReadFile(name)
	fmt.Printf("%s in memory, %s in the file, %v\n", r.Bytes(), b, err)
	// Output: color=RED in memory, color=red in the file, <nil>
}

// Transparent huge pages make random access in large memory faster. The system may give
// them or not. HugePages2M and HugePages1G insist: the pages come from a pool that the
// administrator has set aside, or an error says what to do.
func ExampleHugePages() {
	r, err := mmap.Config{HugePages: mmap.TransparentHugePages}.Anonymous(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Len() >> 20)
	// Output: 64
}

func ExampleRegion() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := mmap.Config{Reserve: 1 << 20}.Create(filepath.Join(dir, "data"), 100)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Len(), r.Cap(), filepath.Base(r.Name()))
	if err := r.Resize(200); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Len(), r.Sync(), r.Close())
	_, err = r.ReadAt(make([]byte, 1), 0)
	fmt.Println(errors.Is(err, mmap.ErrClosed)) // as is every use after Close
	// Output:
	// 100 1048576 data
	// 200 <nil> <nil>
	// true
}

func ExampleView() {
	r, err := mmap.Anonymous(5 * 8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[int64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	for i := range v.Len() {
		v.Set(i, int64(i*i))
	}
	middle := v.Sub(1, 4)
	for i, x := range middle.All() {
		fmt.Println(i, x)
	}
	out := make([]int64, 10)
	n, err := v.CopyTo(out)
	fmt.Println(out[:n], err)
	// Output:
	// 0 1
	// 1 4
	// 2 9
	// [0 1 4 9 16] <nil>
}

// One goroutine, or process, hands data to another: first the data, then the flag that
// says that the data is there.
func ExampleAtomicView() {
	r, err := mmap.Anonymous(64)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	flag, err := mmap.AtomicOf[uint32](r, 0, 1)
	if err != nil {
		log.Fatal(err)
	}
	data, err := mmap.ViewOf[uint64](r, 8, 2)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		data.Set(0, 6)
		data.Set(1, 7)
		flag.Store(0, 1)
	}()
	for flag.Load(0) == 0 {
		runtime.Gosched()
	}
	fmt.Println(data.At(0) * data.At(1)) // no data race
	// Output: 42
}

// One side asks, the other answers, and each sleeps until it is its turn. The two may be
// processes. One counter goes up with every question, another with every answer: a
// question is open as long as they differ. (In memory that outlives the programs, such as
// that of Shared, both are what the last run left.)
func ExampleAtomicView_Wait() {
	r, err := mmap.Anonymous(24) // Shared, or a file, between processes
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	const questions, answers = 0, 1 // counters
	const number = 8                // where question and answer lie
	count, err := mmap.AtomicOf[uint32](r, 0, 2)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the other may be dead

	await := func(i int, old uint32) error { // returns when counter i is not old
		for count.Load(i) == old { // Wait may return without a reason
			if err := count.Wait(ctx, i, old); err != nil {
				return err
			}
		}
		return nil
	}
	answer := func() error {
		for {
			if err := await(questions, count.Load(answers)); err != nil {
				return err
			}
			x, err := mmap.Get[int64](r, number)
			if err != nil {
				return err
			}
			if err := mmap.Put(r, number, x*x); err != nil {
				return err
			}
			count.Add(answers, 1) // after what it announces
			count.Wake(answers, 1)
		}
	}
	ask := func(x int64) (int64, error) {
		if err := mmap.Put(r, number, x); err != nil {
			return 0, err
		}
		old := count.Load(answers)
		count.Add(questions, 1)
		count.Wake(questions, 1)
		if err := await(answers, old); err != nil {
			return 0, err
		}
		return mmap.Get[int64](r, number)
	}

	ended := make(chan error)
	go func() { ended <- mmap.Guard(answer) }() // others could truncate a shared file
	defer func() { cancel(); <-ended }()        // before Close
	err = mmap.Guard(func() error {
		for _, x := range []int64{10, 20, 30} {
			square, err := ask(x)
			if err != nil {
				return err
			}
			fmt.Println(x, square)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 10 100
	// 20 400
	// 30 900
}

func ExampleBigEndian() {
	r, err := mmap.Anonymous(11)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.BigEndianOf[float64](r, 3, 1)
	if err != nil {
		log.Fatal(err)
	}
	v.Set(0, 1)
	fmt.Printf("% x\n", r.Bytes()[3:])
	// Output: 3f f0 00 00 00 00 00 00
}

func ExampleLittleEndian() {
	r, err := mmap.Anonymous(11)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.LittleEndianOf[float64](r, 3, 1)
	if err != nil {
		log.Fatal(err)
	}
	v.Set(0, 1)
	fmt.Printf("% x\n", r.Bytes()[3:])
	// Output: 00 00 00 00 00 00 f0 3f
}

// Changes some bits of a register of 32 bits. A Store never reads by itself.
func ExampleRegisters() {
	r, err := mmap.Anonymous(4096) // stands for a device
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.RegistersOf[uint32](r, 0x40, 4) // the registers at 0x40, 0x44, 0x48 and 0x4c
	if err != nil {
		log.Fatal(err)
	}
	const mode = 1
	v.Store(mode, v.Load(mode)&^0xf|0x3)
	fmt.Println(v.Load(mode))
	// Output: 3
}

func ExampleFaultError() {
	r, err := mmap.Anonymous(4096)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Protect(mmap.ReadOnly); err != nil {
		log.Fatal(err)
	}
	err = mmap.Guard(func() error {
		v.Set(0, 1) // v was made when this was allowed
		return nil
	})
	var fault *mmap.FaultError
	if errors.As(err, &fault) {
		fmt.Println(fault.Region == r, fault.Offset, errors.Is(fault, mmap.ErrReadOnly))
	}
	// Output: true 0 true
}

// sum adds up the numbers of any view.
func sum[T mmap.Fixed](v mmap.View[T]) (total T) {
	for x := range v.Values() {
		total += x
	}
	return total
}

// A function for views of all numbers.
func ExampleFixed() {
	r, err := mmap.Anonymous(4 * 8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.ViewOf[float64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	if err := v.Fill(0.25); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum(v))
	// Output: 1
}

// setBits sets bits of a register of any width.
func setBits[T mmap.Integer](v mmap.Registers[T], i int, bits T) {
	v.Store(i, v.Load(i)|bits)
}

// A function for registers of any width.
func ExampleInteger() {
	r, err := mmap.Anonymous(4096)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	v, err := mmap.RegistersOf[uint16](r, 0, 8)
	if err != nil {
		log.Fatal(err)
	}
	setBits(v, 2, 0x100)
	fmt.Printf("%#x\n", v.Load(2))
	// Output: 0x100
}

// raise makes integer i at least x, whatever others do meanwhile.
func raise[T mmap.AtomicInteger](v mmap.AtomicView[T], i int, x T) {
	for {
		old := v.Load(i)
		if old >= x || v.CompareAndSwap(i, old, x) {
			return
		}
	}
}

// A function for all integers that processors access atomically.
func ExampleAtomicInteger() {
	r, err := mmap.Anonymous(8)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	highest, err := mmap.AtomicOf[uint32](r, 0, 1)
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range []uint32{3, 900, 7} {
		raise(highest, 0, x)
	}
	fmt.Println(highest.Load(0))
	// Output: 900
}

// Brings in a place that may be cold before it is used. That waits for the disk, but
// holds up no other goroutine.
func ExampleView_Populate() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "records")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		log.Fatal(err)
	}
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	records, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		log.Fatal(err)
	}
	wanted := records.Sub(50_000, 50_010)
	if err := wanted.Populate(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(wanted.At(3))
	// Output: 0
}
