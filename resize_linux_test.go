package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The full disk is a tmpfs of fixed size, which a child mounts where only it
// sees that. Who is not root may do so in a namespace of users, where the system
// allows those.

const fullDiskPages = 1024

func runWithOwnMounts(t *testing.T, child string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	try := exec.Command("true")
	try.SysProcAttr = attr
	if err := try.Run(); err != nil {
		t.Skipf("no mounts of one's own: %v", err)
	}
	cmd := childCommand(t, child)
	cmd.SysProcAttr = attr
	endChild(t, cmd)
}

func TestAFullDiskIsAnError(t *testing.T) {
	runWithOwnMounts(t, childFullDisk)
}

var childFullDisk = registerChild("on a full disk", func(t testing.TB, args []string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts to oneself: %v", err)
	}
	page := os.Getpagesize()
	for i, size := range fileSizes() {
		for _, try := range []func(testing.TB, *Region, string, trouble){tryAccesses, tryMethods} {
			dir := t.TempDir()
			if err := unix.Mount("disk", dir, "tmpfs", 0, fmt.Sprintf("size=%d", fullDiskPages*page)); err != nil {
				t.Skipf("cannot mount a tmpfs: %v", err)
			}
			name := filepath.Join(dir, "sparse")
			r, err := Config{Sparse: true}.Create(name, int64(size))
			need(t, r, err)
			bad := i / 2 * page // the pages that are there already
			if bad >= size {
				bad = 0
			}
			copy(r.Bytes()[:bad], quiet(bad))
			was := append(quiet(bad), make([]byte, size-bad)...)
			full := trouble{"full disk", ErrIO, bad, false, was, func() { fillDisk(t, dir) }}
			try(t, r, name, full)
			checkFullDisk(t, dir)
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Fatal(err)
			}
			if err := Put(r, size-8, uint64(1)); err != nil {
				t.Errorf("a store when there is space again: %v", err)
			}
			r.Close()
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	}
})

// fillDisk makes a file of all that is left.
func fillDisk(t testing.TB, dir string) {
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, os.Getpagesize()); err == nil; {
		_, err = f.Write(block)
	}
	if !isFull(err) {
		t.Fatal(err)
	}
}

// checkFullDisk asks a full disk for more.
func checkFullDisk(t testing.TB, dir string) {
	t.Helper()
	page := int64(os.Getpagesize())
	name := filepath.Join(dir, "new")
	r, err := Create(name, 100*page)
	if r != nil || !isFull(err) {
		t.Errorf("Create on a full disk: %v, %v", r, err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Create on a full disk left a file: %v", err)
	}
	// Resize, of a region that takes the last page.
	if err := os.Truncate(filepath.Join(dir, "filler"), (fullDiskPages-20)*page); err != nil {
		t.Fatal(err)
	}
	r, err = Config{Reserve: 100 * page}.Create(name, page+100)
	need(t, r, err)
	fillRest, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, page); err == nil; {
		_, err = fillRest.Write(block)
	}
	fillRest.Close()
	copy(r.Bytes(), quiet(r.Len()))
	if err := r.Resize(90 * page); !isFull(err) {
		t.Errorf("Resize on a full disk: %v", err)
	}
	checkUnchanged(t, r, name, int(page)+100)
	r.Close()
	for _, name := range []string{name, fillRest.Name()} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// checkUnchanged checks that a Resize that failed changed nothing: the region
// still has the n bytes of quiet, and so has the file.
func checkUnchanged(t testing.TB, r *Region, name string, n int) {
	t.Helper()
	want := quiet(n)
	if r.Len() != n || !bytes.Equal(r.Bytes(), want) {
		t.Errorf("after a failed Resize the region has %d bytes, or others; want %d", r.Len(), n)
	}
	if got := contents(t, name); !bytes.Equal(got, want) {
		t.Errorf("after a failed Resize the file has %d bytes, or others; want %d", len(got), n)
	}
	if err := Put(r, n-8, uint64(7)); err != nil {
		t.Errorf("after a failed Resize: %v", err)
	}
	if err := r.Sync(); err != nil {
		t.Errorf("after a failed Resize: %v", err)
	}
	if err := r.Resize(int64(n) - 50); err != nil {
		t.Errorf("shrinking after a failed Resize: %v", err)
	}
	if err := r.Resize(int64(n)); err != nil {
		t.Errorf("growing a little after a failed Resize: %v", err)
	}
	if got, err := Get[uint64](r, n-8); got != 0 || err != nil {
		t.Errorf("shrunk and grown: %d, %v; want 0", got, err)
	}
}

// A tmpfs undoes what it gave before it was full; ext4 keeps it. This one is
// mounted where only a child sees it, so that it goes with the child.
func TestAFailedResizeLeavesTheFileAsItWas(t *testing.T) {
	runWithOwnMounts(t, childExt4)
}

var childExt4 = registerChild("on an ext4", func(t testing.TB, args []string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts to oneself: %v", err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("cannot make an ext4: %v %s", err, out)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount an ext4: %v %s", err, out)
	}
	name := filepath.Join(dir, "f")
	const size = 10000
	r, err := Config{Reserve: 64 << 20}.Create(name, size)
	need(t, r, err)
	copy(r.Bytes(), quiet(size))
	var before, after unix.Statfs_t
	if err := unix.Statfs(dir, &before); err != nil {
		t.Fatal(err)
	}
	if err := r.Resize(32 << 20); !isFull(err) {
		t.Errorf("Resize to more than the disk has: %v", err)
	}
	if err := unix.Statfs(dir, &after); err != nil {
		t.Fatal(err)
	}
	if taken := (int64(before.Bfree) - int64(after.Bfree)) * int64(after.Bsize); taken > 1<<20 {
		t.Errorf("a failed Resize took %d bytes of the disk", taken)
	}
	checkUnchanged(t, r, name, size)

	// A store through a sparse file to a disk that is full of something else.
	sparse := filepath.Join(dir, "sparse")
	s, err := Config{Sparse: true}.Create(sparse, 1<<20)
	need(t, s, err)
	there := 3 * os.Getpagesize()
	was := append(quiet(there), make([]byte, 1<<20-there)...)
	copy(s.Bytes()[:there], was)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	// Holes can be read here. ext4 sets room aside for stores that are under way.
	tryMethods(t, s, sparse, trouble{"full ext4", ErrIO, there, true, was, func() { fillDisk(t, dir) }})
	r.Close()
	s.Close()
	if err := unix.Unmount(dir, 0); err != nil {
		t.Error(err)
	}
})

func TestALimitOfTheFileSizeIsAnError(t *testing.T) { runChild(t, childFileSizeLimit) }

// The system also sends SIGXFSZ, which must not end the process either.
var childFileSizeLimit = registerChild("under RLIMIT_FSIZE", func(t testing.TB, args []string) {
	const limit = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Skipf("no limit of the size of files: %v", err)
	}
	for _, sparse := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Sparse: sparse}.Create(name, limit+1)
		if r != nil || !errors.Is(err, unix.EFBIG) {
			t.Errorf("Create of a file that is too large: %v, %v", r, err)
		}
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Create of a file that is too large left one: %v", err)
		}
		if err := os.WriteFile(name, []byte("there"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := (Config{Sparse: sparse}).Create(name, limit+1); r != nil || !errors.Is(err, unix.EFBIG) {
			t.Errorf("Create of a file that is too large: %v, %v", r, err)
		}
		if got := contents(t, name); len(got) != 0 {
			t.Errorf("Create left %d bytes in the file that was there", len(got))
		}

		r, err = Config{Sparse: sparse, Reserve: 4 * limit}.Create(name, 10000)
		need(t, r, err)
		copy(r.Bytes(), quiet(10000))
		for _, n := range []int64{limit + 1, 4 * limit} {
			if err := r.Resize(n); !errors.Is(err, unix.EFBIG) {
				t.Errorf("Resize beyond the limit: %v", err)
			}
		}
		checkUnchanged(t, r, name, 10000)
		if err := r.Resize(limit); err != nil {
			t.Errorf("Resize to the limit: %v", err)
		}
		if err := Put(r, limit-8, int64(1)); err != nil {
			t.Error(err)
		}
	}
})

func TestAGrowthThatCannotBeLockedLeavesTheFileAsItWas(t *testing.T) {
	runChild(t, childLockLimit)
}

var childLockLimit = registerChild("a limit of locked memory", func(t testing.TB, args []string) {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Skipf("cannot limit locked memory: %v", err)
	}
	// Root is not bound by the limit, so be nobody from here on.
	if os.Getuid() == 0 {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chdir(dir)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setuid(65534); err != nil {
			t.Skipf("cannot be anybody else: %v", err)
		}
	} else if err := os.Chdir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Lock: true, Reserve: 1 << 20}.Create("f", 4096)
	need(t, r, err)
	err = r.Resize(1 << 20)
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Resize beyond the limit of locked memory: %v", err)
	}
	if fi, err := os.Stat("f"); err != nil || fi.Size() != 4096 || r.Len() != 4096 {
		t.Errorf("the file has %d bytes, the region %d, want 4096; %v", fi.Size(), r.Len(), err)
	}
})

// isFull reports whether an error says that the disk is full. Where nothing but a
// fault tells, it is ErrIO.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || !linuxWays && errors.Is(err, ErrIO)
}
