//go:build !mmap_posix

package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A write-back that fails is told once by the kernel, to one of those who ask, and
// to every Sync by this package.

// wantLost checks that a Sync told of a write-back that failed with errno.
func wantLost(t testing.TB, what string, err error, errno unix.Errno, r *Region) {
	t.Helper()
	var path *fs.PathError
	if !errors.Is(err, errno) || !errors.As(err, &path) || path.Path != r.Name() {
		t.Errorf("%s returned %v, want %v of %s", what, err, errno, r.Name())
	}
}

func TestAFailedWriteBackIsNeverForgotten(t *testing.T) {
	page := os.Getpagesize()
	fs := newFuse(t)
	for i, errno := range []unix.Errno{unix.ENOSPC, unix.EIO, unix.EDQUOT} {
		file := fmt.Sprint("f", i)
		fs.create(file, 4*page, 'f')
		other := fs.dir + "/./" + file // its name to another user
		r := []*Region{
			mapFor(t, "owned", fs.path(file), Config{Mode: ReadWrite, Reserve: int64(8 * page)}),
			mapFor(t, "owned", other, Config{Mode: ReadWrite, Offset: 8}),
			mapFor(t, "borrowed", fs.path(file), Config{}),
			mapFor(t, "borrowed", other, Config{Mode: ReadWrite}),
		}
		fs.fail("write", file, errno, 1)
		if err := Put(r[0], 0, 1.5); err != nil {
			t.Fatal(err)
		}
		// All at once, and all of the page that was stored to: the kernel tells
		// one of those who share an open file.
		errs := make([]chan error, len(r))
		for i := range r {
			errs[i] = make(chan error, 1)
			go func() { errs[i] <- r[i].Sync() }()
		}
		for i := range r {
			wantLost(t, fmt.Sprintf("Sync of region %d, at once", i), <-errs[i], errno, r[i])
		}
		// A region that is opened later has not been told, nor has one that is
		// asked for other pages, or for what was stored since.
		r = append(r, mapFor(t, "owned", other, Config{}))
		if err := errors.Join(Put(r[0], page, 2.5), Put(r[1], 0, 2.5)); err != nil {
			t.Fatal(err)
		}
		for i, r := range r {
			wantLost(t, fmt.Sprintf("Sync of region %d", i), r.Sync(), errno, r)
			wantLost(t, fmt.Sprintf("SyncRange of region %d", i), r.SyncRange(page, 1), errno, r)
			v, err := ViewOf[byte](r, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			wantLost(t, fmt.Sprintf("Sync of a view of region %d", i), v.Sync(), errno, r)
		}
		// What stays in the process has nothing to lose.
		if err := mapFor(t, "owned", other, Config{Mode: CopyOnWrite}).Sync(); err != nil {
			t.Errorf("Sync of a private region returned %v", err)
		}
		for i := range len(r) - 1 {
			r[i].Close()
			last := r[len(r)-1]
			wantLost(t, "Sync of a region that is left", last.Sync(), errno, last)
		}
	}
}

func TestAFailedWriteBackIsForgottenWhenAllRegionsAreClosed(t *testing.T) {
	// Not on FUSE, where a region's inode lasts until its pages are written back.
	name := tempFile(t, pattern(100))
	r, again := open(t, name, ReadWrite), open(t, name, ReadWrite)
	refusing(t, "msync", unix.EIO, 1)
	wantLost(t, "Sync", again.Sync(), unix.EIO, again)
	again.Close()
	again = open(t, name, ReadWrite)
	wantLost(t, "Sync", again.Sync(), unix.EIO, again)
	again.Close()
	r.Close()
	if err := open(t, name, ReadWrite).Sync(); err != nil {
		t.Errorf("Sync after all were closed returned %v", err)
	}
}

func TestAFlushThatFailsWhileItsRegionIsClosedIsNotForgotten(t *testing.T) {
	name := tempFile(t, pattern(100))
	r, other := open(t, name, ReadWrite), open(t, name, ReadWrite)
	onCalls(t, func(call string) error {
		if call != "sync_file_range" {
			return nil
		}
		r.Close()
		return unix.ENOSPC
	})
	wantErr(t, r.Flush(0, ToEnd), ErrClosed)
	wantLost(t, "Sync", other.Sync(), unix.ENOSPC, other)
}

// On FUSE a region's pages are written back after Close, and the kernel may tell of
// a failure then.
func TestAWriteBackThatFailsAfterCloseIsToldToTheOtherRegions(t *testing.T) {
	for _, how := range []string{"closed", "dropped"} {
		t.Run(how, func(t *testing.T) {
			server := newFuse(t)
			page := os.Getpagesize()
			f := fuseOpen(t, server.create("a", page, 'a'))
			r, err := Map(f, ReadWrite)
			server.fail("write", "a", unix.ENOSPC, 1) // whenever the kernel writes
			if err == nil {
				err = Put(r, 0, 1.5)
			}
			other, err2 := Map(f, ReadWrite)
			need(t, other, errors.Join(err, err2))
			addr, m := r.Addr(), r.o.mapping
			if how == "closed" {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				for mapsAt(t, addr) != tombstone {
					runtime.Gosched()
				}
			} else {
				r = nil
				collectTill(t, func() bool { return !listed(m) })
			}
			wantLost(t, "Sync of the other region", other.Sync(), unix.ENOSPC, other)
		})
	}
}

func TestACallThatWasRefusedIsNoFailedWriteBack(t *testing.T) {
	const often = maxTries // of what is made again
	for _, tt := range []struct {
		call    string
		errno   unix.Errno
		times   int
		fails   bool // the first time
		forever bool
	}{
		{"msync", unix.EINTR, 1, false, false},
		{"msync", unix.EINTR, often, true, false},
		{"msync", unix.EINVAL, 1, false, false},
		{"msync", unix.ENOSYS, 1, true, false},
		{"msync", unix.EPERM, 1, true, false},
		{"msync", unix.EIO, 1, true, true},
		{"msync", unix.ENOSPC, 1, true, true},
		{"msync", unix.EDQUOT, 1, true, true},
		{"msync", unix.ESTALE, 1, true, true},
		{"fsync", unix.EINTR, often, true, false},
		{"fsync", unix.EINVAL, 1, true, false},
		{"fsync", unix.ENOSYS, 1, true, false},
		{"fsync", unix.EPERM, 1, true, false},
		{"fsync", unix.EIO, 1, true, true},
		{"sync_file_range", unix.EINTR, often, true, false},
		{"sync_file_range", unix.EINVAL, 1, true, false},
		{"sync_file_range", unix.ENOSYS, 1, true, false},
		{"sync_file_range", unix.EPERM, 1, true, false},
		{"sync_file_range", unix.EIO, 1, true, true},
		{"sync_file_range", unix.ENOSPC, 1, true, true},
	} {
		what := fmt.Sprintf("%s, refused %d times with %s", tt.call, tt.times, unix.ErrnoName(tt.errno))
		r, err := Create(filepath.Join(t.TempDir(), "f"), 100)
		need(t, r, err)
		other := open(t, r.Name(), ReadOnly)
		refusing(t, tt.call, tt.errno, tt.times)
		first := r.Sync
		if tt.call == "sync_file_range" {
			first = func() error { return r.Flush(0, ToEnd) }
		}
		if err := first(); errors.Is(err, tt.errno) != tt.fails || (err != nil) != tt.fails {
			t.Errorf("%s: the first call returned %v", what, err)
		}
		for range 2 {
			for _, r := range []*Region{r, other} {
				err := r.Sync()
				if tt.forever {
					wantLost(t, what+": Sync", err, tt.errno, r)
				} else if err != nil {
					t.Errorf("%s: Sync returned %v", what, err)
				}
			}
		}
	}
}

// Another region's Sync is in its system call, and is told of the failure of both.
func TestASyncThatWasToldNothingWaitsForThoseWhoMayBe(t *testing.T) {
	name := tempFile(t, pattern(100))
	told, untold := open(t, name, ReadWrite), open(t, name, ReadWrite)
	asked, askedToo, tell := make(chan bool), make(chan bool), make(chan bool)
	calls := 0
	onCalls(t, func(call string) error {
		if call != "msync" {
			return nil
		}
		if calls++; calls > 1 {
			close(askedToo)
			return nil
		}
		close(asked)
		<-tell
		return unix.EIO
	})
	toldErr, untoldErr := make(chan error), make(chan error)
	go func() { toldErr <- told.Sync() }()
	<-asked
	go func() { untoldErr <- untold.Sync() }()
	<-askedToo
	n := told.o.file.inode
	for asking := 2; asking > 1; runtime.Gosched() { // until the second has its answer
		n.mu.Lock()
		asking = len(n.syncing)
		n.mu.Unlock()
	}
	close(tell)
	wantLost(t, "Sync of who is told", <-toldErr, unix.EIO, told)
	wantLost(t, "Sync of who is not", <-untoldErr, unix.EIO, untold)
}

func TestALossOnAFullDiskBeneathALoopDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may attach a loop device")
	}
	for _, tool := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	runWithOwnMounts(t, childLoop)
}

var childLoop = registerChild("on a loop device without space", func(t testing.TB, args []string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts to oneself: %v", err)
	}
	const disk, size = 32 << 20, 16 << 20
	below, dir := t.TempDir(), t.TempDir()
	if err := unix.Mount("disk", below, "tmpfs", 0, fmt.Sprintf("size=%d", disk/2)); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	image := filepath.Join(below, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, disk)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"mkfs.ext4 -q -O ^has_journal " + image, "mount -o loop,errors=continue " + image + " " + dir} {
		words := strings.Fields(command)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v, %s", command, err, out)
		}
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	name := filepath.Join(dir, "f")
	r, err := Create(name, size)
	need(t, r, err)
	other := open(t, name, ReadWrite)
	if err := errors.Join(r.Sync(), other.Sync()); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, below)
	copy(r.Bytes(), pattern(size))
	var lost *fs.PathError
	if err := r.Sync(); !errors.As(err, &lost) {
		t.Fatalf("Sync returned %v, and the disk is full", err)
	}
	errno := lost.Err.(unix.Errno)
	for _, r := range []*Region{r, other, open(t, name, ReadOnly), r, other} {
		wantLost(t, "Sync", r.Sync(), errno, r)
	}
})
