package probes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// wantLost checks that a Sync told of a write-back that failed with EIO.
func wantLost(t testing.TB, what string, r *mmap.Region, err error) {
	t.Helper()
	var path *fs.PathError
	if !errors.As(err, &path) || path.Err != unix.EIO || path.Path != r.Name() {
		t.Errorf("%s returned %v, want EIO of %s", what, err, r.Name())
	}
}

func TestAWriteBackThatTheDeviceRefusedIsToldByEverySyncUntilAllAreClosed(t *testing.T) {
	needs(t, "storage")
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		dir := d.mount(t, kind, "")
		for _, how := range []string{"Sync", "SyncRange", "Sync of a view", "four at once", "Flush", "the kernel"} {
			t.Run(how, func(t *testing.T) { writesFail(t, d, filepath.Join(dir, how), how) })
		}
	})
}

func writesFail(t *testing.T, d *mapper, name, how string) {
	at := d.writeBlocks(t, name, 8)
	open := func(mode mmap.Mode) *mmap.Region {
		t.Helper()
		r, err := mmap.Open(name, mode)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	r, other := open(mmap.ReadWrite), open(mmap.ReadWrite)
	v, err := mmap.ViewOf[byte](r, 0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Fill(1); err != nil { // the file system has made all pages ready
		t.Fatal(err)
	}
	if err := errors.Join(r.Sync(), other.Sync()); err != nil {
		t.Fatal(err)
	}
	d.fail(t, slices.Concat(at[2:4]...)...)
	if err := v.Fill(2); err != nil {
		t.Fatal(err)
	}
	switch how {
	case "Sync":
		wantLost(t, "Sync", r, r.Sync())
	case "SyncRange":
		wantLost(t, "SyncRange", r, r.SyncRange(2*blockSize+5, 1))
	case "Sync of a view":
		wantLost(t, "Sync", r, v.Sub(3*blockSize, 3*blockSize+1).Sync())
	case "four at once":
		errs := make(chan error)
		for range 4 {
			go func() { errs <- r.Sync() }()
		}
		for range 4 {
			wantLost(t, "one of four Syncs", r, <-errs)
		}
	case "Flush":
		if err := r.Flush(0, mmap.ToEnd); err != nil {
			t.Errorf("Flush: %v", err)
		}
	case "the kernel":
		unix.Sync() // as it does by itself after a while
	}
	d.heal(t)
	// Nobody has been told yet where nobody asked.
	wantLost(t, "Sync", r, r.Sync())
	wantLost(t, "Sync again", r, r.Sync())
	wantLost(t, "SyncRange of another page", r, r.SyncRange(0, 1))
	wantLost(t, "Sync of a view of another page", r, v.Sub(0, 1).Sync())
	later := open(mmap.ReadOnly)
	for what, r := range map[string]*mmap.Region{"a region of before": other, "a region opened since": later} {
		wantLost(t, "Sync of "+what, r, r.Sync())
		wantLost(t, "SyncRange of "+what, r, r.SyncRange(blockSize, 1))
	}
	for _, closed := range []*mmap.Region{r, other} {
		if err := closed.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantLost(t, "Sync of the region that is left", later, later.Sync())
	}
	if err := later.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	// All anew, as Sync's documentation says.
	r = open(mmap.ReadWrite)
	if v, err = mmap.ViewOf[byte](r, 0, mmap.ToEnd); err == nil {
		err = errors.Join(v.Fill(3), r.Sync(), r.Close())
	}
	if err != nil {
		t.Errorf("anew on the disk that is well: %v", err)
	}
	dropCaches(t)
	got, err := os.ReadFile(name)
	if err != nil || len(got) != 8*blockSize || slices.Min(got) != 3 || slices.Max(got) != 3 {
		t.Errorf("the file on the disk has not what was stored anew: %v", err)
	}
}
