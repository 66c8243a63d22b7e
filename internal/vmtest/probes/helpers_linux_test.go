package probes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must ends a test at an error that is not what it is about.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// wants checks that an error is of a kind, and says these words.
func wants(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("error is %v, want one that is %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// mounted is a folder with a new mount.
func mounted(t testing.TB, device, kind, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount(device, dir, kind, 0, options); err != nil {
		t.Fatalf("mount %s as %s with %q: %v", device, kind, options, err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// read returns what a file of the kernel's says.
func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return strings.TrimSpace(string(b))
}

// turn writes to a switch of the kernel until the test ends. Of a choice such as
// "always [madvise] never" the old value is the one in brackets.
func turn(t testing.TB, name, to string) {
	t.Helper()
	old := read(t, name)
	if _, chosen, is := strings.Cut(old, "["); is {
		old, _, _ = strings.Cut(chosen, "]")
	}
	must(t, os.WriteFile(name, []byte(to), 0))
	t.Cleanup(func() { os.WriteFile(name, []byte(old), 0) })
}

// smaps returns what /proc/self/smaps says of the mapping that holds an address, by
// field. Sizes are in bytes.
func smaps(t testing.TB, addr uintptr) (size func(field string) int, flags string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	must(t, err)
	fields := make(map[string]string)
	in := false
	for line := range bytes.Lines(b) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(string(line), "%x-%x ", &from, &to); n == 2 {
			in = from <= addr && addr < to
		} else if name, value, ok := strings.Cut(string(line), ":"); in && ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return func(field string) int {
		kib, err := strconv.Atoi(strings.TrimSuffix(fields[field], " kB"))
		if err != nil {
			t.Fatalf("smaps has %q for %s at %#x", fields[field], field, addr)
		}
		return kib << 10
	}, " " + fields["VmFlags"] + " "
}

// hugeSizes are the sizes in bytes of the huge pages that this machine has.
func hugeSizes(t testing.TB) (sizes []int) {
	dirs, _ := filepath.Glob("/sys/kernel/mm/hugepages/*")
	for _, dir := range dirs {
		var kib int
		if n, _ := fmt.Sscanf(filepath.Base(dir), "hugepages-%dkB", &kib); n != 1 {
			t.Fatalf("%s is no pool", dir)
		}
		sizes = append(sizes, kib<<10)
	}
	return sizes
}

// A pool is what the kernel says of its huge pages of one size.
type pool struct{ all, free, aside, surplus int }

func poolOf(t testing.TB, size int) (p pool) {
	t.Helper()
	for name, to := range map[string]*int{"nr": &p.all, "free": &p.free, "resv": &p.aside, "surplus": &p.surplus} {
		n, err := strconv.Atoi(read(t, fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB/%s_hugepages", size>>10, name)))
		must(t, err)
		*to = n
	}
	return p
}

// isNow checks what became of a pool.
func isNow(t testing.TB, what string, size int, want pool) {
	t.Helper()
	if got := poolOf(t, size); got != want {
		t.Errorf("%s: the pool is %+v, want %+v", what, got, want)
	}
}

// kernelIs reports whether the kernel is as new as that.
func kernelIs(t testing.TB, major, minor int) bool {
	var u unix.Utsname
	must(t, unix.Uname(&u))
	var a, b int
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}
