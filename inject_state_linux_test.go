//go:build !mmap_posix

package mmap

import (
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"testing"
)

// What the tests of failure paths compare.

// A state is all that an operation may leave wrong.
type state struct {
	Len, Cap    int
	Mode        Mode
	Bytes       string // of the region
	File        string // its bytes
	Pages       string // the accessible ones of the region
	Descriptors int
	Inodes      int // see file.go
	Regions     int // open ones: how many
	Space       int // and their bytes of address space
	Locked      int // KiB
	Process     int // KiB of address space; since the start, in large reservations
}

const noFileThere = "no file"

// summary tells bytes from others, in short.
func summary(b []byte) string {
	return fmt.Sprintf("%d bytes that sum up to %#x", len(b), crc32.ChecksumIEEE(b))
}

func (s *stage) state() (st state) {
	s.Helper()
	if s.r != nil {
		st.Len, st.Cap, st.Mode = s.r.Len(), s.r.Cap(), s.r.Mode()
		b := make([]byte, st.Len)
		if n, err := s.r.ReadAt(b, 0); n != st.Len || err != nil && st.Len > 0 {
			s.Errorf("%d of %d bytes can be read: %v", n, st.Len, err)
		}
		st.Bytes = summary(b)
		st.Pages = accessible(s, s.r.o.mapping)
	}
	name := s.name
	if s.f != nil {
		name = fmt.Sprintf("/proc/self/fd/%d", s.f.Fd())
	}
	b, err := os.ReadFile(name)
	if st.File = summary(b); err != nil {
		st.File = noFileThere
	}
	st.Descriptors = len(descriptors(s))
	inodes.Lock()
	st.Inodes = len(inodes.of)
	inodes.Unlock()
	registry.mu.Lock()
	st.Regions, st.Space = openBelow(registry.root)
	registry.mu.Unlock()
	st.Locked = processStatus(s, "VmLck")
	st.Process = processStatus(s, "VmSize")
	return st
}

// openBelow counts the open mappings of a tree, and their bytes. When the collector
// finds the tombstones of earlier cases makes no difference.
func openBelow(m *mapping) (count, bytes int) {
	if m == nil {
		return 0, 0
	}
	count, bytes = openBelow(m.node.left)
	n, size := openBelow(m.node.right)
	count, bytes = count+n, bytes+size
	if !m.closed.Load() {
		count, bytes = count+1, bytes+int(m.node.size)
	}
	return count, bytes
}

// since is the state with the counts of what was not there at the start.
func (st state) since(start state) state {
	st.Descriptors -= start.Descriptors
	st.Inodes -= start.Inodes
	st.Regions -= start.Regions
	st.Space -= start.Space
	st.Process = reservations(st.Process - start.Process)
	return st
}

// accessible says which pages of a region's space can be accessed, and how.
func accessible(t testing.TB, m *mapping) string {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	base, last := uintptr(m.space.addr), uintptr(0)
	for line := range strings.Lines(string(b)) {
		first, rest, _ := strings.Cut(line, "-")
		next, perms, _ := strings.Cut(rest, " ")
		perms, _, _ = strings.Cut(perms, " ")
		start, end := hexadecimal(first), hexadecimal(next)
		start, end = max(start, base), min(end, base+m.request.size)
		if start >= end || perms[:3] == "---" {
			continue
		}
		if n := len(all); n > 0 && last == start && strings.HasSuffix(all[n-1], perms) {
			start -= base
			fmt.Sscanf(all[n-1], "%d", &start)
			all = all[:n-1]
			start += base
		}
		all, last = append(all, fmt.Sprintf("%d to %d %s", start-base, end-base, perms)), end
	}
	return strings.Join(all, ", ")
}

func hexadecimal(s string) uintptr {
	n, _ := strconv.ParseUint(s, 16, 64)
	return uintptr(n)
}

// descriptors returns the open files of the process, but for those that the Go
// runtime opens for itself.
func descriptors(t testing.TB) (open []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") {
			open = append(open, e.Name()+" "+to)
		}
	}
	return open
}

// checkNothingIsLeft checks that all regions of the process are gone once the
// collector has seen that they can be.
func checkNothingIsLeft(t testing.TB, what string) {
	t.Helper()
	collectTill(t, func() bool {
		rawQuarantine.giveWay()
		registry.mu.Lock()
		defer registry.mu.Unlock()
		return registry.count == 0 && registry.bytes == 0
	})
	if left := len(heldIn(&rawQuarantine)) + len(heldIn(&guardQuarantine)); left > 0 {
		t.Errorf("%s: %d regions are held when all are unmapped", what, left)
	}
	unmapped.mu.Lock()
	defer unmapped.mu.Unlock()
	if left := len(unmapped.left); left > 0 {
		t.Errorf("%s: %d pieces of address space are to be unmapped yet", what, left)
	}
	tombstones.mu.Lock()
	defer tombstones.mu.Unlock()
	if tombstones.now != (allowance{}) {
		t.Errorf("%s: tombstones of %v are counted, and there are none", what, tombstones.now)
	}
}

// reservations returns how many large reservations so many KiB of address space
// are. In comparison with one, Go's own growth is small, but for addresses that
// are short.
func reservations(kib int) int {
	const unit = largeReserve >> 10
	return int(is64) * ((kib + unit/2) / unit)
}
