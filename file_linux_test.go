package mmap

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescriptorsAreClosedOnExec(t *testing.T) {
	name := tempFile(t, []byte("hello"))
	r := open(t, name, ReadWrite)
	flags, err := unix.FcntlInt(uintptr(r.o.file.owned), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags are %#x, %v", flags, err)
	}
}

func TestFilesLargerThanMemory(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("a 32-bit address space holds no such file at once")
	}
	name := filepath.Join(t.TempDir(), "huge")
	var size int64 = 1 << 40
	r, err := Config{Sparse: true}.Create(name, size)
	if errors.Is(err, syscall.EFBIG) {
		t.Skipf("the file system has no file of 1 TiB: %v", err)
	}
	need(t, r, err)
	for _, off := range []int64{0, 1 << 30, size/2 + 3, size - 8} {
		if err := Put(r, int(off), off); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int64{0, 1 << 30, size/2 + 3, size - 8} {
		var p [8]byte
		if _, err := f.ReadAt(p[:], off); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p[:], nativeBytes(uint64(off))) {
			t.Errorf("offset %d: the file has %x", off, p)
		}
	}
}

// The size that Open was told may be from before another region of this process shortened
// the file. Then it is asked for again.
func TestAFileThatIsShortenedWhileItIsOpenedHasItsNewSize(t *testing.T) {
	needLinuxWays(t, "fstatfs(2), which comes between")
	dir, err := os.MkdirTemp("/dev/shm", "shorten") // where Open asks for the file system, too
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer os.RemoveAll(dir)
	page := os.Getpagesize()
	name := filepath.Join(dir, "f")
	r, err := Create(name, int64(4*page))
	need(t, r, err)
	once := true
	onCalls(t, func(call string) error {
		if call == "fstatfs" && once {
			once = false
			if err := r.Resize(int64(page)); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	other, err := Open(name, ReadOnly)
	need(t, other, err)
	if once {
		t.Skip("fstatfs(2) was not called")
	}
	if other.Len() != page {
		t.Errorf("it has %d bytes, want %d", other.Len(), page)
	}
}
