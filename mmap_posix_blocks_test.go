//go:build unix && !aix && (!linux || mmap_posix)

package mmap

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a system has for it, allocating gives the file its size and nothing but
// zeros, and leaves the bytes that are there to those who store them.
func TestAllocatingKeepsWhatIsThere(t *testing.T) {
	old := pattern(5000)
	for _, tt := range []struct{ off, n, size int64 }{
		{0, 1, 5000},
		{4999, 1, 5000},
		{0, 5000, 5000},
		{0, 5001, 5001},
		{4000, 3000, 7000},
		{5000, 200_000, 205_000}, // more than is written at a time
		{90_000, 1, 90_001},      // behind a hole: OpenOrCreate of a sparse file
	} {
		for how, allocate := range map[string]func(h handle, off, n int64) error{"allocate": handle.allocate, "writeZeros": handle.writeZeros} {
			name := tempFile(t, old)
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			var written int64
			ask := func(call string) error {
				if call == "pwrite" {
					written++
				}
				return nil
			}
			intercept.Store(&ask)
			err = control(f, func(h handle) error { return allocate(h, tt.off, tt.n) })
			intercept.Store(nil)
			f.Close()
			if how == "allocate" && errors.Is(err, errors.ErrUnsupported) {
				continue
			}
			want := append(bytes.Clone(old), make([]byte, tt.size-5000)...)
			if got := contents(t, name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of %d bytes at %d: %v, %d bytes; want the old ones and zeros, %d", how, tt.n, tt.off, err, len(got), tt.size)
			}
			if tt.size == 5000 && written > 0 {
				t.Errorf("%s of %d bytes at %d wrote to bytes that the file has", how, tt.n, tt.off)
			}
		}
	}
}

func TestWritingZerosTakesBlocks(t *testing.T) {
	const size = 1 << 20
	name := tempFile(t, nil)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := control(f, func(h handle) error { return h.writeZeros(0, size) }); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	if got := int64(st.Blocks) * 512; got < size {
		t.Errorf("the file has %d bytes on the disk, want %d", got, size)
	}
}

// On a full disk nothing is left of a file that could not be made, nor of a growth.
func TestWritingZerosOnAFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("which call allocates is this system's own")
	}
	dir, page := t.TempDir(), int64(os.Getpagesize())
	full := func() {
		refuse(t, "pwrite", 1, func() error { return unix.ENOSPC })
	}
	full()
	_, err := Create(dir+"/new", 1<<20)
	wantErr(t, err, unix.ENOSPC, "pwrite", "new")
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("the file that could not be made is there")
	}
	intercept.Store(nil)
	r, err := Config{Reserve: 1 << 20}.Create(dir+"/old", page)
	need(t, r, err)
	full()
	wantErr(t, r.Resize(1<<20), unix.ENOSPC, "pwrite", "old")
	if got := len(contents(t, dir+"/old")); r.Len() != int(page) || got != int(page) {
		t.Errorf("a growth that failed left a region of %d bytes and a file of %d", r.Len(), got)
	}
}

func TestWantOfSpaceNamesTheLimits(t *testing.T) {
	err := limited(os.NewSyscallError("mmap", unix.ENOMEM), 12345)
	words := []string{"12345 bytes"}
	if name, n := maxMappings(); name != "" {
		words = append(words, name, itoa(n))
	}
	if n := resource(dataLimit); n < maxSpace {
		words = append(words, "RLIMIT_DATA")
	}
	wantErr(t, err, unix.ENOMEM, words...)
	err = limited(os.NewSyscallError("mmap", unix.EAGAIN), 12345)
	wantErr(t, err, unix.EAGAIN, "12345 bytes", "swap")
	if strings.Contains(err.Error(), "RLIMIT") {
		t.Errorf("%v: no limit of address space was in the way", err)
	}
	if err := limited(os.NewSyscallError("mmap", unix.EACCES), 1); err.Error() != "mmap: "+unix.EACCES.Error() {
		t.Errorf("not for want of space: %v", err)
	}
	if n := limits().mappings; n < 1000 {
		t.Errorf("the process may have %d mappings?", n)
	}
}

func TestDevicesThatCannotBeMappedAreNamed(t *testing.T) {
	for _, errno := range []error{unix.ENODEV, unix.EINVAL, unix.EIO} {
		err := unfitToMap("/dev/x", status{kind: device, what: aDevice}, os.NewSyscallError("mmap", errno))
		wantErr(t, err, errors.ErrUnsupported, "/dev/x", aDevice, "cannot be mapped")
	}
	err := unfitToMap("/dev/x", status{kind: device, what: aDevice}, os.NewSyscallError("mmap", unix.EACCES))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a device that may not be mapped, for want of a right: %v", err)
	}
	err = unfitToMap("f", status{kind: regular}, os.NewSyscallError("mmap", unix.EINVAL))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("EINVAL of a regular file: %v", err)
	}
}
