package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inTemporaryFolder has Shared find no /dev/shm.
func inTemporaryFolder(t testing.TB) {
	onCalls(t, func(call string) error {
		if call == "stat" {
			return unix.ENOENT
		}
		return nil
	})
}

func TestSharedIsInTheTemporaryFolderWhereThereIsNoOther(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	inTemporaryFolder(t)
	r := shared(t, "x", 100)
	st, err := os.Stat(filepath.Join(dir, "x"))
	if err != nil || st.Size() != 100 || r.Name() != filepath.Join(dir, "x") {
		t.Fatalf("%v, %v", r, err)
	}
	if err := errors.Join(Put(r, 0, byte(1)), r.Sync()); err != nil {
		t.Error(err)
	}
	if _, err := Shared("../x", 1); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
	if err := RemoveShared("x"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

func TestSharedIsClosedToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	name, path := newSharedName(t)
	r := shared(t, name, 100)
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 || int(st.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	flags, err := unix.FcntlInt(uintptr(r.o.file.owned), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is inherited: %#x, %v", flags, err)
	}
}

// look is what a refused file must keep.
func look(t testing.TB, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Nlink, st.Size, st.Mtim, st.Ctim)
}

func TestSharedLeavesWhatOthersMayHaveMade(t *testing.T) {
	for what, tt := range map[string]struct {
		make func(path string) error
		word string
	}{
		"a pipe":                  {func(path string) error { return unix.Mkfifo(path, 0o600) }, "a pipe"},
		"a socket":                {func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }, "a socket"},
		"open to the group":       {func(path string) error { return write(path, 0o640) }, "the permissions 0640"},
		"open to all":             {func(path string) error { return write(path, 0o604) }, "the permissions 0604"},
		"executable by others":    {func(path string) error { return write(path, 0o601) }, "the permissions 0601"},
		"another user's":          {func(path string) error { return errors.Join(write(path, 0o600), os.Chown(path, 65533, 65533)) }, "user 65533"},
		"another user's, open":    {func(path string) error { return errors.Join(write(path, 0o666), os.Chown(path, 65533, 65533)) }, "user 65533"},
		"a device":                {func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, 1<<8|5) }, "a device"},
		"an unreadable directory": {func(path string) error { return os.Mkdir(path, 0) }, "a directory"},
	} {
		t.Run(what, func(t *testing.T) {
			name, path := newSharedName(t)
			if err := tt.make(path); errors.Is(err, fs.ErrPermission) {
				t.Skipf("needs root: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			before := look(t, path)
			for _, size := range []int64{0, 4096} {
				r, err := Shared(name, size)
				wantSentence(t, err, fs.ErrPermission, path, tt.word, "must be a regular file of this user")
				if r != nil {
					t.Error("a region beside the error")
				}
			}
			if after := look(t, path); after != before {
				t.Errorf("it was %s, and is %s", before, after)
			}
			if n := timesOpen(t, path); n > 0 {
				t.Errorf("it is open %d times", n)
			}
		})
	}
}

// timesOpen says how many descriptors this process has of the file of a name.
func timesOpen(t testing.TB, path string) (n int) {
	t.Helper()
	want, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("cannot look at the process's descriptors: %v", err)
	}
	for _, fd := range fds {
		if st, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil && os.SameFile(st, want) {
			n++
		}
	}
	return n
}

func write(path string, perm fs.FileMode) error {
	return errors.Join(os.WriteFile(path, pattern(10), 0o600), os.Chmod(path, perm))
}

var childOther = registerChild("another user who shares", func(t testing.TB, args []string) {
	_, err := Shared(args[0], 4096)
	wantErr(t, err, fs.ErrPermission, args[0], "user 0", "must be a regular file of this user")
	wantErr(t, RemoveShared(args[0]), fs.ErrPermission, args[0])
	mine := args[0] + "-mine"
	r, err := Shared(mine, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Put(r, 0, uint64(900)), r.Sync()); err != nil {
		t.Error(err)
	}
})

func TestSharedOfTwoUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be two users")
	}
	name, path := newSharedName(t)
	t.Cleanup(func() { os.Remove(path + "-mine") })
	for _, perm := range []fs.FileMode{0o600, 0o666} { // that the other cannot open, and can
		r := shared(t, name, 100)
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		before := look(t, path)
		cmd := childCommand(t, childOther, name)
		binary := filepath.Join(t.TempDir(), "test") // where the other may enter
		b, err := os.ReadFile(cmd.Path)
		if err == nil {
			err = os.WriteFile(binary, b, 0o755)
		}
		for dir := filepath.Dir(binary); err == nil && dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv(runnerVariable) == "" {
			cmd.Path = binary
		}
		cmd.Env = append(cmd.Env, "TMPDIR="+os.TempDir())
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		endChild(t, cmd)
		if after := look(t, path); after != before {
			t.Errorf("the file was %s, and is %s", before, after)
		}
		_, err = Shared(name+"-mine", 100) // root could open it, and must not trust it
		wantSentence(t, err, fs.ErrPermission, path+"-mine", "user 65534")
		r.Close()
		os.Remove(path)
		os.Remove(path + "-mine")
	}
}

func TestSharedLooksAgainIfTheNameIsRemovedMeanwhile(t *testing.T) {
	name, path := newSharedName(t)
	old := shared(t, name, 8)
	if err := Put(old, 0, uint64(900)); err != nil {
		t.Fatal(err)
	}
	looks := 0
	onCalls(t, func(call string) error {
		if call == "fstat" {
			if looks++; looks == 1 {
				return os.Remove(path)
			}
		}
		return nil
	})
	r := shared(t, name, 8)
	if x, err := Get[uint64](r, 0); err != nil || x != 0 || looks < 2 {
		t.Errorf("the memory without a name was mapped: %d, %v", x, err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 8 {
		t.Errorf("%v, %v", st, err)
	}
	// And if it is removed each time, that ends.
	onCalls(t, func(call string) error {
		if call == "fstat" {
			os.Remove(path)
		}
		return nil
	})
	_, err := Shared(name, 8)
	wantErr(t, err, fs.ErrNotExist, path)
}

// A Shared that fails takes nothing from a process that came meanwhile.
func TestAFailedSharedNeverShortens(t *testing.T) {
	name, path := newSharedName(t)
	var other *Region
	onCalls(t, func(call string) error {
		if call == "mmap" && other == nil {
			other = new(Region)
			var err error
			if other, err = Open(path, ReadWrite); err != nil { // not Shared, which takes its turn in one process
				return err
			}
			return unix.EPERM
		}
		return nil
	})
	r, err := Shared(name, 4096)
	wantErr(t, err, unix.EPERM, path)
	if r != nil {
		t.Error("a region beside the error")
	}
	need(t, other, nil)
	if err := Put(other, 4088, uint64(900)); err != nil {
		t.Errorf("the region of who came meanwhile: %v", err)
	}
}

func TestEveryRefusedCallOfSharedIsAnErrorOfThatCall(t *testing.T) {
	collectAll(t) // which closes files, too
	for _, prepare := range []string{"new", "there"} {
		name, path := newSharedName(t)
		set := func() {
			os.Remove(path)
			if prepare == "there" {
				if err := os.WriteFile(path, pattern(10), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		var calls []string
		record := func(call string) error {
			if call != "munmap" { // which the collector makes, of other regions
				calls = append(calls, call)
			}
			return nil
		}
		set()
		intercept.Store(&record)
		r, err := Shared(name, 5000)
		intercept.Store(nil)
		need(t, r, err).Close()
		before := make(map[string]int) // how many calls of that name
		for n, call := range calls {
			nth := before[call]
			before[call]++
			for _, errno := range []unix.Errno{unix.EIO, unix.EMFILE, unix.EPERM, unix.EINTR} {
				set()
				i := 0
				onCalls(t, func(c string) error {
					if c != call { // the collector may make others
						return nil
					}
					if i++; i-1 == nth || i-1 > nth && errno == unix.EINTR {
						return errno
					}
					return nil
				})
				r, err := Shared(name, 5000)
				intercept.Store(nil)
				var p *fs.PathError
				switch {
				case err == nil:
					if call == "stat" || call == "open" && errno != unix.EINTR || r.Len() != 5000 {
						t.Errorf("%s: %s number %d refused with %v: %v", prepare, call, n, errno, r)
					}
					r.Close()
				case r != nil || !errors.Is(err, errno) || !errors.As(err, &p) || p.Op != call || !strings.HasPrefix(path, p.Path):
					t.Errorf("%s: %s number %d refused with %v: %v", prepare, call, n, errno, err)
				}
				if _, err := os.Lstat(path); err == nil && call != "close" {
					if n := timesOpen(t, path); n > 0 {
						t.Errorf("%s: %s number %d refused with %v: the file is open %d times", prepare, call, n, errno, n)
					}
				}
				again := shared(t, name, 5000)
				if again.Len() != 5000 || prepare == "there" && string(contents(t, path)[:10]) != string(pattern(10)) {
					t.Errorf("and afterwards there is %v", again)
				}
				again.Close()
			}
		}
	}
	name, path := newSharedName(t)
	shared(t, name, 10)
	refusing(t, "unlink", unix.EBUSY, 1)
	wantErr(t, RemoveShared(name), unix.EBUSY, path, "unlink")
	if err := RemoveShared(name); err != nil {
		t.Error(err)
	}
}

func TestSharedWhereMemoryIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	t.Setenv("TMPDIR", dir)
	inTemporaryFolder(t)
	_, err := Shared("x", 1<<20)
	wantErr(t, err, unix.ENOSPC, filepath.Join(dir, "x"))
	if st, err := os.Stat(filepath.Join(dir, "x")); err != nil || st.Size() != 0 {
		t.Errorf("%v, %v", st, err)
	}
	// What there is room for is set aside: others cannot take it.
	r := shared(t, "x", 100<<10)
	os.WriteFile(filepath.Join(dir, "y"), make([]byte, 1<<20), 0o600)
	if err := Guard(func() error { clear(r.Bytes()); return nil }); err != nil {
		t.Errorf("a store where memory is full by now: %v", err)
	}
}
