//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What Sync asks of the system, and of which file and directory.

// syncCalls notes the calls that make something durable, until the end of the test.
// The function that it returns tells and forgets them.
func syncCalls(t testing.TB) (since func() []string) {
	calls := []string{}
	onCalls(t, func(call string) error {
		if slices.Contains([]string{"msync", "fsync", "syncfs"}, call) {
			calls = append(calls, call)
		}
		return nil
	})
	return func() []string {
		defer func() { calls = []string{} }()
		return calls
	}
}

func TestSyncMakesTheSizeAndTheNameDurableOnce(t *testing.T) {
	since := syncCalls(t)
	dir := t.TempDir()
	there := tempFile(t, pattern(100))
	c := Config{Mode: ReadWrite, Reserve: 1000}
	data, size, name := []string{"msync"}, []string{"msync", "fsync"}, []string{"msync", "fsync", "fsync"}
	for kind, tt := range map[string]struct {
		make  func() (*Region, error)
		first []string
	}{
		"Create":                {func() (*Region, error) { return c.Create(dir+"/a", 100) }, name},
		"Create, sparse":        {func() (*Region, error) { return Config{Reserve: 1000, Sparse: true}.Create(dir+"/b", 100) }, name},
		"Create of a file":      {func() (*Region, error) { return c.Create(dir+"/a", 100) }, name},
		"OpenOrCreate":          {func() (*Region, error) { return c.OpenOrCreate(dir+"/c", 100) }, name},
		"OpenOrCreate, a file":  {func() (*Region, error) { return c.OpenOrCreate(there, 100) }, name},
		"Open":                  {func() (*Region, error) { return c.Open(there) }, data},
		"Map":                   {func() (*Region, error) { return c.Map(fuseOpen(t, there)) }, data},
		"Open, reading":         {func() (*Region, error) { return Open(there, ReadOnly) }, data},
		"Open, copying":         {func() (*Region, error) { return Open(there, CopyOnWrite) }, []string{}},
		"Anonymous":             {func() (*Region, error) { return c.Anonymous(100) }, []string{}},
		"Create of no bytes":    {func() (*Region, error) { return c.Create(dir+"/d", 0) }, name[1:]},
		"Create, grown at once": {func() (*Region, error) { r, err := c.Create(dir+"/e", 9); return r, errors.Join(err, r.Resize(100)) }, name},
	} {
		r, err := tt.make()
		need(t, r, err)
		since()
		sync := func(when string, want []string) {
			t.Helper()
			if err := r.Sync(); err != nil {
				t.Errorf("%s: Sync: %v", kind, err)
			}
			diff(t, fmt.Sprintf("%s: the calls of Sync %s", kind, when), since(), want)
		}
		sync("at first", tt.first)
		if r.Len() == 0 {
			continue
		}
		again := tt.first[:min(1, len(tt.first))]
		sync("again", again)
		if err := r.SyncRange(50, 0); err != nil || len(since()) > 0 {
			t.Errorf("%s: SyncRange of no bytes: %v", kind, err)
		}
		if r.Mode() != ReadWrite || r.Cap() < 1000 || len(tt.first) == 0 {
			continue
		}
		for _, n := range []int64{1000, 1000, 10, 100} {
			if err := r.Resize(n); err != nil {
				t.Fatal(err)
			}
			sync(fmt.Sprintf("after Resize to %d", n), size)
			sync("after that", again)
		}
	}
}

// A Sync that comes while Resize is at work cannot make its size durable.
func TestTheNextSyncMakesDurableWhatAResizeDidMeanwhile(t *testing.T) {
	r, err := Config{Mode: ReadWrite, Reserve: 1000}.Open(tempFile(t, pattern(100)))
	need(t, r, err)
	fsyncs := 0
	onCalls(t, func(call string) error {
		switch call {
		case "fallocate":
			if err := r.Sync(); err != nil {
				t.Errorf("Sync while it grows: %v", err)
			}
		case "fsync":
			fsyncs++
		}
		return nil
	})
	if err := r.Resize(500); err != nil {
		t.Fatal(err)
	}
	fsyncs = 0
	if err := r.Sync(); err != nil || fsyncs != 1 {
		t.Errorf("Sync: %v, and fsync was called %d times", err, fsyncs)
	}
}

// descriptorsOf returns how many descriptors this process has of a file or
// directory, whatever its name is by now.
func descriptorsOf(t testing.TB, fi os.FileInfo) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("cannot look at the process's descriptors: %v", err)
	}
	for _, fd := range fds {
		if now, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil && os.SameFile(fi, now) {
			n++
		}
	}
	return n
}

func statOf(t testing.TB, name string) os.FileInfo {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

// The file system tells which directory was synced.
func TestSyncMakesTheNameDurableWhereCreatePutIt(t *testing.T) {
	outside := t.TempDir()
	nothing := func(fs *fuseFS) error { return nil }
	for kind, tt := range map[string]struct {
		name func(fs *fuseFS) string // that Create is given, for a file in fs
		move func(fs *fuseFS) error  // what happens between Create and Sync
	}{
		"where it stays": {func(fs *fuseFS) string { return fs.path("f") }, nothing},
		"and is renamed": {func(fs *fuseFS) string { return fs.path("f") },
			func(fs *fuseFS) error { return os.Rename(fs.path("f"), fs.path("g")) }},
		"and is removed": {func(fs *fuseFS) string { return fs.path("f") },
			func(fs *fuseFS) error { return os.Remove(fs.path("f")) }},
		"by a link to nothing yet": {func(fs *fuseFS) string {
			name := filepath.Join(outside, "link to a file")
			os.Symlink("second", name)
			os.Symlink(fs.path("f"), filepath.Join(outside, "second"))
			return name
		}, nothing},
		"by a link that leads elsewhere by now": {func(fs *fuseFS) string {
			os.Symlink(fs.dir, filepath.Join(outside, "link"))
			return filepath.Join(outside, "link", "f")
		}, func(fs *fuseFS) error {
			link := filepath.Join(outside, "link")
			return errors.Join(os.Remove(link), os.Symlink(outside, link))
		}},
	} {
		for how, make := range map[string]func(string, int64) (*Region, error){"Create": Create, "OpenOrCreate": OpenOrCreate} {
			t.Run(how+" "+kind, func(t *testing.T) {
				fs := newFuse(t)
				dir := statOf(t, fs.dir)
				r, err := make(tt.name(fs), 100)
				need(t, r, err)
				if err := tt.move(fs); err != nil {
					t.Fatal(err)
				}
				if n := descriptorsOf(t, dir); n != 1 {
					t.Errorf("%d descriptors of the directory before Sync", n)
				}
				for i := range 2 {
					if err := errors.Join(Put(r, 8*i, 1.5), r.Sync()); err != nil {
						t.Error(err)
					}
					if n := fs.count("fsyncdir", "."); n != 1 {
						t.Errorf("after Sync %d the directory was synced %d times", i+1, n)
					}
					if n := descriptorsOf(t, dir); n != 0 {
						t.Errorf("%d descriptors of the directory after Sync", n)
					}
				}
				for _, name := range []string{"link", "second", "link to a file"} {
					os.Remove(filepath.Join(outside, name))
				}
			})
		}
	}
}

func TestADirectoryThatCannotBeSyncedIsAnError(t *testing.T) {
	fs := newFuse(t)
	r, err := Create(fs.path("f"), 100)
	need(t, r, err)
	fs.fail("fsyncdir", ".", unix.EIO, 1)
	for range 2 {
		wantLost(t, "Sync", r.Sync(), unix.EIO, r)
	}
	dir := statOf(t, fs.dir)
	r.Close()
	if n := descriptorsOf(t, dir); n != 0 {
		t.Errorf("%d descriptors of the directory after Close", n)
	}
}

func TestSyncMakesTheNameDurableInADirectoryThatWasRenamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	opened := statOf(t, dir)
	r, err := Create(dir+"/f", 100)
	need(t, r, err)
	if err := errors.Join(os.Rename(dir, dir+"2"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	replaced := statOf(t, dir)
	var old, anew []int // descriptors of either directory, at each fsync
	onCalls(t, func(call string) error {
		if call == "fsync" {
			old, anew = append(old, descriptorsOf(t, opened)), append(anew, descriptorsOf(t, replaced))
		}
		return nil
	})
	if err := errors.Join(r.Sync(), r.Sync()); err != nil {
		t.Fatal(err)
	}
	diff(t, "descriptors of the directory that Create opened", old, []int{1, 1})
	diff(t, "descriptors of the one that took its name", anew, []int{0, 0})
	if n := descriptorsOf(t, opened); n != 0 {
		t.Errorf("%d descriptors of the directory after Sync", n)
	}
}

// All pages are dirty. The server knows which were written.
func TestSyncRangeAndFlushWriteThePagesOfTheirBytes(t *testing.T) {
	fs := newFuse(t)
	page := os.Getpagesize()
	const pages = 24
	fs.create("f", pages*page, 0)
	for _, offset := range []int{0, 100, 5 * page, 5*page + 100} {
		r := mapFor(t, "owned", fs.path("f"), Config{Mode: ReadWrite, Offset: int64(offset)})
		var b byte
		try := func(how string, write func(off, n int) error, off, n int) {
			t.Helper()
			b++
			data := bytes.Repeat([]byte{b}, r.Len())
			if _, err := r.WriteAt(data, 0); err != nil {
				t.Fatal(err)
			}
			if err := write(off, n); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			if n == ToEnd {
				n = r.Len() - off
			}
			if got := fs.bytes("f", offset+off, n); !bytes.Equal(got, data[:n]) {
				t.Fatalf("%s of %d bytes at %d of a region at %d: %d of them are written", how, n, off, offset, bytes.Count(got, data[:1]))
			}
		}
		flush := func(off, n int) error {
			err := r.Flush(off, n)
			// What was started is soon there. Before Linux 6.16, FUSE lets nobody
			// wait for it but those who would start all the rest.
			if n == ToEnd {
				n = r.Len() - off
			}
			want := bytes.Repeat([]byte{b}, n)
			for begin := time.Now(); !bytes.Equal(fs.bytes("f", offset+off, n), want) && time.Since(begin) < puppetPatience/4; {
				runtime.Gosched()
			}
			return err
		}
		v, err := ViewOf[byte](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		view := func(off, n int) error { return v.Sub(off, off+n).Sync() }
		for _, off := range []int{0, 1, 3*page - 100, 3 * page, r.Len() - page - 1, r.Len() - 1} {
			for how, write := range map[string]func(off, n int) error{"SyncRange": r.SyncRange, "Flush": flush, "Sync of a view": view} {
				try(how, write, off, 1)
				try(how, write, off, min(page+1, r.Len()-off))
			}
		}
		try("SyncRange", r.SyncRange, 7*page+1, ToEnd)
		try("Flush", flush, 7*page+1, ToEnd)
		try("Sync", func(off, n int) error { return r.Sync() }, 0, ToEnd)
		r.Close()
	}
}
