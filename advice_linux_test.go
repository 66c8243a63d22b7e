package mmap

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hasFlag reports whether the kernel has set one of its flags on the mapping at addr.
func hasFlag(t *testing.T, addr uintptr, flag string) bool {
	t.Helper()
	v, ok := vmaAt(t, addr)
	if !ok || v.flags == "" {
		t.Fatalf("nothing is known of the mapping at %#x", addr)
	}
	return strings.Contains(v.flags+" ", " "+flag+" ")
}

func TestAdviceReachesTheKernelForThePagesOfItsBytes(t *testing.T) {
	needLinuxWays(t, "flags to look at")
	page := os.Getpagesize()
	name := tempFile(t, pattern(8*page))
	for _, tt := range []struct {
		set, clear Advice
		flag       string
		needs      string // of the kernel
		memoryOnly bool
	}{
		{Sequential, Normal, "sr", "", false},
		{Random, Normal, "rr", "", false},
		{DontDump, DoDump, "dd", "", false},
		{HugePage, NoHugePage, "hg", "/sys/kernel/mm/transparent_hugepage", false},
		{NoHugePage, HugePage, "nh", "/sys/kernel/mm/transparent_hugepage", false},
		{Mergeable, Unmergeable, "mg", "/sys/kernel/mm/ksm", true},
		{WipeOnFork, KeepOnFork, "wf", "", true},
	} {
		t.Run(tt.set.String(), func(t *testing.T) {
			if tt.needs != "" {
				if _, err := os.Stat(tt.needs); err != nil {
					t.Skipf("this kernel was built without it: %v", err)
				}
			}
			m := anonymousRegion(t, int64(8*page))
			f, err := Config{Mode: ReadWrite, Offset: 100}.Open(name)
			need(t, f, err)
			for _, r := range []*Region{m, f} {
				if tt.memoryOnly && r == f {
					continue // private memory only: TestAdviceThatIsNotForThisKindOfMemory
				}
				off, n := 3*page-1-int(r.Offset()), 2 // of pages 2 and 3
				if err := r.Advise(off, n, tt.set); err != nil {
					t.Fatal(err)
				}
				first := r.Addr() - uintptr(r.Offset())
				for i := range 8 {
					if got, want := hasFlag(t, first+uintptr(i*page), tt.flag), i == 2 || i == 3; got != want {
						t.Errorf("%v: page %d has the flag %q: %v, want %v", r, i, tt.flag, got, want)
					}
				}
				if err := r.Advise(off, n, tt.clear); err != nil {
					t.Fatal(err)
				}
				if hasFlag(t, first+uintptr(2*page), tt.flag) || hasFlag(t, first+uintptr(3*page), tt.flag) {
					t.Errorf("%v: %v does not take %v back", r, tt.clear, tt.set)
				}
			}
		})
	}
}

// What loses bytes must not lose its neighbours', and all else must reach whole pages.
func TestAdviceThatLosesBytesRoundsInwards(t *testing.T) {
	needLinuxWays(t, "advice that loses bytes")
	page := os.Getpagesize()
	size := 6*page + 10 // the last page is the region's alone, up to its end
	data := pattern(size)
	lost := func(from, to int, instead []byte) []byte {
		want := bytes.Clone(data)
		copy(want[from:to], instead[from:to])
		return want
	}
	zero, old := make([]byte, size), pattern(size)
	for i := range old {
		old[i] ^= 0xff
	}
	memory := func(t *testing.T) *Region {
		r := anonymousRegion(t, int64(size))
		copy(r.Bytes(), data)
		return r
	}
	private := func(t *testing.T) *Region {
		r := open(t, tempFile(t, old), CopyOnWrite)
		copy(r.Bytes(), data)
		return r
	}
	for _, tt := range []struct {
		what   string
		make   func(t *testing.T) *Region
		off, n int
		advice Advice
		want   []byte
	}{
		{"less than a page of memory", memory, page + 1, page - 1, DontNeed, data},
		{"a page of memory and one byte", memory, page - 1, page + 1, DontNeed, lost(page, 2*page, zero)},
		{"the last page of memory", memory, 5*page + 1, ToEnd, DontNeed, lost(6*page, size, zero)},
		{"the last page of memory but for its last byte", memory, 6 * page, 9, DontNeed, data},
		{"all memory", memory, 0, ToEnd, DontNeed, zero},
		{"a page of a private file", private, 1, 2*page - 1, DontNeed, lost(page, 2*page, old)},
		{"all of a private file", private, 0, ToEnd, DontNeed, old},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := tt.make(t)
			if err := r.Advise(tt.off, tt.n, tt.advice); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.Bytes(), tt.want) {
				t.Errorf("other bytes than wanted are lost, from byte %d on", firstDifference(r.Bytes(), tt.want))
			}
		})
	}
}

func TestRemoveMakesAHoleOfWholePagesInTheFile(t *testing.T) {
	needLinuxWays(t, "advice that loses bytes")
	page := os.Getpagesize()
	data := pattern(6 * page)
	name := tempFile(t, data)
	// The region begins in page 0 and ends in page 3: neither is its alone.
	r, err := Config{Mode: ReadWrite, Offset: 100, Length: int64(3 * page)}.Open(name)
	need(t, r, err)
	err = r.Advise(0, ToEnd, Remove)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("the file system of temporary files makes no holes: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(data)
	clear(want[page : 3*page])
	if got := contents(t, name); !bytes.Equal(got, want) {
		t.Errorf("the file differs from what is wanted at byte %d", firstDifference(got, want))
	}
	wantErr(t, open(t, name, ReadOnly).Advise(0, ToEnd, Remove), ErrReadOnly, name, "Remove")
}

func TestAdviceThatIsNotForThisKindOfMemory(t *testing.T) {
	needLinuxWays(t, "such advice")
	name := tempFile(t, pattern(100))
	memory, f := anonymousRegion(t, 100), open(t, name, ReadWrite)
	for _, tt := range []struct {
		r      *Region
		advice Advice
		words  string
	}{
		{f, Free, "not for files"},
		{f, WipeOnFork, "only for private memory"},
		{memory, Remove, "only for files and shared memory"},
		{memory, Advice(-1), "no such advice"},
		{memory, Advice(99), "no such advice"},
	} {
		wantSentence(t, tt.r.Advise(0, ToEnd, tt.advice), errors.ErrUnsupported, tt.words, tt.advice.String(), tt.r.Name(), "offset 0", "100 bytes")
	}
	r, err := Config{Lock: true}.Anonymous(100)
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		t.Skipf("RLIMIT_MEMLOCK does not allow a page: %v", err)
	}
	need(t, r, err)
	err = r.Advise(0, ToEnd, DontNeed)
	wantSentence(t, err, errors.ErrUnsupported, "not for locked pages")
	wantErr(t, err, unix.EINVAL)
}

// Every piece of advice is taken for memory, or for files, or is not known to the
// kernel, and then the error says so. Bytes stay, unless they are to be lost.
func TestEveryAdviceIsTakenOrItsErrorSaysWhoTakesIt(t *testing.T) {
	page := os.Getpagesize()
	data := pattern(4*page + 1)
	for a := range Advice(len(adviceNames)) {
		taken := 0
		for _, c := range []Config{{Mode: ReadOnly}, {Mode: ReadWrite, Offset: 1}, {Mode: CopyOnWrite}} {
			name := tempFile(t, data)
			r, err := c.Open(name)
			need(t, r, err)
			err = r.Advise(0, ToEnd, a)
			if err == nil {
				taken++
			} else if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, ErrReadOnly) {
				t.Errorf("%v of a %v file: %v", a, c.Mode, err)
			}
			if a != Remove && !bytes.Equal(r.Bytes(), data[c.Offset:]) {
				t.Errorf("%v of a %v file loses bytes", a, c.Mode)
			}
		}
		r := anonymousRegion(t, int64(len(data)))
		copy(r.Bytes(), data)
		if err := r.Advise(0, ToEnd, a); err == nil {
			taken++
		} else if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("%v of memory: %v", a, err)
		}
		if a != DontNeed && a != Free && !bytes.Equal(r.Bytes(), data) {
			t.Errorf("%v of memory loses bytes", a)
		}
		if taken == 0 {
			err := r.Advise(0, ToEnd, a)
			t.Logf("taken by nothing: %v", err)
			wantSentence(t, err, errors.ErrUnsupported, a.String())
		}
	}
}

func TestPopulateWriteTakesDiskSpaceForHoles(t *testing.T) {
	page := os.Getpagesize()
	r, err := Config{Sparse: true}.Create(t.TempDir()+"/sparse", int64(4*page))
	need(t, r, err)
	if err := r.Advise(page, page, PopulateWrite); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(r.Name(), &st); err != nil {
		t.Fatal(err)
	}
	if got := st.Blocks * 512; got < int64(page) || got >= int64(4*page) {
		t.Errorf("the file has %d bytes on the disk, want those of one page", got)
	}
	ro := open(t, r.Name(), ReadOnly)
	wantSentence(t, ro.Advise(0, 1, PopulateWrite), ErrReadOnly, "PopulateWrite", r.Name())
}
