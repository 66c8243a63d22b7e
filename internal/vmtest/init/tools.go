//go:build linux

package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// makeFileSystem is mkfs.ext4: it unpacks the file system that the host's own
// mkfs.ext4 made with the same flags for an image of the same size.
func makeFileSystem(args []string) error {
	flags, name := args[:len(args)-1], args[len(args)-1]
	image, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return err
	}
	packed, err := os.Open(plan.Image(flags, info.Size()))
	if err != nil {
		return fmt.Errorf("mkfs.ext4: the host has prepared no such file system: %w", err)
	}
	defer packed.Close()
	contents, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	_, err = io.Copy(sparse{image}, contents)
	return errors.Join(err, image.Close())
}

// sparse leaves out what is zero anyway: the image may be longer than its disk is
// large.
type sparse struct{ *os.File }

func (s sparse) Write(b []byte) (int, error) {
	if strings.Trim(string(b), "\x00") == "" {
		_, err := s.Seek(int64(len(b)), io.SeekCurrent)
		return len(b), err
	}
	return s.File.Write(b)
}

// ReadFrom keeps io.Copy from the one of os.File.
func (s sparse) ReadFrom(r io.Reader) (n int64, err error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// mountLoop is mount -o loop[,OPTIONS] IMAGE DIR. The kernel detaches the image
// when it is unmounted.
func mountLoop(args []string) error {
	if len(args) != 4 || args[0] != "-o" {
		return fmt.Errorf("mount: %q is not -o OPTIONS IMAGE DIR", args)
	}
	options := strings.TrimPrefix(strings.TrimPrefix(args[1], "loop"), ",")
	image, err := os.OpenFile(args[2], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return fmt.Errorf("mount: a free loop device: %w", err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, int(image.Fd())); err != nil {
		return fmt.Errorf("mount: attach %s: %w", image.Name(), err)
	}
	status := &unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}
	if err := unix.IoctlLoopSetStatus64(int(device.Fd()), status); err != nil {
		return fmt.Errorf("mount: %s: %w", device.Name(), err)
	}
	if err := unix.Mount(device.Name(), args[3], "ext4", 0, options); err != nil {
		return fmt.Errorf("mount: %s as ext4: %w", device.Name(), err)
	}
	return nil
}
