//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A borrowed file belongs to the caller: what works after he has closed it, and
// what he keeps while regions come and go.

// wantFileClosed checks that a method says that it would need the file.
func wantFileClosed(t testing.TB, what string, err error, name string) {
	t.Helper()
	if errors.Is(err, ErrClosed) {
		t.Errorf("%s says that the region is closed: %v", what, err)
	}
	wantErr(t, err, fs.ErrClosed, name, "the file that Map was given")
}

func TestSyncOfABorrowedFileThatWasClosed(t *testing.T) {
	if !syncsWithoutFile {
		t.Skip("this system needs the file to make a mapping durable")
	}
	page := os.Getpagesize()
	server := newFuse(t)
	for kind, name := range map[string]string{"a disk's": tempFile(t, pattern(8*page)), "FUSE's": server.create("f", 8*page, 'f')} {
		f := fuseOpen(t, name)
		r, err := Config{Mode: ReadWrite, Reserve: int64(16 * page)}.Map(f)
		need(t, r, err)
		if err := errors.Join(r.Resize(int64(9*page-10)), f.Close()); err != nil {
			t.Fatal(err)
		}
		before := server.count("fsync", "f")
		if err := errors.Join(Put(r, 0, uint16(0x4141)), r.Sync()); err != nil {
			t.Errorf("%s: Sync: %v", kind, err)
		}
		if kind == "FUSE's" && (!bytes.Equal(server.bytes("f", 0, 2), []byte("AA")) || server.count("fsync", "f") == before) {
			t.Errorf("Sync did not reach the file system")
		}
		wantFileClosed(t, "Resize", r.Resize(100), name)
		wantFileClosed(t, "Refresh", r.Refresh(), name)
		wantFileClosed(t, "Flush", r.Flush(0, 100), name)
		if r.Len() != 9*page-10 {
			t.Errorf("%s: %v, and nothing was to change", kind, r)
		}
		// The rest needs no file.
		if err := errors.Join(r.Populate(0, ToEnd), r.Protect(ReadOnly), r.Protect(ReadWrite)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}

		cut := func(n int) {
			t.Helper()
			if err := os.Truncate(name, int64(n)); err != nil {
				t.Fatal(err)
			}
		}
		cut(8*page + 1) // which no page tells
		if err := r.Sync(); err != nil {
			t.Errorf("%s: Sync: %v", kind, err)
		}
		cut(5 * page)
		wantErr(t, r.Sync(), ErrTruncated, name)
		wantErr(t, r.SyncRange(page, 4*page+1), ErrTruncated, name)
		if err := r.SyncRange(page, 4*page); err != nil {
			t.Errorf("%s: SyncRange of what is there: %v", kind, err)
		}
		n, err := r.ReadAt(make([]byte, r.Len()), 0)
		wantErr(t, err, ErrTruncated)
		var fault *FaultError
		if !errors.As(err, &fault) || n != 5*page || fault.Offset != n {
			t.Errorf("%s: ReadAt: %d, %v", kind, n, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: Close: %v", kind, err)
		}
	}
}

func TestMapKeepsNoDescriptor(t *testing.T) {
	name := tempFile(t, pattern(1000))
	fi := statOf(t, name)
	f := fuseOpen(t, name)
	c := Config{Mode: ReadWrite, Reserve: 2000}
	var regions []*Region
	for range 3 {
		r, err := c.Map(f)
		need(t, r, err)
		regions = append(regions, r)
		if err := errors.Join(r.Resize(1500), r.Refresh(), r.Sync(), r.Flush(0, ToEnd)); err != nil {
			t.Fatal(err)
		}
	}
	if n := descriptorsOf(t, fi); n != 1 {
		t.Errorf("%d descriptors of the file, want the caller's", n)
	}
	f.Close()
	if n := descriptorsOf(t, fi); n != 0 {
		t.Errorf("%d descriptors of the file, which was closed", n)
	}
	for _, r := range regions {
		if err := errors.Join(Put(r, 0, 1.5), r.Close()); err != nil {
			t.Error(err)
		}
	}
	// One descriptor a region is what Open has.
	r := open(t, name, ReadOnly)
	if n := descriptorsOf(t, fi); n != 1 {
		t.Errorf("%d descriptors of a file that was opened", n)
	}
	r.Close()
	if n := descriptorsOf(t, fi); n != 0 {
		t.Errorf("%d descriptors of a file after Close", n)
	}
}

// tellsLocks says of each name whether somebody else holds a lock on it.
var tellsLocks = registerChild("one that tells locks", func(t testing.TB, args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, err := heard.ReadString('\n')
		if err != nil {
			return
		}
		locked := false
		switch line {
		case "fcntl\n":
			l := unix.Flock_t{Type: unix.F_WRLCK}
			if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l); err != nil {
				t.Fatal(err)
			}
			locked = l.Type != unix.F_UNLCK
		case "flock\n":
			err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if locked = err == unix.EWOULDBLOCK; !locked && err != nil {
				t.Fatal(err)
			}
			unix.Flock(int(f.Fd()), unix.LOCK_UN)
		}
		if locked {
			say(t, "locked")
		} else {
			say(t, "free")
		}
	}
})

func TestARegionOfABorrowedFileReleasesNoLock(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, pattern(4*page))
	p := startPuppet(t, tellsLocks, name)
	f := fuseOpen(t, name)
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &l); err != nil {
		t.Skipf("no record locks: %v", err)
	}
	var r, other *Region
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"Map", func() (err error) {
			c := Config{Mode: ReadWrite, Reserve: int64(8 * page)}
			r, err = c.Map(f)
			if err == nil {
				other, err = c.Map(f)
			}
			return err
		}},
		{"Map that fails", func() error {
			if r, err := (Config{Offset: int64(5 * page)}).Map(f); err == nil {
				r.Close()
				return errors.New("it does not")
			}
			return nil
		}},
		{"a store", func() error { return Put(r, 0, 1.5) }},
		{"Sync", func() error { return r.Sync() }},
		{"Flush", func() error { return r.Flush(0, ToEnd) }},
		{"Resize", func() error { return errors.Join(r.Resize(int64(6*page)), r.Sync(), r.Resize(int64(2*page))) }},
		{"Refresh", func() error { return other.Refresh() }},
		{"Populate", func() error { return r.Populate(0, ToEnd) }},
		{"WriteTo", func() error { _, err := r.WriteTo(io.Discard); return err }},
		{"Protect", func() error { return errors.Join(r.Protect(ReadOnly), r.Protect(ReadWrite)) }},
		{"a fault", func() error {
			raw := r.Reserved()
			wantErr(t, Guard(func() error { held = raw[7*page]; return nil }), ErrTruncated)
			return nil
		}},
		{"Close", func() error { return r.Close() }},
		{"Close of another", func() error { return other.Close() }},
		{"the collector", func() error { r, other = nil, nil; collectAll(t); return nil }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		t.Log(step.name)
		p.tell("fcntl")
		p.want("locked")
	}
	// What Open says of itself. If this did not release the lock, nothing above
	// would prove anything.
	open(t, name, ReadOnly).Close()
	p.tell("fcntl")
	p.want("free")
	p.end()
}

// A mapping is a use of the open file, and so the lock lasts as long as it. Close
// ends it, although the address space stays.
func TestCloseEndsAFlockOfAFileThatWasClosed(t *testing.T) {
	name := tempFile(t, pattern(100))
	p := startPuppet(t, tellsLocks, name)
	f := fuseOpen(t, name)
	r, err := Map(f, ReadWrite)
	need(t, r, err)
	raw := r.Bytes()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Skipf("no locks: %v", err)
	}
	p.tell("flock")
	p.want("locked")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.tell("flock")
	p.want("locked") // the system's mapping keeps the open file
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	p.tell("flock")
	p.want("free")
	p.end()
	wantErr(t, Guard(func() error { held = raw[0]; return nil }), ErrClosed)
}
