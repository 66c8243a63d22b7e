package probes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// fill leaves no block free, and returns the file that has them.
func fill(t testing.TB, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end, b := int64(0), make([]byte, blockSize)
	for n := int64(64 << 20); n >= blockSize; {
		if err = unix.Fallocate(int(f.Fd()), 0, end, n); err != nil {
			n /= 2
			continue
		}
		end += n
	}
	for more := true; more; { // until nothing is set free by what was written
		for more = false; ; more = true {
			if _, err = f.WriteAt(b, end); err != nil {
				break
			}
			end += blockSize
		}
		if errnoOf(err) != unix.ENOSPC {
			t.Fatalf("cannot fill the disk: %v", err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

func TestOnAFullDiskACallFailsAndTheFileIsAsBefore(t *testing.T) {
	needs(t, "storage")
	t.Run("tmpfs", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("full", dir, "tmpfs", 0, "size=4m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
		onFullDisk(t, dir, true)
	})
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		// Btrfs never stores to a block twice, so an allocated one is of no use.
		onFullDisk(t, d.mount(t, kind, ""), kind != "btrfs")
	})
}

func onFullDisk(t *testing.T, dir string, again bool) {
	const n, full = 16, 8 // blocks
	name, holes, made := filepath.Join(dir, "f"), filepath.Join(dir, "holes"), filepath.Join(dir, "new")
	r, err := mmap.Config{Reserve: 16 << 20}.Create(name, n*blockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sparse, err := mmap.Config{Sparse: true}.Create(holes, n*blockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	text := blocks(name, 0, n)
	if n, err := sparse.WriteAt(text[:full*blockSize], 0); err != nil {
		t.Fatal(n, err)
	}
	if n, err := r.WriteAt(text, 0); err != nil {
		t.Fatal(n, err)
	}
	if err := errors.Join(r.Sync(), sparse.Sync()); err != nil {
		t.Fatal(err)
	}
	filler := fill(t, dir)

	refused(t, "Resize", name, r.Resize(8<<20), unix.ENOSPC)
	if size := sizeOf(t, name); r.Len() != n*blockSize || size != n*blockSize {
		t.Errorf("after Resize: Len %d, file of %d bytes", r.Len(), size)
	}
	_, err = mmap.Create(made, 8<<20)
	refused(t, "Create", made, err, unix.ENOSPC)
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Create the file is there: %v", err)
	}
	_, err = mmap.OpenOrCreate(name, 8<<20)
	refused(t, "OpenOrCreate", name, err, unix.ENOSPC)
	if size := sizeOf(t, name); size != n*blockSize {
		t.Errorf("after OpenOrCreate the file has %d bytes", size)
	}

	// A hole cannot be stored to; what is allocated can.
	const hole = full * blockSize
	faulted(t, "Put", mmap.Put(sparse, hole+8, 1.5), hole+8)
	faulted(t, "Guard", mmap.Guard(func() error { sparse.Bytes()[hole+1] = 1; return nil }), hole+1)
	k, err := sparse.WriteAt(text[hole-blockSize:], hole-blockSize)
	if again {
		if faulted(t, "WriteAt", err, hole); k != blockSize {
			t.Errorf("WriteAt: %d bytes", k)
		}
	} else if faulted(t, "WriteAt", err, hole-blockSize); k != 0 {
		t.Errorf("WriteAt: %d bytes", k)
	}
	v, err := mmap.ViewOf[uint32](sparse, 0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	faulted(t, "Fill", v.Sub(hole/4, hole/4+100).Fill(7), hole)
	got, err := os.ReadFile(holes) // a load from a hole takes memory on tmpfs
	if err != nil || len(got) != sparse.Len() {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:full*blockSize], text[:full*blockSize]) || len(bytes.Trim(got[full*blockSize:], "\x00")) > 0 {
		t.Error("the file is not as before")
	}
	if err := mmap.Put(r, 100, 2.5); again && err != nil {
		t.Errorf("Put to what has its blocks: %v", err)
	} else if !again {
		faulted(t, "Put", err, 100)
	}
	if err := errors.Join(r.Sync(), sparse.Sync()); err != nil {
		t.Errorf("Sync of what has its blocks: %v", err)
	}

	if err := os.Truncate(filler, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(mmap.Put(sparse, hole+8, 1.5), sparse.Sync(), r.Resize(1<<20), r.Sync()); err != nil {
		t.Errorf("with space again: %v", err)
	}
}
