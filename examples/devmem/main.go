// Devmem maps a piece of a device, of physical memory unless told otherwise, and
// shows what is in it.
//
//	go run ./examples/devmem [-device /dev/mem] [-offset 917504] [-length 131072]
//
// The default is the last 128 KiB of the first MiB, where a PC has its BIOS. It
// works on any file as well.
package main

import (
	"encoding/hex"
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

	"github.com/seed-498deeca/mmap"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// A store is what -write asks for: bytes, and where in the device.
type store struct {
	at   int64
	data []byte
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("devmem", flag.ContinueOnError)
	flags.SetOutput(stderr)
	device := flags.String("device", "/dev/mem", "`name` of the device or file")
	offset := flags.Int64("offset", 917504, "first `byte` to map")
	length := flags.Int64("length", 131072, "`bytes` to map")
	from := flags.Int64("from", 0, "first `byte` to show, counted from -offset")
	count := flags.Int64("count", 256, "`bytes` to show; -1 for all")
	var stores []store
	flags.Func("write", "`OFFSET=HEX`: store bytes at an offset of the device first, such as 917504=cafe; may be repeated", func(s string) error {
		at, data, ok := strings.Cut(s, "=")
		off, err := strconv.ParseInt(at, 0, 64)
		b, hexErr := hex.DecodeString(data)
		if !ok || err != nil || hexErr != nil || len(b) == 0 {
			return errors.New("want OFFSET=HEX, such as 917504=cafe")
		}
		stores = append(stores, store{off, b})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	c := mmap.Config{Offset: *offset, Length: *length}
	if len(stores) > 0 {
		c.Mode = mmap.ReadWrite
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

func show(c mmap.Config, device string, from, count int64, stores []store, w io.Writer) error {
	r, err := c.Open(device)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, s := range stores {
		if _, err := r.WriteAt(s.data, s.at-r.Offset()); err != nil {
			return err
		}
		fmt.Fprintf(w, "stored %d bytes at %#x\n", len(s.data), s.at)
	}
	if len(stores) > 0 {
		if err := r.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}

	if count < 0 {
		count = int64(r.Len()) - from
	}
	b := make([]byte, max(0, min(count, int64(r.Len())))) // no more than there is
	n, err := r.ReadAt(b, from)
	if err == io.EOF && from <= int64(r.Len()) {
		err = nil // the range ends with what is mapped
	} else if err == io.EOF {
		err = fmt.Errorf("show from byte %d of %v: %w", from, r, mmap.ErrRange)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %d bytes mapped from %#x, %d shown\n", device, r.Len(), r.Offset(), n)
	dump(w, r.Offset()+from, b[:n])
	if date, ok := biosDate(r); ok {
		fmt.Fprintln(w, "BIOS date:", date.Format("2006-01-02"))
	}
	return nil
}

// dump prints 16 bytes a line, in hexadecimal and as text. A line of the same
// bytes as the one before is left out, the first of several with a star.
func dump(w io.Writer, addr int64, b []byte) {
	last, starred := "", false
	for i := 0; i < len(b); i += 16 {
		line := b[i:min(i+16, len(b))]
		if len(line) == 16 && string(line) == last && i+16 < len(b) {
			if !starred {
				fmt.Fprintln(w, "*")
			}
			starred = true
			continue
		}
		last, starred = string(line), false
		text := make([]byte, len(line))
		for i, c := range line {
			if text[i] = c; c < ' ' || c > '~' {
				text[i] = '.'
			}
		}
		left := fmt.Sprintf("% x", line[:min(8, len(line))])
		right := fmt.Sprintf("% x", line[min(8, len(line)):])
		fmt.Fprintf(w, "%08x  %-23s  %-23s  |%s|\n", addr+int64(i), left, right, text)
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
