// Npy describes arrays that NumPy has saved, and writes arrays that NumPy loads. It
// maps the file, so the elements are accessed where they are, in either byte order.
//
//	go run ./examples/npy                        # writes a file, reads elements in place, describes it
//	go run ./examples/npy a.npy b.npy            # describes files
//	go run ./examples/npy -write a.npy           # writes a file of the numbers from 0 on
//	go run ./examples/npy -write a.npy -type f4 -big -shape 3,4 -fortran
//
// The code that reads and writes the files is in npy.go and header.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed-498deeca/mmap"
)

func main() {
	name := flag.String("write", "", "write the `file`")
	typ := flag.String("type", "f8", "the type of its elements: i1, i2, i4, i8, u1, u2, u4, u8, f4 or f8")
	shape := flag.String("shape", "3,4", "its shape: the length of each axis")
	big := flag.Bool("big", false, "the most significant byte of each element first")
	fortran := flag.Bool("fortran", false, "the first index changes fastest")
	flag.Parse()
	var err error
	switch {
	case *name != "" && flag.NArg() > 0:
		flag.Usage()
		os.Exit(2)
	case *name != "":
		err = create(*name, *typ, *shape, *big, *fortran)
	case flag.NArg() > 0:
		for _, file := range flag.Args() {
			if err = describe(os.Stdout, file); err != nil {
				break
			}
		}
	default:
		err = demonstrate(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "npy:", err)
		os.Exit(1)
	}
}

// demonstrate writes a multiplication table, and reads it.
func demonstrate(w io.Writer) error {
	dir, err := os.MkdirTemp("", "npy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "table.npy")
	r, table, err := Create[int32](name, Header{Big: true, Shape: []int{10, 10}})
	if err != nil {
		return err
	}
	err = mmap.Guard(func() error { // in case somebody truncates the file just now
		for i := range 10 {
			for j := range 10 {
				table.Set(table.Index(i, j), int32(i*j))
			}
		}
		return nil
	})
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if err := describe(w, name); err != nil {
		return err
	}

	if r, err = mmap.Open(name, mmap.ReadOnly); err != nil {
		return err
	}
	defer r.Close()
	if table, err = Open[int32](r); err != nil {
		return err
	}
	return mmap.Guard(func() error {
		fmt.Fprintf(w, "[6, 7]:  %d\n", table.At(table.Index(6, 7)))
		return nil
	})
}

// describe prints what a file says of its array, and statistics of the elements.
func describe(w io.Writer, name string) error {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return err
	}
	defer r.Close()
	h, err := ReadHeader(r)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "file:   ", name)
	fmt.Fprintln(w, "shape:  ", h.tuple())
	fmt.Fprintln(w, "type:   ", h.descr())
	if h.Fortran {
		fmt.Fprintln(w, "order:   Fortran: the first index changes fastest")
	} else {
		fmt.Fprintln(w, "order:   C: the last index changes fastest")
	}
	_, size, _ := h.count() // which ReadHeader has checked
	fmt.Fprintf(w, "data:    %d bytes at %d\n", size, h.Data)
	if err := types[h.Type].show(w, r, h); err != nil {
		return err
	}
	// A file that was truncated within a page has read as zero from there on. Sync notices.
	return r.Sync()
}

// types has what can be done with each type of element. What is nil cannot.
var types = map[string]struct {
	show  func(io.Writer, *mmap.Region, Header) error
	write func(string, Header) error
}{
	"b1":  {show[uint8], nil}, // bool
	"i1":  {show[int8], write[int8]},
	"i2":  {show[int16], write[int16]},
	"i4":  {show[int32], write[int32]},
	"i8":  {show[int64], write[int64]},
	"u1":  {show[uint8], write[uint8]},
	"u2":  {show[uint16], write[uint16]},
	"u4":  {show[uint32], write[uint32]},
	"u8":  {show[uint64], write[uint64]},
	"f2":  {showFloat16, nil},
	"f4":  {show[float32], write[float32]},
	"f8":  {show[float64], write[float64]},
	"c8":  {showComplex[float32], nil},
	"c16": {showComplex[float64], nil},
}

// show prints statistics of the elements.
func show[T mmap.Fixed](w io.Writer, r *mmap.Region, h Header) error {
	a, err := As[T](r, h)
	if err != nil {
		return err
	}
	return summarize(w, a.Blocks(blockLen), "values")
}

// showComplex is show for complex numbers, of two floats each.
func showComplex[T float32 | float64](w io.Writer, r *mmap.Region, h Header) error {
	a, err := As[T](r, h)
	if err != nil {
		return err
	}
	return summarize(w, a.Blocks(blockLen), "real", "imag")
}

// showFloat16 is show for floats of two bytes.
func showFloat16(w io.Writer, r *mmap.Region, h Header) error {
	a, err := As[uint16](r, h)
	if err != nil {
		return err
	}
	return summarize(w, float16s(a.Blocks(blockLen)), "values")
}

const blockLen = 1 << 15 // numbers: fits into the caches, and is even

// summarize prints the statistics of numbers, of which every first is of the first
// part, and so on.
func summarize[T mmap.Fixed](w io.Writer, blocks iter.Seq2[[]T, error], parts ...string) error {
	stats := make([]Stats[T], len(parts))
	for block, err := range blocks {
		if err != nil {
			return err
		}
		for i := range stats {
			stats[i].Add(block, i, len(parts))
		}
	}
	for i, part := range parts {
		fmt.Fprintf(w, "%-8s %v\n", part+":", &stats[i])
	}
	return nil
}

// write makes a file of the numbers 0, 1, 2 and so on, in the order of the file.
func write[T mmap.Fixed](name string, h Header) error {
	r, a, err := Create[T](name, h)
	if err != nil {
		return err
	}
	err = mmap.Guard(func() error {
		for i := range a.Len() {
			a.Set(i, T(i))
		}
		return r.Sync()
	})
	return errors.Join(err, r.Close())
}

// create is -write.
func create(name, typ, shape string, big, fortran bool) error {
	h := Header{Big: big, Fortran: fortran}
	for axis := range strings.SplitSeq(shape, ",") {
		n, err := strconv.Atoi(axis)
		if err != nil || n < 0 {
			return fmt.Errorf("-shape %s: %q is no length", shape, axis)
		}
		h.Shape = append(h.Shape, n)
	}
	if types[typ].write == nil {
		return fmt.Errorf("-type %s: such files are not written", typ)
	}
	return types[typ].write(name, h)
}
