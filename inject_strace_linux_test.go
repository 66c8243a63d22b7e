//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The same through the real system: strace(1) makes calls of a child fail. Only
// such that neither the Go runtime nor the system's loader makes.

// straced is what strace injects, and what a child must then find.
var straced = map[string]func(t testing.TB, name string){
	"fallocate:error=ENOSPC": func(t testing.TB, name string) {
		_, err := Create(name, 1000)
		wantErr(t, err, unix.ENOSPC, "fallocate", name)
		if _, err := os.Lstat(name); err == nil {
			t.Error("the file is there")
		}
	},
	"fallocate:error=EOPNOTSUPP": createWorks,
	"fallocate:error=EINTR":      createWorks,
	"ftruncate:error=EFBIG:when=2": func(t testing.TB, name string) {
		r, err := Config{Sparse: true, Reserve: 1 << 20}.Create(name, 1000)
		need(t, r, err)
		wantErr(t, r.Resize(5000), unix.EFBIG, "ftruncate", name)
		if b := contents(t, name); len(b) != 1000 || r.Len() != 1000 {
			t.Errorf("the file has %d bytes, the region %d", len(b), r.Len())
		}
		if err := r.Resize(5000); err != nil {
			t.Error(err)
		}
	},
	"msync:error=EIO:when=1":           neverForgotten("msync", (*Region).Sync),
	"fsync:error=EIO:when=1":           neverForgotten("fsync", (*Region).Sync),
	"fsync:error=EIO:when=2":           neverForgotten("fsync", (*Region).Sync), // of the directory
	"sync_file_range:error=EIO:when=1": neverForgotten("sync_file_range", func(r *Region) error { return r.Flush(0, ToEnd) }),
	"fstatfs:error=ENOSYS": func(t testing.TB, name string) {
		memory := &stage{TB: t}
		memFile(memory)
		r, err := Map(memory.f, ReadWrite)
		need(t, r, err)
		if err := errors.Join(Put(r, 0, uint8(1)), r.Sync(), r.Close()); err != nil {
			t.Error(err)
		}
	},
}

func createWorks(t testing.TB, name string) {
	r, err := Config{Reserve: 1 << 20}.Create(name, 1000)
	need(t, r, err)
	if err := errors.Join(Put(r, 999, uint8(1)), r.Resize(100_000), Put(r, 99_999, uint8(1)), r.Sync()); err != nil {
		t.Error(err)
	}
	if b := contents(t, name); len(b) != 100_000 || b[999] != 1 || b[99_999] != 1 {
		t.Errorf("the file has %d bytes, or others", len(b))
	}
}

// neverForgotten is a write-back that fails once.
func neverForgotten(call string, fn func(r *Region) error) func(t testing.TB, name string) {
	return func(t testing.TB, name string) {
		r, err := Create(name, 1000)
		need(t, r, err)
		copy(r.Bytes(), pattern(1000))
		wantErr(t, fn(r), unix.EIO, call, name)
		other := open(t, name, ReadWrite)
		for _, r := range []*Region{r, r, other} {
			wantErr(t, r.Sync(), unix.EIO, call, name)
		}
		r.Close()
		other.Close()
		if err := open(t, name, ReadWrite).Sync(); err != nil {
			t.Errorf("after all regions were closed: %v", err)
		}
	}
}

func TestSystemCallsThatReallyFail(t *testing.T) {
	if os.Getenv(runnerVariable) != "" {
		t.Skip("strace cannot look into an emulated processor")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("strace is needed: %v", err)
	}
	if out, err := exec.Command(strace, "-f", "-e", "inject=fsync:error=EIO:when=1", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace: %v: %s", err, bytes.TrimSpace(out))
	}
	for what := range straced {
		t.Run(what, func(t *testing.T) {
			call, how, _ := strings.Cut(what, ":")
			call = "/^" + call + "(64)?$" // as 32-bit machines call some
			cmd := childCommand(t, childStraced, what, filepath.Join(t.TempDir(), "f"))
			log := filepath.Join(t.TempDir(), "log")
			cmd.Args = append([]string{strace, "-f", "-o", log, "-e", "trace=" + call, "-e", "inject=" + call + ":" + how}, cmd.Args...)
			cmd.Path = strace
			endChild(t, cmd)
			if !bytes.Contains(contents(t, log), []byte("(INJECTED)")) {
				t.Errorf("nothing was refused: %s", contents(t, log))
			}
		})
	}
}

var childStraced = registerChild("under strace", func(t testing.TB, args []string) {
	runtime.LockOSThread() // strace counts for each thread by itself
	straced[args[0]](t, args[1])
})
