package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func newMemFile(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := MemFile("test", size)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no memory files: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestMemFileIsZeroedMemoryThatNobodyMayExecute(t *testing.T) {
	f := newMemFile(t, 5000)
	st, err := f.Stat()
	if err != nil || st.Size() != 5000 || f.Name() != "test" {
		t.Errorf("%s has %v, %v", f.Name(), st, err)
	}
	if seals, _ := SealsOf(f); seals&SealShrink != 0 {
		t.Errorf("a new file has the seals %v", seals)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is inherited: flags %#x, %v", flags, err)
	}
	var uts unix.Utsname
	unix.Uname(&uts)
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &major, &minor)
	if perm := st.Mode().Perm(); perm&0o111 != 0 && (major > 6 || major == 6 && minor >= 3) {
		t.Errorf("the file has the permissions %v", perm)
	}
	r, err := Config{Mode: ReadWrite, Reserve: 1 << 20}.Map(f)
	need(t, r, err)
	for i, b := range r.Bytes() {
		if b != 0 {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	f.Close()
	err = Put(r, 4992, int64(900))
	if err == nil && syncsWithoutFile {
		err = r.Sync()
	}
	if err != nil {
		t.Errorf("a region of a closed memory file: %v", err)
	}
}

func TestMemFileErrorsNameTheFile(t *testing.T) {
	_, err := MemFile("negative", -1)
	wantSentence(t, err, ErrRange, "negative", "-1")
	_, err = MemFile("with\x00zero", 1)
	wantSentence(t, err, os.ErrInvalid, `with\x00zero`, "zero byte")
	_, err = MemFile(strings.Repeat("x", 300), 1)
	wantErr(t, err, unix.EINVAL, "xxx", "249 bytes")
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EMFILE, unix.EPERM} {
		onCalls(t, func(call string) error {
			if call == "memfd_create" {
				return errno
			}
			return nil
		})
		f, err := MemFile("refused", 1)
		wantErr(t, err, errno, "memfd_create", "refused")
		if f != nil {
			t.Error("there is a file beside the error")
		}
	}
	before, _ := os.ReadDir("/proc/self/fd")
	refusing(t, "ftruncate", unix.EFBIG, 1)
	_, err = MemFile("large", 1)
	wantErr(t, err, unix.EFBIG, "ftruncate", "large")
	if now, _ := os.ReadDir("/proc/self/fd"); len(now) != len(before) {
		t.Errorf("%v are open, %v before", now, before)
	}
}

var memFileChild = registerChild("one that is handed a memory file", func(t testing.TB, args []string) {
	f := os.NewFile(3, "handed over")
	r, err := Config{Mode: ReadWrite, Reserve: 1 << 20}.Map(f)
	need(t, r, err)
	x, err := Get[int32](r, 0)
	if err != nil || x != 900 {
		t.Fatalf("the parent stored 900, and there is %d, %v", x, err)
	}
	if err := errors.Join(r.Resize(100_000), Put(r, 99_996, int32(1800))); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err == nil && args[0] == "sealed" {
		t.Fatal("a file sealed with SealShrink was truncated")
	} else if err != nil && args[0] != "sealed" {
		t.Fatal(err)
	}
})

func TestMemFileIsHandedToAChildThatGrowsIt(t *testing.T) {
	for _, how := range []string{"sealed", "open"} {
		f := newMemFile(t, 10_000)
		if how == "sealed" {
			if err := Seal(f, SealShrink); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Config{Mode: ReadWrite, Reserve: 1 << 20}.Map(f)
		need(t, r, err)
		if err := Put(r, 0, int32(900)); err != nil {
			t.Fatal(err)
		}
		cmd := childCommand(t, memFileChild, how)
		cmd.ExtraFiles = []*os.File{f}
		finish(t, cmd)
		if how == "open" { // the child has emptied it
			_, err := Get[int32](r, 0)
			wantErr(t, err, ErrTruncated)
			continue
		}
		if err := r.Refresh(); err != nil || r.Len() != 100_000 {
			t.Fatalf("%v after the child has grown it: %v", r, err)
		}
		if x, err := Get[int32](r, 99_996); err != nil || x != 1800 {
			t.Errorf("the child stored 1800, and there is %d, %v", x, err)
		}
	}
}

// finish runs a child and passes on what it says.
func finish(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestSealsAreWhatCanNoLongerBeDone(t *testing.T) {
	const size = 10_000
	store := func(f *os.File, r *Region) error { _, err := f.WriteAt([]byte{1}, 0); return err }
	throughTheMapping := func(f *os.File, r *Region) error { return Put(r, 0, byte(1)) }
	shrink := func(f *os.File, r *Region) error { return r.Resize(10) }
	grow := func(f *os.File, r *Region) error { return r.Resize(2 * size) }
	mapAgain := func(f *os.File, r *Region) error {
		again, err := Map(f, ReadWrite)
		if err == nil {
			again.Close()
		}
		return err
	}
	more := func(f *os.File, r *Region) error { return Seal(f, SealGrow) }
	for _, tt := range []struct {
		seals Seals
		do    func(f *os.File, r *Region) error
		ok    bool
	}{
		{SealShrink, shrink, false}, {SealShrink, grow, true}, {SealShrink, throughTheMapping, true}, {SealShrink, more, true},
		{SealGrow, grow, false}, {SealGrow, shrink, true}, {SealGrow, store, true},
		{SealFutureWrite, store, false}, {SealFutureWrite, mapAgain, false}, {SealFutureWrite, throughTheMapping, true},
		{SealSeal, more, false}, {SealSeal, throughTheMapping, true},
		{SealShrink | SealGrow, grow, false}, {SealShrink | SealGrow, shrink, false}, {SealShrink | SealGrow, mapAgain, true},
	} {
		f := newMemFile(t, size)
		r, err := Config{Mode: ReadWrite, Reserve: 4 * size}.Map(f)
		need(t, r, err)
		if err := Seal(f, tt.seals); errors.Is(err, errors.ErrUnsupported) {
			t.Logf("left out: %v", err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		got, err := SealsOf(f)
		if got&tt.seals != tt.seals || err != nil {
			t.Errorf("the seals are %v, %v, want %v", got, err, tt.seals)
		}
		switch err := tt.do(f, r); {
		case tt.ok && err != nil:
			t.Errorf("with %v: %v", tt.seals, err)
		case !tt.ok && !errors.Is(err, fs.ErrPermission):
			t.Errorf("with %v: %v, want fs.ErrPermission", tt.seals, err)
		case !tt.ok && (r.Len() != size || fileSize(t, f) != size):
			t.Errorf("with %v the region has %d bytes, the file %d", tt.seals, r.Len(), fileSize(t, f))
		}
	}
}

func fileSize(t testing.TB, f *os.File) int64 {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func TestSealWriteWaitsForNobodyWhoCouldStore(t *testing.T) {
	f := newMemFile(t, 100)
	r, err := Map(f, ReadWrite)
	need(t, r, err)
	wantErr(t, Seal(f, SealWrite), unix.EBUSY, f.Name(), "could store", "SealFutureWrite")
	r.Close()
	if err := Seal(f, SealWrite|SealShrink); err != nil {
		t.Fatal(err)
	}
	_, err = Map(f, ReadWrite)
	wantErr(t, err, fs.ErrPermission, f.Name())
	r, err = Map(f, CopyOnWrite)
	need(t, r, err)
	r, err = Map(f, ReadOnly)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("a kernel before 6.7: %v", err)
	}
	need(t, r, err)
	if err := r.Protect(ReadWrite); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Protect of a sealed file: %v", err)
	}
}

func TestSealsOfWhatCannotHaveThem(t *testing.T) {
	f, err := os.OpenFile(tempFile(t, pattern(10)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SealsOf(f); err == nil {
		t.Skip("the file system of temporary files has seals: tmpfs")
	}
	wantSentence(t, Seal(f, SealShrink), errors.ErrUnsupported, "SealShrink", f.Name(), "only memory files")
	_, err = SealsOf(f)
	wantSentence(t, err, errors.ErrUnsupported, f.Name(), "only memory files")
	readOnly, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	for _, f := range []*os.File{f, readOnly, pipe, other} {
		wantSentence(t, Seal(f, SealShrink), errors.ErrUnsupported, "SealShrink", f.Name(), "only memory files")
		if s, err := SealsOf(f); s != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("the seals of %s are %v, %v", f.Name(), s, err) // none, for whoever looks at nothing else
		}
	}
	wantSentence(t, Seal(f, 1<<20), errors.ErrUnsupported, "0x100000", f.Name())
	f.Close()
	wantErr(t, Seal(f, SealShrink), os.ErrClosed, f.Name())
	wantErr(t, Seal(nil, SealShrink), os.ErrInvalid)
	_, err = SealsOf(nil)
	wantErr(t, err, os.ErrInvalid)
	if got := (SealShrink | SealSeal).String(); got != "SealSeal|SealShrink" || Seals(0).String() != "none" || Seals(1<<20|1).String() != "SealSeal|0x100000" {
		t.Errorf("seals are called %q, %q and %q", got, Seals(0), Seals(1<<20|1))
	}
}
