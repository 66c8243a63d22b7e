package probes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// refused checks that an error has one of the system's numbers, and says of which
// file.
func refused(t testing.TB, what, name string, err error, want ...unix.Errno) {
	t.Helper()
	for _, e := range want {
		if errors.Is(err, e) && strings.Contains(err.Error(), name) {
			t.Logf("%s: %v", what, err)
			return
		}
	}
	t.Errorf("%s: %v, want %v of %s", what, err, want, name)
}

// faulted checks that an error is a fault of the device's at an offset.
func faulted(t testing.TB, what string, err error, offset int) {
	t.Helper()
	var f *mmap.FaultError
	if !errors.As(err, &f) || f.Err != mmap.ErrIO || f.Offset != offset {
		t.Errorf("%s: %v, want ErrIO at offset %d", what, err, offset)
		return
	}
	t.Logf("%s: %v", what, err)
}

// sizeOf is what stat(2) says.
func sizeOf(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// An orderly remount waits for nobody who stores: it is refused. Readers do not
// mind it.
func TestAFileSystemThatBecomesReadOnlyIsAnErrorToWhoOpensForStores(t *testing.T) {
	needs(t, "storage")
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		dir := d.mount(t, kind, "")
		name := filepath.Join(dir, "f")
		remount := func(flags uintptr) error { return unix.Mount(d.node, dir, kind, unix.MS_REMOUNT|flags, "") }
		r, err := mmap.Create(name, 2*blockSize)
		mapped(t, r, err)
		reader, err := mmap.Open(name, mmap.ReadOnly)
		mapped(t, reader, err)
		private, err := mmap.Open(name, mmap.CopyOnWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer private.Close()
		if err := remount(unix.MS_RDONLY); err != unix.EBUSY {
			t.Fatalf("remount beneath a region that stores: %v", err)
		}
		if err := errors.Join(mmap.Put(r, 0, 1.5), r.Sync(), r.Close(), remount(unix.MS_RDONLY)); err != nil {
			t.Fatal(err)
		}
		if x, err := mmap.Get[float64](reader, 0); x != 1.5 || err != nil || reader.Sync() != nil || reader.Refresh() != nil {
			t.Errorf("the reader: %v, %v", x, err)
		}
		if err := mmap.Put(private, 0, 2.5); err != nil {
			t.Errorf("Put to a private page: %v", err)
		}
		_, err = mmap.Open(name, mmap.ReadWrite)
		refused(t, "Open to store", name, err, unix.EROFS)
		_, err = mmap.OpenOrCreate(name, 3*blockSize)
		refused(t, "OpenOrCreate", name, err, unix.EROFS)
		_, err = mmap.Create(name, 3*blockSize)
		refused(t, "Create", name, err, unix.EROFS)
		_, err = mmap.Create(name+"2", 3*blockSize)
		refused(t, "Create", name+"2", err, unix.EROFS)
		if size := sizeOf(t, name); size != 2*blockSize {
			t.Errorf("the file has %d bytes now", size)
		}
		again, err := mmap.Open(name, mmap.ReadOnly)
		if err == nil {
			err = errors.Join(again.Close(), remount(0))
		}
		if err != nil {
			t.Errorf("Open to read, and the file system writable again: %v", err)
		}
	})
}

// By force, as after an error or by SysRq-U, it turns read-only beneath a region
// that stores.
func TestAFileSystemForcedReadOnlyBeneathARegionIsAnErrorToStores(t *testing.T) {
	needs(t, "storage")
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		if kind == "btrfs" {
			t.Skip("SysRq-U leaves btrfs out")
		}
		dir := d.mount(t, kind, "")
		name := filepath.Join(dir, "f")
		r, err := mmap.Config{Reserve: 1 << 20}.Create(name, 4*blockSize)
		mapped(t, r, err)
		reader, err := mmap.Open(name, mmap.ReadOnly)
		mapped(t, reader, err)
		if err := errors.Join(mmap.Put(r, 8, 1.5), r.Sync(), os.WriteFile("/proc/sysrq-trigger", []byte("u"), 0)); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil || time.Now().After(end) {
				t.Fatalf("the file system does not turn read-only: %v", err)
			}
			if st.Flags&unix.ST_RDONLY != 0 {
				break
			}
		}
		// The store is taken, and ext4 never writes it, whatever msync(2) returns.
		if err := mmap.Put(r, 2*blockSize+8, 2.5); err != nil {
			faulted(t, "Put", err, 2*blockSize+8)
		}
		refused(t, "Sync", name, r.Sync(), unix.EROFS)
		refused(t, "SyncRange", name, r.SyncRange(2*blockSize, 100), unix.EROFS)
		if err := reader.Sync(); err != nil {
			t.Errorf("Sync of a reader: %v", err)
		}
		refused(t, "Resize to more", name, r.Resize(5*blockSize), unix.EROFS)
		refused(t, "Resize to less", name, r.Resize(blockSize), unix.EROFS)
		_, err = mmap.Create(name+"2", blockSize)
		refused(t, "Create", name+"2", err, unix.EROFS)
		if x, err := mmap.Get[float64](r, 8); x != 1.5 || err != nil || r.Len() != 4*blockSize || sizeOf(t, name) != 4*blockSize {
			t.Errorf("afterwards: %v, %v, Len %d, file of %d bytes", x, err, r.Len(), sizeOf(t, name))
		}
		if err := errors.Join(r.Refresh(), r.Close()); err != nil {
			t.Errorf("Refresh, Close: %v", err)
		}
	})
}

// A device without any sector: the file system finds that its journal cannot be
// written, and turns read-only by itself.
func TestOnADeadDeviceEveryCallIsAnErrorAndCloseWorks(t *testing.T) {
	needs(t, "storage")
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		options := ""
		if kind == "ext4" {
			options = "errors=remount-ro"
		}
		dir := d.mount(t, kind, options)
		name := filepath.Join(dir, "f")
		r, err := mmap.Config{Reserve: 1 << 20}.Create(name, 8*blockSize)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		bystander, err := mmap.Create(name+"4", 8*blockSize)
		if err != nil {
			t.Fatal(err)
		}
		defer bystander.Close()
		if err := bystander.Sync(); err != nil {
			t.Fatal(err)
		}
		there, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		if err := errors.Join(mmap.Put(r, 8, 1.5), r.Sync()); err != nil {
			t.Fatal(err)
		}
		if err := mmap.Put(r, 8, 2.5); err != nil {
			t.Fatal(err)
		}
		d.fail(t)
		refused(t, "Sync", name, r.Sync(), unix.EIO)
		if made, err := mmap.Create(name+"2", blockSize); err == nil { // the journal takes it still
			if err := made.Sync(); errnoOf(err) != unix.EIO {
				t.Errorf("Sync of a new file: %v", err)
			}
			made.Close()
		}
		t.Logf("syncfs: %v", unix.Syncfs(int(there.Fd()))) // now it knows
		// Some file systems refuse the store, others take it, and Sync must tell.
		if err := mmap.Put(bystander, 2*blockSize+8, 2.5); err != nil {
			faulted(t, "Put", err, 2*blockSize+8)
		} else {
			refused(t, "Sync of another file", bystander.Name(), bystander.Sync(), unix.EIO, unix.EROFS)
			refused(t, "Sync of another file", bystander.Name(), bystander.Sync(), unix.EIO, unix.EROFS)
		}
		refused(t, "Resize to more", name, r.Resize(100*blockSize), unix.EIO, unix.EROFS)
		refused(t, "Resize to less", name, r.Resize(blockSize), unix.EIO, unix.EROFS)
		_, err = mmap.Create(name+"3", blockSize)
		refused(t, "Create", name+"3", err, unix.EIO, unix.EROFS)
		if x, err := mmap.Get[float64](r, 8); x != 2.5 || err != nil || r.Len() != 8*blockSize {
			t.Errorf("afterwards: %v, %v, Len %d", x, err, r.Len())
		}
		refused(t, "Sync again", name, r.Sync(), unix.EIO)
		refused(t, "SyncRange", name, r.SyncRange(blockSize, 1), unix.EIO)
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}
