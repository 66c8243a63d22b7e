// Tensors lists the tensors of a safetensors file, or adds up the numbers of one
// tensor. The weights of models are passed on in this format.
//
//	go run ./examples/tensors                    # makes a small file, lists it, and adds each tensor up
//	go run ./examples/tensors FILE               # lists what is in it
//	go run ./examples/tensors FILE TENSOR        # adds up the numbers of one
//	go run ./examples/tensors -make FILE         # writes the small file, to try the others on
//
// The numbers are used in place, so the file may be larger than memory. Each number
// becomes a float64 when it is its turn. The program adds up F64, F32, F16, BF16, I8 to
// I64, U8 to U64 and BOOL. The format's other types (floats of 8, 6 and 4 bits, complex
// numbers) are only listed.
//
// A file that breaks a rule of the format is refused as a whole, and the error names the
// place. Such is
//
//   - a file that was truncated;
//   - a header that is not JSON, or is longer than 100 MB;
//   - a name or key that is there twice;
//   - a number that is negative, not whole or too large;
//   - a range that overlaps another, leaves bytes that no tensor has, goes beyond the
//     file, or does not fit type and shape.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tensors", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: tensors [-make FILE | FILE [TENSOR]]")
		flags.PrintDefaults()
	}
	small := flags.String("make", "", "write a small `FILE` to try the program on")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *small != "" && flags.NArg() > 0 || flags.NArg() > 2 {
		flags.Usage()
		return 2
	}
	var err error
	switch {
	case *small != "":
		err = writeSmallFile(*small)
	case flags.NArg() == 0:
		err = show(stdout)
	case flags.NArg() == 1:
		err = list(stdout, flags.Arg(0))
	default:
		err = add(stdout, flags.Arg(0), flags.Arg(1))
	}
	if err != nil {
		fmt.Fprintln(stderr, "tensors:", err)
		return 1
	}
	return 0
}

// show does everything to a file of its own.
func show(w io.Writer) error {
	dir, err := os.MkdirTemp("", "mmap-tensors-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "small.safetensors")
	if err := writeSmallFile(name); err != nil {
		return err
	}
	if err := list(w, name); err != nil {
		return err
	}
	for _, t := range small {
		if err := add(w, name, t.name); err != nil {
			return err
		}
	}
	return nil
}

func list(w io.Writer, name string) error {
	f, err := Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(w, "%s: %d tensors\n", name, len(f.Tensors))
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		fmt.Fprintf(w, "%s: %s\n", short(key), short(f.Metadata[key])) // in quotes: they may be anything
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "type\tshape\tbytes\tat byte\tname")
	for _, t := range f.Tensors {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%q\n", t.Type, t.Shape, t.Bytes, t.Offset, t.Name)
	}
	return table.Flush()
}

func add(w io.Writer, name, tensor string) error {
	f, err := Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == tensor })
	if i < 0 {
		return fmt.Errorf("%s has no tensor %q", name, tensor)
	}
	t := f.Tensors[i]
	sum, err := f.Sum(t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%q: %s of shape %d, sum %v\n", t.Name, t.Type, t.Shape, sum)
	return err
}

// small is what the small file has. The first tensor has an odd number of bytes, so that
// nothing behind it is aligned.
var small = []struct {
	name, dtype string
	shape       []int
	data        any
}{
	{"layer.scale", "I8", []int{3}, []int8{-1, 0, 4}},
	{"layer.weight", "F32", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6.5}},
	{"layer.bias", "F16", []int{3}, []uint16{0x3c00, 0xc000, 0x0001}}, // 1, -2, 2^-24
	{"embedding", "BF16", []int{2, 1}, []uint16{0x3f80, 0x4049}},      // 1, 3.140625
	{"steps", "U64", []int{}, []uint64{1 << 40}},
	{"mask", "BOOL", []int{4}, []byte{1, 0, 1, 1}},
}

// writeSmallFile writes a file as most programs do: what is small needs no mapping.
func writeSmallFile(name string) error {
	type entry struct {
		Type    string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"made by": "examples/tensors"}}
	var data []byte
	for _, t := range small {
		begin := len(data)
		var err error
		if data, err = binary.Append(data, binary.LittleEndian, t.data); err != nil {
			return err
		}
		header[t.name] = entry{t.dtype, t.shape, [2]int{begin, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return os.WriteFile(name, slices.Concat(file, text, data), 0o600)
}
