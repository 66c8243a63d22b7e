package probes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// onDAX runs a test in a folder of each file system on persistent memory.
func onDAX(t *testing.T, fn func(t *testing.T, dir string)) {
	needs(t, "dax")
	for device, kind := range map[string]string{"/dev/pmem0": "ext4", "/dev/pmem1": "xfs"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := os.Stat(device); errors.Is(err, fs.ErrNotExist) {
				t.Skipf("the machine was given no %s, for want of mkfs.%s", device, kind)
			}
			fn(t, mounted(t, device, kind, "dax"))
		})
	}
}

var lasting = mmap.Config{Mode: mmap.ReadWrite, Flags: unix.MAP_SYNC}

// pageFaults returns how many page faults fn took, and a few of Go's own.
func pageFaults(t testing.TB, fn func()) int {
	t.Helper()
	var before, after unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &before))
	fn()
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &after))
	return int(after.Minflt - before.Minflt)
}

// storeToPages stores to each page of a region.
func storeToPages(t testing.TB, r *mmap.Region) func() {
	return func() {
		for at := 0; at < r.Len(); at += r.PageSize() {
			must(t, mmap.Put(r, at, byte(1)))
		}
	}
}

func TestMapSyncIsMappedAndStaysSo(t *testing.T) {
	onDAX(t, func(t *testing.T, dir string) {
		name := filepath.Join(dir, "f")
		c := lasting
		c.Reserve = 8 << 20
		r, err := c.Create(name, 100)
		must(t, err)
		defer r.Close()
		check := func(what string, at int) {
			t.Helper()
			if _, flags := smaps(t, r.Addr()+uintptr(at)); !strings.Contains(flags, " sf ") {
				t.Errorf("%s: the kernel's flags are%s, without sf", what, flags)
			}
			must(t, mmap.Put(r, at, byte(7)), r.Sync())
			if b, err := os.ReadFile(name); err != nil || len(b) != r.Len() || b[at] != 7 {
				t.Errorf("%s: the file has %d bytes, %v", what, len(b), err)
			}
		}
		check("created", 99)
		must(t, r.Resize(3<<20))
		check("grown", 3<<20-1)
		must(t, r.Resize(5000))
		check("shrunk", 4999)
		must(t, r.SyncRange(4998, 1), r.Flush(0, mmap.ToEnd), r.Lock(1, 4999), r.Unlock(0, mmap.ToEnd), r.Protect(mmap.ReadOnly), r.Protect(mmap.ReadWrite))
		check("protected and back", 4998)
		must(t, r.Resize(2<<20), r.Advise(1, mmap.ToEnd, mmap.PopulateWrite))
		check("populated", 1<<20)
		must(t, os.Truncate(name, 4096))
		wants(t, r.Sync(), mmap.ErrTruncated)
		wants(t, mmap.Put(r, 1<<20, byte(1)), mmap.ErrTruncated)
		must(t, r.Refresh(), r.Close())

		c.Reserve, c.Populate, c.Lock, c.Offset = 0, true, true, 7
		r, err = c.Open(name)
		must(t, err)
		defer r.Close()
		if resident, err := r.Resident(0, mmap.ToEnd); err != nil || slices.Contains(resident, false) || len(resident) != 1 {
			t.Errorf("Resident after Populate: %v, %v", resident, err)
		}
	})
}

// TestSyncWritesBackWhatIsMappedWithMapSync looks at what msync(2) does besides: a
// page that was written back faults at the next store.
func TestSyncWritesBackWhatIsMappedWithMapSync(t *testing.T) {
	const pages = 100
	onDAX(t, func(t *testing.T, dir string) {
		c := lasting
		c.Offset = int64(os.Getpagesize()) // where no huge page can be mapped
		r, err := c.Create(filepath.Join(dir, "f"), (pages+1)*c.Offset)
		must(t, err)
		defer r.Close()
		must(t, r.Sync()) // the size, once and for all, with fsync(2)
		store := storeToPages(t, r)
		first, again := pageFaults(t, store), pageFaults(t, store)
		must(t, r.Sync())
		synced := pageFaults(t, store)
		if first < pages || again > pages/2 || synced < pages {
			t.Errorf("%d page faults at first, %d at once after that, and %d after Sync", first, again, synced)
		}
	})
}

func TestMapSyncIsRefusedWithoutDAX(t *testing.T) {
	needs(t, "dax")
	for kind, dir := range map[string]string{"ext4": t.TempDir(), "tmpfs": mounted(t, "none", "tmpfs", "")} {
		name := filepath.Join(dir, "f")
		must(t, os.WriteFile(name, []byte("some bytes"), 0o600))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		for what, try := range map[string]func() (*mmap.Region, error){
			"Open":   func() (*mmap.Region, error) { return lasting.Open(name) },
			"Map":    func() (*mmap.Region, error) { return lasting.Map(f) },
			"Create": func() (*mmap.Region, error) { return lasting.Create(name+"2", 100) },
		} {
			r, err := try()
			if r != nil {
				t.Errorf("%s: %s: %v", kind, what, r)
			}
			wants(t, err, errors.ErrUnsupported, "map "+name, "MAP_SYNC", "persistent memory", "option dax")
			t.Log(err)
		}
		if _, err := os.Stat(name + "2"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Create left a file: %v", kind, err)
		}
	}
}

func TestMapSyncIsRefusedWhereItMeansNothing(t *testing.T) {
	onDAX(t, func(t *testing.T, dir string) {
		name := filepath.Join(dir, "f")
		must(t, os.WriteFile(name, []byte("some bytes"), 0o600))
		copies := lasting
		copies.Mode = mmap.CopyOnWrite
		_, err := copies.Open(name)
		wants(t, err, errors.ErrUnsupported, name, "MAP_SYNC", "shared mappings of files")
		_, err = lasting.Anonymous(4096)
		wants(t, err, errors.ErrUnsupported, "anonymous memory", "MAP_SYNC", "shared mappings of files")
	})
}

// TestPersistentMemoryIsMappedInHugePages counts page faults: one for 2 MiB. They
// are no pages of PageSize, which is the system's.
func TestPersistentMemoryIsMappedInHugePages(t *testing.T) {
	const huge = 2 << 20
	onDAX(t, func(t *testing.T, dir string) {
		for _, reserve := range []int64{0, 64<<20 + 4096} {
			c := lasting
			c.Reserve = reserve
			r, err := c.Create(filepath.Join(dir, "f"), 8*huge)
			must(t, err)
			defer r.Close()
			if r.PageSize() != os.Getpagesize() {
				t.Errorf("PageSize is %d", r.PageSize())
			}
			// The file system may have found no whole huge page for some of them.
			if n := pageFaults(t, storeToPages(t, r)); n > r.Len()/r.PageSize()/2 {
				t.Errorf("%d bytes reserved, at %#x: %d page faults", reserve, r.Addr(), n)
			}
			if resident, err := r.Resident(1, mmap.ToEnd); err != nil || len(resident) != r.Len()/r.PageSize() || slices.Contains(resident, false) {
				t.Errorf("Resident: %d pages, %v", len(resident), err)
			}
		}
	})
}
