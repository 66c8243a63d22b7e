package probes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disks whose sectors fail or go: a spare disk beneath the kernel's device mapper,
// which is told by ioctl(2) where each part of a device leads.

const sectorSize = 512

// A mapper is a device of the device mapper on top of a disk.
type mapper struct {
	name    string
	node    string // of the device
	below   string // the disk's
	sectors uint64
}

var usedDisks = make(map[string]bool)

// spareDisk returns the node of a disk with a fresh file system of a kind that no
// test has had.
func spareDisk(t testing.TB, kind string) string {
	t.Helper()
	serials, _ := filepath.Glob("/sys/block/*/serial")
	had := false
	for _, file := range serials {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		node := "/dev/" + filepath.Base(filepath.Dir(file))
		switch {
		case strings.TrimSpace(string(b)) != kind:
		case usedDisks[node]:
			had = true
		default:
			usedDisks[node] = true
			return node
		}
	}
	if had {
		t.Fatalf("all spare disks with %s are used", kind)
	}
	t.Skipf("the machine has no disk with %s: mkfs.%[1]s is not installed on its host", kind)
	return ""
}

// onSpareDisks runs a test on each kind of file system, on a device that leads to
// a fresh disk as it is.
func onSpareDisks(t *testing.T, test func(t *testing.T, d *mapper, kind string)) {
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) { test(t, newMapper(t, spareDisk(t, kind)), kind) })
	}
}

// newMapper makes a device on top of another, and removes it when the test has
// ended.
func newMapper(t testing.TB, below string) *mapper {
	t.Helper()
	d := &mapper{name: fmt.Sprintf("%s-%d", filepath.Base(below), time.Now().UnixNano()), below: below}
	b, err := os.ReadFile("/sys/block/" + filepath.Base(below) + "/size")
	if err == nil {
		_, err = fmt.Sscan(string(b), &d.sectors)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.node = fmt.Sprintf("/dev/dm-%d", unix.Minor(d.ioctl(t, dmCreate, 0, nil)))
	t.Cleanup(func() { d.ioctl(t, dmRemove, 0, nil) })
	d.heal(t)
	return d
}

// A target is where a part of a device leads. See linux/dm-ioctl.h.
type target struct {
	start, length uint64 // in sectors
	kind, params  string
}

const (
	dmCreate  = 0xc138fd03
	dmRemove  = 0xc138fd04
	dmSuspend = 0xc138fd06 // also resumes
	dmLoad    = 0xc138fd09

	dmSuspended   = 1 << 1
	dmSkipLock    = 1 << 10 // do not freeze the file system, which would write back
	dmSkipFlush   = 1 << 11
	dmHeaderSize  = 312
	dmTargetSize  = 40
	dmTargetAlign = 8
)

// ioctl asks the device mapper, and returns the device's number.
func (d *mapper) ioctl(t testing.TB, cmd uintptr, flags uint32, targets []target) uint64 {
	t.Helper()
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	b := make([]byte, 16<<10)
	order := binary.NativeEndian
	for i, x := range []uint32{4, 0, 0, uint32(len(b)), dmHeaderSize, uint32(len(targets)), 0, flags} {
		order.PutUint32(b[4*i:], x)
	}
	copy(b[48:], d.name)
	at := dmHeaderSize
	for _, x := range targets {
		order.PutUint64(b[at:], x.start)
		order.PutUint64(b[at+8:], x.length)
		copy(b[at+24:], x.kind)
		size := (dmTargetSize + copy(b[at+dmTargetSize:], x.params) + dmTargetAlign) &^ (dmTargetAlign - 1)
		order.PutUint32(b[at+20:], uint32(size))
		at += size
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), cmd, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		t.Fatalf("device mapper, %s, %#x %v: %v", d.name, cmd, targets, errno)
	}
	return order.Uint64(b[40:])
}

// lead puts a new table in place, without a flush of what is dirty.
func (d *mapper) lead(t testing.TB, targets ...target) {
	t.Helper()
	d.ioctl(t, dmLoad, 0, targets)
	d.ioctl(t, dmSuspend, dmSuspended|dmSkipLock|dmSkipFlush, nil)
	d.ioctl(t, dmSuspend, 0, nil)
}

// linear leads n sectors to the disk.
func (d *mapper) linear(start, n uint64) target {
	return target{start, n, "linear", fmt.Sprintf("%s %d", d.below, start)}
}

func (d *mapper) heal(t testing.TB) { t.Helper(); d.lead(t, d.linear(0, d.sectors)) }

// fail makes sectors fail, or all without any.
func (d *mapper) fail(t testing.TB, bad ...uint64) {
	t.Helper()
	if len(bad) == 0 {
		d.lead(t, target{0, d.sectors, "error", ""})
		return
	}
	slices.Sort(bad)
	var targets []target
	at := uint64(0)
	for len(bad) > 0 {
		n := uint64(1)
		for n < uint64(len(bad)) && bad[n] == bad[0]+n {
			n++
		}
		if bad[0] > at {
			targets = append(targets, d.linear(at, bad[0]-at))
		}
		targets = append(targets, target{bad[0], n, "error", ""})
		at, bad = bad[0]+n, bad[n:]
	}
	d.lead(t, append(targets, d.linear(at, d.sectors-at))...)
}

// mount mounts the device until the end of the test, and heals it then.
func (d *mapper) mount(t testing.TB, kind, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount(d.node, dir, kind, 0, options); err != nil {
		t.Fatalf("mount %s of the host's mkfs: %v", kind, err)
	}
	t.Cleanup(func() {
		d.heal(t)
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// Files that are searched for on the disk have blocks of this size, each of which
// is full of its name.
const blockSize = 4096

// block is what the i-th block has.
func block(name string, i int) []byte {
	text := fmt.Sprintf("%8.8s %06d\n", filepath.Base(name), i)
	return []byte(strings.Repeat(text, blockSize/len(text)))
}

// blocks is what blocks from i to j have.
func blocks(name string, i, j int) (b []byte) {
	for ; i < j; i++ {
		b = append(b, block(name, i)...)
	}
	return b
}

// writeBlocks makes a file of n blocks on the device, and returns the sectors of
// each.
func (d *mapper) writeBlocks(t testing.TB, name string, n int) [][]uint64 {
	t.Helper()
	f, err := os.Create(name)
	if err == nil {
		defer f.Close()
		keepInPlace(f)
		_, err = f.Write(blocks(name, 0, n))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.find(t, name, n)
}

// keepInPlace has btrfs write where the bytes were before. Others do so anyway.
func keepInPlace(f *os.File) {
	const noCopyOnWrite = 0x800000 // FS_NOCOW_FL
	unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, noCopyOnWrite)
}

// find searches the disk for the blocks of a file that has been synced.
func (d *mapper) find(t testing.TB, name string, n int) [][]uint64 {
	t.Helper()
	disk, err := os.OpenFile(d.below, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	buf, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(buf)
	want := make(map[string]int)
	for i := range n {
		want[string(block(name, i)[:16])] = i
	}
	at := make([][]uint64, n)
	for pos, left := uint64(0), n; left > 0; pos += uint64(len(buf)) {
		k, err := disk.ReadAt(buf, int64(pos))
		if k == 0 {
			t.Fatalf("%d of %d blocks of %s are not on the disk: %v", left, n, name, err)
		}
		for b := 0; b+blockSize <= k; b += blockSize {
			if i, is := want[string(buf[b:b+16])]; is && at[i] == nil {
				for s := range uint64(blockSize / sectorSize) {
					at[i] = append(at[i], (pos+uint64(b))/sectorSize+s)
				}
				left--
			}
		}
	}
	return at
}

// dropCaches makes the next access of a file go to the disk.
func dropCaches(t testing.TB) {
	t.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Fatal(err)
	}
}

// errnoOf is the number of the system's error, 0 if there is none.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}
