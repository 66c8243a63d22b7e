// Bigsort sorts a file of numbers in place, even one that is larger than memory, and
// shows how far it is. The numbers have 64 bits, are unsigned, and have their least
// significant byte first. The program is a module of its own, so go there first:
// cd examples/bigsort
//
//	go run .                        # sorts 64 MiB of random numbers in two ways, and compares
//	go run . -size 4096             # the same with 4 GiB
//	go run . -file numbers          # sorts a file in place
//	go run . -file numbers -heap    # reads it, sorts it in Go's heap, and writes it back
//
// In place it needs 8 MiB beside the file. The pages of the file that are in memory
// belong to the system, which takes them back when others need memory. So it works
// under a memory limit that would kill it with -heap. To see that on Linux with
// systemd:
//
//	go build
//	systemd-run --user --scope -p MemoryMax=64M -p MemorySwapMax=0 ./bigsort -file numbers
//
// Sorting in place has a price. If the program or the machine is stopped on the way,
// the file has lost some numbers, and has others twice. If you cannot get the numbers
// again, sort a copy. If somebody writes to the file meanwhile, the result is nonsense.
// If somebody truncates it, the program ends with an error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/seed-498deeca/mmap"
	"golang.org/x/term"
)

const (
	bytesOfNumber = 8
	numbersOfMiB  = 1 << 20 / bytesOfNumber
)

func main() {
	file := flag.String("file", "", "`name` of the file to sort; if empty, one of random numbers in a temporary folder that is gone at the end")
	size := flag.Int("size", 64, "`MiB` of random numbers, if no file is named")
	buffer := flag.Int("buffer", 8, "`MiB` that are sorted at a time in memory of the program's own")
	heap := flag.Bool("heap", false, "sort all of the file in Go's heap")
	flag.Parse()
	if flag.NArg() > 0 || *size < 0 || *size > math.MaxInt/numbersOfMiB || *buffer < 1 || *buffer > math.MaxInt>>20 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	switch {
	case *file == "":
		err = demonstrate(os.Stdout, *size*numbersOfMiB, *buffer)
	case *heap:
		err = report(os.Stdout, "in Go's heap", *file, sortInHeap)
	default:
		err = report(os.Stdout, "in place", *file, func(name string) (int, error) {
			return sortInPlace(name, *buffer*numbersOfMiB)
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bigsort:", err)
		os.Exit(1)
	}
}

// report sorts a file in some way, and says how long it took and how much memory.
func report(w io.Writer, way, name string, sort func(name string) (int, error)) error {
	begin := time.Now()
	n, err := sort(name)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_, err = fmt.Fprintf(w, "%-13s %d numbers in %.2f s, with %d MiB of Go's heap%s\n",
		way+":", n, took.Seconds(), m.HeapSys>>20, peak())
	return err
}

// newBar returns a bar of n numbers. It is for people: where the standard error is no
// terminal, nothing is shown.
func newBar(n int) *progressbar.ProgressBar {
	w := io.Writer(os.Stderr)
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		w = io.Discard
	}
	return progressbar.NewOptions64(int64(n),
		progressbar.OptionSetDescription("numbers in their place"),
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond))
}

// demonstrate sorts the same n random numbers in both ways. Each has a process to
// itself, so that each has its own peak of memory.
func demonstrate(w io.Writer, n, buffer int) error {
	dir, err := os.MkdirTemp("", "mmap-bigsort-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	seed := rand.Uint64()
	for _, way := range []string{"place", "heap"} {
		name := filepath.Join(dir, way)
		if err := writeRandom(name, n, seed); err != nil {
			return err
		}
		before, _, err := look(name)
		if err != nil {
			return err
		}
		cmd := exec.Command(self, "-file", name, fmt.Sprint("-heap=", way == "heap"), fmt.Sprint("-buffer=", buffer))
		cmd.Stdout, cmd.Stderr = w, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("the process that sorts %s: %w", name, err)
		}
		after, sorted, err := look(name)
		if err != nil {
			return err
		}
		if after != before || !sorted {
			return fmt.Errorf("%s: sorted is %t, the numbers of before is %t", name, sorted, after == before)
		}
	}
	_, err = fmt.Fprintln(w, "Both are in order, and have the numbers that were there before.")
	return err
}

// writeRandom makes a file of n numbers, the same for the same seed.
func writeRandom(name string, n int, seed uint64) (err error) {
	r, err := mmap.Create(name, int64(n)*bytesOfNumber)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	v, err := mmap.LittleEndianOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	return mmap.Guard(func() error {
		random := rand.NewPCG(seed, 0)
		for i := range v.Len() {
			v.Set(i, random.Uint64())
		}
		return nil
	})
}

var hashSeed = maphash.MakeSeed()

// look goes over a file. It returns a sum that is the same for the same numbers in
// whatever order, and whether the order is that of size.
func look(name string) (sum uint64, sorted bool, err error) {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return 0, false, err
	}
	defer r.Close()
	v, err := mmap.LittleEndianOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return 0, false, err
	}
	err = mmap.Guard(func() error {
		hashes, last, rising := uint64(0), uint64(0), true
		for _, piece := range v.Chunks(numbersOfMiB) {
			for x := range piece.Values() {
				hashes += maphash.Comparable(hashSeed, x)
				rising = rising && last <= x
				last = x
			}
		}
		sum, sorted = hashes, rising
		return nil
	})
	return sum, sorted, err
}
