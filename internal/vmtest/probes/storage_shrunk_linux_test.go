package probes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// A blockDevice is one whose number of blocks can be changed, and whose bytes can
// be looked at from below.
type blockDevice struct {
	node   string
	resize func(t testing.TB, blocks int)
	below  string // a file with the bytes
}

const deviceBlocks = 64

// onBlockDevices runs a test on a loop device and one of the device mapper.
func onBlockDevices(t *testing.T, test func(t *testing.T, d blockDevice)) {
	t.Run("loop", func(t *testing.T) { test(t, newLoop(t)) })
	t.Run("mapper", func(t *testing.T) {
		loop := newLoop(t)
		d := newMapper(t, loop.node)
		test(t, blockDevice{d.node, func(t testing.TB, blocks int) {
			d.lead(t, d.linear(0, uint64(blocks*blockSize/sectorSize)))
		}, loop.node})
	})
}

func newLoop(t testing.TB) blockDevice {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(name, blocks("disk", 0, deviceBlocks), 0), unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, int(image.Fd()))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0)
		device.Close()
	})
	return blockDevice{device.Name(), func(t testing.TB, blocks int) {
		t.Helper()
		if err := errors.Join(os.Truncate(name, int64(blocks*blockSize)), unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY, 0)); err != nil {
			t.Fatal(err)
		}
	}, name}
}

func TestABlockDeviceIsMappedWholeAndSyncReachesIt(t *testing.T) {
	needs(t, "storage")
	onBlockDevices(t, func(t *testing.T, d blockDevice) {
		r, err := mmap.Open(d.node, mmap.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Len() != deviceBlocks*blockSize {
			t.Fatalf("Len %d", r.Len())
		}
		want := blocks("disk", 0, deviceBlocks)
		copy(want[5*blockSize:], "stored")
		n, err := r.WriteAt([]byte("stored"), 5*blockSize)
		if err = errors.Join(err, r.Sync()); err != nil {
			t.Fatal(n, err)
		}
		if got, err := os.ReadFile(d.below); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the device has not what was stored: %v", err)
		}
		if got := make([]byte, len(want)+1); true {
			if n, err := r.ReadAt(got, 0); n != len(want) || !bytes.Equal(got[:n], want) {
				t.Errorf("ReadAt: %d, %v", n, err)
			}
		}
		tail, err := mmap.Config{Offset: 60*blockSize + 100}.Open(d.node)
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close()
		if tail.Len() != 4*blockSize-100 || !bytes.Equal(tail.Bytes(), want[60*blockSize+100:]) {
			t.Errorf("from an offset on: Len %d", tail.Len())
		}
		if _, err := (mmap.Config{Offset: deviceBlocks*blockSize + 1}).Open(d.node); !errors.Is(err, mmap.ErrRange) {
			t.Errorf("from beyond the end: %v", err)
		}
		if _, err := (mmap.Config{Length: deviceBlocks*blockSize + 1}).Open(d.node); !errors.Is(err, mmap.ErrRange) {
			t.Errorf("more than there is: %v", err)
		}
		if err := r.Resize(100); !errors.Is(err, errors.ErrUnsupported) || r.Len() != deviceBlocks*blockSize {
			t.Errorf("Resize: %v, Len %d", err, r.Len())
		}
	})
}

func TestADeviceThatShrinksBeneathARegion(t *testing.T) {
	needs(t, "storage")
	onBlockDevices(t, func(t *testing.T, d blockDevice) {
		const left = 40 // blocks
		r, err := mmap.Config{Mode: mmap.ReadWrite, Length: deviceBlocks * blockSize}.Open(d.node)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		other, err := mmap.Open(d.node, mmap.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := errors.Join(mmap.Put(r, 8, 1.5), mmap.Put(r, 50*blockSize, 1.5), r.Sync(), mmap.Put(r, 50*blockSize+8, 2.5)); err != nil {
			t.Fatal(err)
		}
		if err := other.Sync(); err != nil {
			t.Fatal(err)
		}
		d.resize(t, left)
		gone := func(what string, err error, offset int) {
			t.Helper()
			var f *mmap.FaultError
			if !errors.As(err, &f) || f.Err != mmap.ErrTruncated || f.Offset != offset {
				t.Errorf("%s: %v, want ErrTruncated at offset %d", what, err, offset)
			}
		}
		_, err = mmap.Get[float64](r, 60*blockSize+9)
		gone("Get", err, 60*blockSize+9)
		gone("Put", mmap.Put(r, 60*blockSize, 1.5), 60*blockSize)
		gone("Populate", r.Populate(0, mmap.ToEnd), left*blockSize)
		p := make([]byte, r.Len())
		n, err := r.ReadAt(p, 0)
		if gone("ReadAt", err, left*blockSize); n != left*blockSize || !bytes.Equal(p[100:n], blocks("disk", 0, left)[100:]) {
			t.Errorf("ReadAt: %d bytes", n)
		}
		// The kernel forgets the dirty page beyond the end, and reports success.
		for range 2 {
			for _, r := range []*mmap.Region{r, other} {
				if err := r.Sync(); !errors.Is(err, mmap.ErrTruncated) {
					t.Errorf("Sync: %v, and bytes were lost", err)
				}
			}
		}
		if err := errors.Join(mmap.Put(r, 8, 3.5), r.SyncRange(0, left*blockSize)); err != nil {
			t.Errorf("SyncRange of what is left: %v", err)
		}
		if err := r.Refresh(); err != nil || r.Len() != left*blockSize {
			t.Errorf("Refresh: %v, Len %d", err, r.Len())
		}
		if err := errors.Join(mmap.Put(r, 8, 4.5), r.Sync()); err != nil {
			t.Errorf("Sync of the shorter region: %v", err)
		}
		d.resize(t, deviceBlocks)
		if err := r.Refresh(); err != nil || r.Len() != deviceBlocks*blockSize {
			t.Errorf("Refresh of the device as long as before: %v, Len %d", err, r.Len())
		}
		if err := errors.Join(mmap.Put(r, 60*blockSize, 1.5), r.Sync(), other.Sync(), r.Close()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
