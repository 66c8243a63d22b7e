package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// growables make a region of each kind that can grow.
var growables = map[string]func(t testing.TB, size, reserve int64) (r *Region, name string){
	"file": func(t testing.TB, size, reserve int64) (*Region, string) {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Reserve: reserve}.Create(name, size)
		return need(t, r, err), name
	},
	"sparse file": func(t testing.TB, size, reserve int64) (*Region, string) {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Reserve: reserve, Sparse: true}.Create(name, size)
		return need(t, r, err), name
	},
	"memory": func(t testing.TB, size, reserve int64) (*Region, string) {
		r, err := Config{Reserve: reserve}.Anonymous(size)
		return need(t, r, err), ""
	},
}

func TestViewsStayValidWhenTheRegionGrows(t *testing.T) {
	const size, large = 10000, 1 << 20
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			r, name := make(t, size, large)
			if r.Cap() != large {
				t.Errorf("Cap is %d, want %d", r.Cap(), large)
			}
			v, err := ViewOf[int32](r, 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			raw, ptr, addr := v.Slice(), v.Ptr(17), r.Addr()
			for i := range v.Len() {
				v.Set(i, int32(i))
			}
			for _, n := range []int64{size + 1, 2 * size, 5 * size, large} {
				old := r.Len()
				if err := r.Resize(n); err != nil {
					t.Fatal(err)
				}
				if r.Len() != int(n) || r.Addr() != addr || r.Cap() != large {
					t.Fatalf("Resize(%d): %v at %#x, was at %#x", n, r, r.Addr(), addr)
				}
				if !isZero(r.Bytes()[old:]) {
					t.Errorf("Resize(%d): what was grown into is not zero", n)
				}
				for i := range v.Len() {
					if v.At(i) != int32(i) || raw[i] != int32(i) {
						t.Fatalf("element %d is %d, %d after Resize(%d)", i, v.At(i), raw[i], n)
					}
				}
				if *ptr != 17 {
					t.Errorf("the pointer points to %d", *ptr)
				}
				// All of them are the same memory.
				raw[5] = 55
				if x, err := Get[int32](r, 20); x != 55 || err != nil {
					t.Errorf("stored through the slice 55, read %d, %v", x, err)
				}
				raw[5] = 5
				if err := Put(r, int(n)-1, uint8(1)); err != nil {
					t.Error(err)
				}
				if err := Put(r, int(n)-1, uint8(0)); err != nil {
					t.Error(err)
				}
			}
			if name != "" && !bytes.Equal(contents(t, name), r.Bytes()) {
				t.Error("the file is not what the region has")
			}
		})
	}
}

func TestShrinkingTakesBytesAwayForGood(t *testing.T) {
	page := os.Getpagesize()
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			for _, size := range []int{5 * page, 4*page + 100, 777} {
				for _, n := range []int{0, 1, page / 2, page, page + 1, 3*page - 1, size - 1} {
					if n >= size {
						continue
					}
					r, name := make(t, int64(size), int64(8*page))
					v, err := ViewOf[byte](r, 0, ToEnd)
					if err != nil {
						t.Fatal(err)
					}
					v.CopyFrom(quiet(size))
					err = r.Resize(int64(n))
					kept := name != "" && !canShortenMapped && errors.Is(err, errors.ErrUnsupported)
					if kept { // the file keeps its size, and its bytes
						name, err = "", nil
					}
					if err != nil {
						t.Fatalf("from %d to %d bytes: %v", size, n, err)
					}
					if r.Len() != n || !bytes.Equal(r.Bytes(), quiet(n)) {
						t.Errorf("from %d to %d bytes: Len is %d, or other bytes", size, n, r.Len())
					}
					if name != "" && !bytes.Equal(contents(t, name), quiet(n)) {
						t.Errorf("from %d to %d bytes: the file has others", size, n)
					}
					if _, err := r.ReadAt(p1(), int64(n)); err == nil {
						t.Errorf("from %d to %d bytes: the byte beyond can be read", size, n)
					}
					if gone := int(roundUp(uintptr(n), uintptr(page))); gone < size {
						err := Guard(func() error { sinkInt += int64(v.At(gone)); return nil })
						wantFault(t, "a view beyond the new end", err, r, r.o.mapping.name, gone, ErrTruncated)
					}
					if err := r.Resize(int64(8 * page)); err != nil {
						t.Fatalf("from %d to %d and all bytes: %v", size, n, err)
					}
					if !bytes.Equal(r.Bytes()[:n], quiet(n)) || !isZero(r.Bytes()[n:]) && !kept {
						t.Errorf("from %d to %d and all bytes: what was taken away came back", size, n)
					}
				}
			}
		})
	}
}

func TestShrinkingMemoryGivesItBack(t *testing.T) {
	const size = 64 << 20
	r, err := Anonymous(size)
	need(t, r, err)
	before := processStatus(t, "VmRSS")
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	v.Fill(1)
	full := processStatus(t, "VmRSS")
	if err := r.Resize(100); err != nil {
		t.Fatal(err)
	}
	after := processStatus(t, "VmRSS")
	if full-before < size/1024/2 || full-after < size/1024/2 {
		t.Errorf("resident: %d KiB, %d when stored to, %d when shrunk", before, full, after)
	}
}

func TestAHugeReservationCostsNothing(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("a 32-bit address space has no 1 TiB to reserve")
	}
	var reserve int64 = 1 << 40
	for what, make := range growables {
		t.Run(what, func(t *testing.T) {
			rss, tables := processStatus(t, "VmRSS"), processStatus(t, "VmPTE")
			r, _ := make(t, 4096, reserve)
			if int64(r.Cap()) != reserve {
				t.Fatalf("Cap is %d", r.Cap())
			}
			if err := Put(r, 0, int64(1)); err != nil {
				t.Fatal(err)
			}
			if err := r.Resize(8192); err != nil {
				t.Fatal(err)
			}
			if err := Put(r, 8184, int64(1)); err != nil {
				t.Fatal(err)
			}
			// The page tables alone of 1 TiB would be 2 GiB.
			if got := processStatus(t, "VmRSS") - rss; got > 4096 {
				t.Errorf("1 TiB reserved over 4 KiB costs %d KiB of memory", got)
			}
			if got := processStatus(t, "VmPTE") - tables; got > max(256, 8*os.Getpagesize()/1024) {
				t.Errorf("1 TiB reserved over 4 KiB costs %d KiB of page tables", got)
			}
		})
	}
}

func TestResizeBeyondCapIsRefused(t *testing.T) {
	for what, make := range growables {
		r, name := make(t, 10000, 20000)
		for _, n := range []int64{20001, -1, math.MaxInt64, math.MinInt64} {
			limit := "20000"
			if n < 0 {
				limit = "may not be negative"
			}
			wantErr(t, r.Resize(n), ErrRange, limit, strconv.FormatInt(n, 10))
		}
		if r.Len() != 10000 {
			t.Errorf("%s: Len is %d after Resizes that were refused", what, r.Len())
		}
		if name != "" && len(contents(t, name)) != 10000 {
			t.Errorf("%s: the file's size changed", what)
		}
		if err := r.Resize(20000); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestARegionThatCannotWriteCannotResize(t *testing.T) {
	name := tempFile(t, quiet(10000))
	for _, mode := range []Mode{ReadOnly, CopyOnWrite} {
		r, err := Config{Mode: mode, Reserve: 20000}.Open(name)
		need(t, r, err)
		for _, n := range []int64{0, 5000, 10000, 20000} {
			wantErr(t, r.Resize(n), ErrReadOnly, name, mode.String())
		}
	}
	w, err := Config{Mode: ReadWrite, Reserve: 20000}.Open(name)
	need(t, w, err)
	if err := w.Protect(ReadOnly); err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.Resize(5), ErrReadOnly, name)
	if len(contents(t, name)) != 10000 {
		t.Error("the file's size changed")
	}
}

var childResizer = registerChild("one that changes a file's size", func(t testing.TB, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Stat(args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(args[0], size); err != nil {
		t.Fatal(err)
	}
	if size > old.Size() {
		f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(quiet(int(size))[old.Size():], old.Size()); err != nil {
			t.Fatal(err)
		}
	}
})

func TestRefreshTakesUpWhatAnotherProcessDidToTheSize(t *testing.T) {
	page := os.Getpagesize()
	size, reserve := 2*page+1808, 24*page+1696
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		for _, offset := range []int{0, 5, page + 8} {
			name := tempFile(t, quiet(size))
			r, err := Config{Mode: mode, Offset: int64(offset), Reserve: int64(reserve)}.Open(name)
			need(t, r, err)
			v, err := ViewOf[byte](r, 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			addr := r.Addr()
			sizes := []int{5*page - 480, 37 * page, 4*page - 1384, 4*page - 1384, offset + 3, offset, offset / 2, 7*page + 1328}
			if leavesOut(t, "another process makes the file shorter") {
				sizes = []int{5*page - 480, 5*page - 479, 7*page + 1328, 37 * page}
			}
			for _, now := range sizes {
				runChild(t, childResizer, name, strconv.Itoa(now))
				was := r.Len()
				if r.Len() != was {
					t.Errorf("Len changed without Refresh")
				}
				if err := r.Refresh(); err != nil {
					t.Fatal(err)
				}
				want := min(max(now-offset, 0), reserve)
				if r.Len() != want || r.Addr() != addr {
					t.Errorf("%v from %d: Len is %d with a file of %d bytes, want %d", mode, offset, r.Len(), now, want)
					break
				}
				if got := contents(t, name)[min(offset, now):min(offset+want, now)]; !bytes.Equal(r.Bytes(), got) {
					t.Errorf("%v from %d: other bytes than the file's %d", mode, offset, now)
				}
				if v.Len() <= want && v.At(v.Len()-1) != r.Bytes()[v.Len()-1] {
					t.Errorf("%v from %d: the view from before Refresh reads something else", mode, offset)
				}
			}
		}
	}
}

func TestRefreshNeedsNoName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no file that is mapped")
	}
	name := tempFile(t, quiet(100))
	r := open(t, name, ReadOnly)
	w := open(t, name, ReadWrite)
	if err := errors.Join(os.Remove(name), os.WriteFile(name, quiet(5), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Region{r, w} {
		if err := r.Refresh(); err != nil || r.Len() != 100 {
			t.Errorf("Refresh of a region of a removed file: %v, Len %d", err, r.Len())
		}
	}
}

// A window is a region that ends before its file does.
func TestAWindowNeverCutsWhatLiesBeyondIt(t *testing.T) {
	page := os.Getpagesize()
	size := 10 * page
	for _, sparse := range []bool{false, true} {
		for _, offset := range []int{0, 5, page} {
			name := tempFile(t, quiet(size))
			r, err := Config{Mode: ReadWrite, Offset: int64(offset), Length: int64(2 * page), Reserve: int64(20 * page), Sparse: sparse}.Open(name)
			need(t, r, err)
			for _, n := range []int{page, 0, 3 * page, 1, 5*page + 7, 2} {
				if err := r.Resize(int64(n)); err != nil {
					t.Fatal(err)
				}
				if r.Len() != n || !bytes.Equal(r.Bytes(), quiet(size)[offset:offset+n]) {
					t.Errorf("from %d, Resize(%d): Len %d, or other bytes", offset, n, r.Len())
				}
				if !bytes.Equal(contents(t, name), quiet(size)) {
					t.Fatalf("from %d, Resize(%d) changed the file", offset, n)
				}
			}
			// Grown beyond the file's end, the region has no window any more.
			if err := r.Resize(int64(15 * page)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); len(got) != offset+15*page || !bytes.Equal(got[:size], quiet(size)) || !isZero(got[size:]) {
				t.Errorf("grown beyond the file's end: the file has %d bytes, or others", len(got))
			}
			if err := r.Resize(int64(page)); leavesOut(t, "the file gets shorter") {
				wantErr(t, err, errors.ErrUnsupported, name)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); !bytes.Equal(got, quiet(size)[:offset+page]) {
				t.Errorf("shrunk from the file's end: the file has %d bytes, or others", len(got))
			}
		}
	}
}

func TestGrowthKeepsWhatAnotherProcessAppended(t *testing.T) {
	page := os.Getpagesize()
	for _, sparse := range []bool{false, true} {
		name := tempFile(t, quiet(page))
		r, err := Config{Mode: ReadWrite, Reserve: int64(20 * page), Sparse: sparse}.Open(name)
		need(t, r, err)
		runChild(t, childResizer, name, strconv.Itoa(5*page))
		for _, n := range []int{2 * page, page, 3 * page, 100} {
			if err := r.Resize(int64(n)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, name); !bytes.Equal(got, quiet(5*page)) {
				t.Fatalf("sparse %v: Resize(%d) changed a file that goes on beyond the region: it has %d bytes", sparse, n, len(got))
			}
			if !bytes.Equal(r.Bytes(), quiet(n)) {
				t.Errorf("sparse %v: Resize(%d): what was appended cannot be read", sparse, n)
			}
		}
	}
}

func TestAWindowThatShrankIsFencedOff(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(8*page))
	r, err := Config{Mode: ReadWrite, Offset: int64(page) + 10, Length: int64(5 * page)}.Open(name)
	need(t, r, err)
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	// The region's pages end at multiples of the page in the file.
	beyond := func(n int) int { return (n+10+page-1)/page*page - 10 }
	for _, n := range []int{3*page + 1, 2 * page, 10, 1, 0, 4 * page, 100} {
		if err := r.Resize(int64(n)); err != nil {
			t.Fatal(err)
		}
		end := beyond(n)
		if n == 0 {
			end = 0
		}
		for _, mode := range []Mode{ReadWrite, ReadOnly, ReadWrite} {
			if err := r.Protect(mode); err != nil {
				t.Fatal(err)
			}
			err := Guard(func() error { sinkInt64(int64(v.At(end))); return nil })
			wantFault(t, fmt.Sprintf("%d bytes, %v: load", n, mode), err, r, name, end, ErrTruncated)
			if end > 0 {
				if err := Guard(func() error { sinkInt64(int64(v.At(end - 1))); return nil }); err != nil {
					t.Errorf("%d bytes, %v: byte %d: %v", n, mode, end-1, err)
				}
			}
		}
		err := Guard(func() error { v.Set(end, 0xee); return nil })
		wantFault(t, fmt.Sprintf("%d bytes: store", n), err, r, name, end, ErrTruncated)
	}
	if err := r.Resize(int64(5 * page)); err != nil {
		t.Fatal(err)
	}
	if err := Guard(func() error { v.Set(5*page-1, v.At(5*page-1)); return nil }); err != nil {
		t.Errorf("grown again: %v", err)
	}
	if !bytes.Equal(contents(t, name), quiet(8*page)) {
		t.Error("the file has other bytes now")
	}
}

func TestProtectReachesWhatRefreshGaveUp(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, quiet(4*page))
	r := open(t, name, CopyOnWrite)
	v, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	shortensMapped(t)
	steps := []func() error{
		func() error { return os.Truncate(name, int64(page)) },
		r.Refresh,
		func() error { return r.Protect(ReadOnly) },
		func() error { return os.Truncate(name, int64(4*page)) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if err := Guard(func() error { v.Set(3*page, 1); return nil }); !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrTruncated) {
		t.Errorf("a store in a read-only region: %v", err)
	}
}

func TestRegionsOfOneProcessGrowAFileAtTheSameTime(t *testing.T) {
	needMappings(t)
	growsFiles(t)
	page := os.Getpagesize()
	name := tempFile(t, nil)
	c := Config{Mode: ReadWrite, Reserve: int64(64 * page), Sparse: true}
	for i := range rounds(2000) {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
		var grown sync.WaitGroup
		var errs [2]error
		var regions [2]*Region
		for g := range regions {
			r, err := c.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			regions[g] = r
		}
		for g, r := range regions {
			grown.Go(func() {
				n := (1 + 2*g) * page
				if errs[g] = r.Resize(int64(n)); errs[g] == nil {
					errs[g] = Put(r, n-1, byte(g+1))
				}
			})
		}
		grown.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if b := contents(t, name); len(b) != 3*page || b[page-1] != 1 || b[3*page-1] != 2 {
			t.Fatalf("round %d: the file has %d bytes, not all that was stored", i, len(b))
		}
		for _, r := range regions {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
