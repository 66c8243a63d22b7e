package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// newGroup makes a memory cgroup of so many bytes, and returns its folder.
func newGroup(t *testing.T, limit int) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a memory cgroup needs root")
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("no cgroups:", err)
	}
	file, swap := "", ""
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) < 3:
		case fields[1] == "memory": // version 1: within ours
			dir, file, swap = filepath.Join("/sys/fs/cgroup/memory", fields[2]), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
		case fields[0] == "0" && file == "": // version 2: beside ours, because one with processes has none within
			dir, file, swap = filepath.Join("/sys/fs/cgroup", filepath.Dir(fields[2])), "memory.max", "memory.swap.max"
		}
	}
	dir = filepath.Join(dir, fmt.Sprintf("bigsort-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("no memory cgroup can be made:", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, limit), 0); err != nil {
		t.Skip("no memory cgroup can have a limit:", err)
	}
	max := limit // of memory and swap
	if swap == "memory.swap.max" {
		max = 0
	}
	os.WriteFile(filepath.Join(dir, swap), fmt.Append(nil, max), 0) // a kernel without it has no swap
	return dir
}

// evict puts a file out of memory, so that who brings it in is charged for it.
func evict(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

func TestSortsAFileFourTimesTheMemoryLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds")
	}
	const limit = 16 << 20
	dir := newGroup(t, limit)
	n := 4 * limit / bytesOfNumber
	name := filepath.Join(t.TempDir(), "numbers")
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(name), &fs); err != nil {
		t.Fatal(err)
	} else if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("the temporary folder is in memory (tmpfs)")
	}
	if raceEnabled {
		t.Skip("the race detector needs more memory")
	}
	if err := writeRandom(name, n, 1); err != nil {
		t.Fatal(err)
	}
	before, _, err := look(name)
	if err != nil {
		t.Fatal(err)
	}
	within := func(args ...string) ([]byte, error) {
		evict(t, name)
		shell := `echo $$ >"$0" && exec "$@"`
		args = append([]string{"-c", shell, filepath.Join(dir, "cgroup.procs"), os.Args[0]}, args...)
		return asProgram(exec.Command("sh", args...)).CombinedOutput()
	}

	// The ordinary way needs more than there is. It is killed while it reads.
	out, err := within("-file", name, "-heap")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("in the heap, with a quarter of the memory: %v: %s", err, out)
	}
	if sum, _, err := look(name); err != nil || sum != before {
		t.Fatalf("the file has changed: %v", err)
	}

	out, err = within("-file", name, "-buffer", "1")
	if err != nil {
		t.Fatalf("in place: %v: %s", err, out)
	}
	_, text, _ := strings.Cut(string(out), "and at most ")
	most := 0 // with pages of the program itself, for which others were charged
	if fmt.Sscanf(text, "%d MiB", &most); most == 0 || most > 2*limit>>20 {
		t.Errorf("the limit was none: %s", out)
	}
	t.Logf("%s", out)
	if sum, sorted, err := look(name); err != nil || !sorted || sum != before {
		t.Errorf("sorted %t, the same numbers %t, %v", sorted, sum == before, err)
	}
}
