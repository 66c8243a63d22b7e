// Log writes the C int 900 to a file with an ordinary write, maps the file, and
// reads and changes the number in place.
//
//	go run ./examples/log [-file log.txt]
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
)

func main() {
	file := flag.String("file", "", "`name` of the file to make and keep; if empty, log.txt in a temporary folder that is gone at the end")
	flag.Parse()
	if err := run(os.Stdout, *file); err != nil {
		fmt.Fprintln(os.Stderr, "log:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, name string) error {
	if name == "" {
		dir, err := os.MkdirTemp("", "mmap-log-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		name = filepath.Join(dir, "log.txt")
	}
	fmt.Fprintln(w, "file:", name)

	// An ordinary write, of an int as C has it on this machine.
	if err := os.WriteFile(name, binary.NativeEndian.AppendUint32(nil, 900), 0o600); err != nil {
		return err
	}

	// int *ptr = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r, err := mmap.Open(name, mmap.ReadWrite)
	if err != nil {
		return err
	}
	defer r.Close()
	ptr, err := mmap.ViewOf[int32](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	return mmap.Guard(func() error { // in case somebody truncates the file just now
		fmt.Fprintln(w, ptr.At(0))

		// *ptr = 1800;
		ptr.Set(0, 2*ptr.At(0))
		if err := r.Sync(); err != nil {
			return err
		}
		b, err := os.ReadFile(name) // an ordinary read
		if err != nil {
			return err
		}
		fmt.Fprintln(w, "stored through the view, read from the file:", binary.NativeEndian.Uint32(b))
		return nil
	})
}
