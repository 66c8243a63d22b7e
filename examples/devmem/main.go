// Devmem maps a piece of a device and shows what is in it. Unless told otherwise, the
// device is physical memory.
//
//	go run ./examples/devmem [-device /dev/mem] [-offset 917504] [-length 131072] [-width 8] [-write OFFSET=HEX]
//
// The default is the last 128 KiB of the first MiB, where a PC has its BIOS. Each
// value is loaded or stored by one access of -width bits, and shown as a number. It
// works on any file, too.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/seed-498deeca/mmap"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// A store is what -write asks for: digits, and where in the device.
type store struct {
	at  int64
	hex string
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("devmem", flag.ContinueOnError)
	flags.SetOutput(stderr)
	device := flags.String("device", "/dev/mem", "`name` of the device or file")
	offset := flags.Int64("offset", 917504, "first `byte` to map")
	length := flags.Int64("length", 131072, "`bytes` to map")
	from := flags.Int64("from", 0, "first `byte` to show, counted from -offset")
	count := flags.Int64("count", 256, "`bytes` to show; -1 for all")
	width := flags.Int("width", 8, "`bits` of each access: 8, 16, 32 or 64")
	var stores []store
	flags.Func("write", "`OFFSET=HEX`: store numbers of -width bits at an offset of the device first, such as 917504=cafe; may be repeated", func(s string) error {
		at, hex, ok := strings.Cut(s, "=")
		off, err := strconv.ParseInt(at, 0, 64)
		if !ok || err != nil || hex == "" || strings.Trim(hex, "0123456789abcdefABCDEF") != "" {
			return errors.New("want OFFSET=HEX, such as 917504=cafe")
		}
		stores = append(stores, store{off, hex})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	c := mmap.Config{Offset: *offset, Length: *length}
	if len(stores) > 0 {
		c.Mode = mmap.ReadWrite
	}
	show := map[int]func(mmap.Config, string, int64, int64, []store, io.Writer) error{
		8: showAs[uint8], 16: showAs[uint16], 32: showAs[uint32], 64: showAs[uint64],
	}[*width]
	if show == nil {
		fmt.Fprintf(stderr, "devmem: -width %d is none of 8, 16, 32 and 64\n", *width)
		return 2
	}
	if err := show(c, *device, *from, *count, stores, stdout); err != nil {
		fmt.Fprintf(stderr, "devmem: %v%s\n", err, remedy(*device, err))
		return 1
	}
	return 0
}

// instead says what a system has in place of Linux's /dev/mem.
var instead = map[string]string{
	"darwin":  "macOS has no device of physical memory: a driver maps it",
	"ios":     "iOS has no device of physical memory",
	"windows": "Windows has no device of physical memory that programs may open: a driver maps it",
	"freebsd": "needs root, and the mem(4) driver in the kernel; securelevel above 0 forbids stores",
	"netbsd":  "needs root; a securelevel above 0 forbids stores",
	"openbsd": "needs root, and kern.allowkmem=1 set before securelevel rises",
	"solaris": "needs root; see mem(4D)",
	"illumos": "needs root; see mem(4D)",
	"plan9":   "Plan 9 maps no files, and has physical memory as segments: see segment(3)",
	"js":      "a browser or node shows no physical memory",
	"wasip1":  "a WebAssembly host shows no physical memory",
}

// remedy says what is needed where a device is absent or forbidden.
func remedy(device string, err error) string {
	switch {
	case instead[runtime.GOOS] != "" && device == "/dev/mem" && !errors.Is(err, mmap.ErrRange):
		return " (" + instead[runtime.GOOS] + ")"
	case errors.Is(err, fs.ErrNotExist) && device == "/dev/mem":
		return " (needs a kernel with CONFIG_DEVMEM, and a /dev that shows it)"
	case errors.Is(err, fs.ErrPermission) && device == "/dev/mem":
		return " (needs root with CAP_SYS_RAWIO, and a range that CONFIG_STRICT_DEVMEM does not forbid)"
	case errors.Is(err, fs.ErrPermission):
		return " (needs permission to open it; root has that)"
	case errors.Is(err, mmap.ErrRange):
		return " (-offset, -length, -from, -count and -write must lie within it)"
	}
	return ""
}

func showAs[T uint8 | uint16 | uint32 | uint64](c mmap.Config, device string, from, count int64, stores []store, w io.Writer) error {
	r, err := c.Open(device)
	if err != nil {
		return err
	}
	defer r.Close()
	size := int64(unsafe.Sizeof(T(0)))
	for _, s := range stores {
		n, err := storeAll[T](r, s)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "stored %d bytes at %#x\n", n, s.at)
	}
	if len(stores) > 0 {
		if err := r.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}

	have := int64(r.Len())
	if from < 0 || from > have {
		return fmt.Errorf("show from byte %d of %v: %w", from, r, mmap.ErrRange)
	}
	if count < 0 || count > have-from {
		count = have - from
	}
	v, err := mmap.RegistersOf[T](r, int(from), int(count/size))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %d bytes mapped from %#x, %d shown\n", device, r.Len(), r.Offset(), int64(v.Len())*size)
	if err := mmap.Guard(func() error { dump(w, r.Offset()+from, v); return nil }); err != nil {
		return err
	}
	if date, ok := biosDate(r); ok {
		fmt.Fprintln(w, "BIOS date:", date.Format("2006-01-02"))
	}
	return nil
}

// storeAll makes the stores that -write asks for, one access a number, and returns
// how many bytes they are.
func storeAll[T uint8 | uint16 | uint32 | uint64](r *mmap.Region, s store) (bytes int, err error) {
	size := int(unsafe.Sizeof(T(0)))
	n := len(s.hex) / (2 * size)
	if n*2*size != len(s.hex) {
		return 0, fmt.Errorf("-write %#x=%s: a number of %d bits has %d digits", s.at, s.hex, 8*size, 2*size)
	}
	if s.at < r.Offset() || s.at-r.Offset() > int64(r.Len()) {
		return 0, fmt.Errorf("-write %#x of %v: %w", s.at, r, mmap.ErrRange)
	}
	v, err := mmap.RegistersOf[T](r, int(s.at-r.Offset()), n)
	if err != nil {
		return 0, err
	}
	return n * size, mmap.Guard(func() error {
		for i := range n {
			x, err := strconv.ParseUint(s.hex[2*size*i:2*size*(i+1)], 16, 8*size)
			if err != nil {
				return err
			}
			v.Store(i, T(x))
		}
		return nil
	})
}

// dump prints 16 bytes a line: in hexadecimal, each number the way it is written, and
// bytes as text too. A line of the same numbers as the one before is left out, the
// first of several with a star.
func dump[T uint8 | uint16 | uint32 | uint64](w io.Writer, addr int64, v mmap.Registers[T]) {
	size := int(unsafe.Sizeof(T(0)))
	each := 16 / size
	last, starred := "", false
	for i := 0; i < v.Len(); i += each {
		n := min(each, v.Len()-i)
		var left, right, text string
		for k := range n {
			x := v.Load(i + k)
			number := fmt.Sprintf(" %0*x", 2*size, x)
			if k < each/2 {
				left += number
			} else {
				right += number
			}
			if size == 1 {
				c := byte(x)
				if c < ' ' || c > '~' {
					c = '.'
				}
				text += string(c)
			}
		}
		half := each / 2 * (2*size + 1)
		line := fmt.Sprintf(" %-*s %-*s", half, left, half, right)
		if size == 1 {
			line += "  |" + text + "|"
		}
		if line == last && i+each < v.Len() {
			if !starred {
				fmt.Fprintln(w, "*")
			}
			starred = true
			continue
		}
		last, starred = line, false
		fmt.Fprintf(w, "%08x%s\n", addr+int64(i*size), strings.TrimRight(line, " "))
	}
}

// biosDate reads the date that a PC's BIOS has at this physical address, as text
// such as 04/01/14.
func biosDate(r *mmap.Region) (time.Time, bool) {
	const physical = 0xFFFF5
	var b [8]byte
	if _, err := r.ReadAt(b[:], physical-r.Offset()); err != nil {
		return time.Time{}, false
	}
	date, err := time.Parse("01/02/06", string(b[:]))
	return date, err == nil
}
