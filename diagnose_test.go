package mmap

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// The table of causes, argued row by row. The rows exclude each other, and leave
// out nothing that can happen, so their order does not matter.
var causes = []struct {
	name  string
	when  func(f findings) bool
	cause error
}{
	{"closed by now, whatever else there was", func(f findings) bool { return f.closed }, ErrClosed},
	{"the file has no such page", func(f findings) bool { return !f.closed && f.missing }, ErrTruncated},
	{"another process is changing the size", func(f findings) bool { return !f.closed && !f.missing && f.changed }, ErrTruncated},

	// From here on the file has the page, if it is a file that has a size.
	{"store: the region is read-only, and a load passes", func(f findings) bool {
		return there(f) && f.touch && f.loads && mayStore(f) && f.mode == ReadOnly
	}, ErrReadOnly},
	{"beyond the end, where nothing passes", func(f findings) bool {
		return there(f) && f.touch && !f.within && !f.loads
	}, ErrTruncated},
	{"beyond the end, where it passes by now", func(f findings) bool {
		return there(f) && !f.within && f.loads && !(mayStore(f) && f.mode == ReadOnly)
	}, ErrTruncated},
	{"the disk does not give the page", func(f findings) bool {
		return there(f) && f.touch && f.within && !f.loads
	}, ErrIO},
	{"store: the disk does not take the page", func(f findings) bool {
		return writable(f) && !f.stores
	}, ErrIO},
	{"store: it passes, and this process had made the region read-only", func(f findings) bool {
		return writable(f) && f.stores && f.denied == deniedByMode
	}, ErrReadOnly},
	{"store: it passes, and this process had shortened the region", func(f findings) bool {
		return writable(f) && f.stores && f.denied != deniedByMode && f.shrunk
	}, ErrTruncated},
	{"store: it passes, and was refused by a disk or a quota", func(f findings) bool {
		return writable(f) && f.stores && f.denied != deniedByMode && !f.shrunk
	}, ErrIO},
	{"load: it passes, and this process had shortened the region", func(f findings) bool {
		return there(f) && f.within && f.loads && !mayStore(f) && f.shrunk
	}, ErrTruncated},
	{"load: it passes, and another process truncated the file and extended it", func(f findings) bool {
		return there(f) && f.within && f.loads && !mayStore(f) && !f.shrunk && f.regular
	}, ErrTruncated},
	{"load: it passes, of memory or a disk, which nobody else shortens", func(f findings) bool {
		return there(f) && f.within && f.loads && !mayStore(f) && !f.shrunk && !f.regular
	}, ErrIO},

	// A device is never touched, and has no size that changes.
	{"device, store: the region is read-only", func(f findings) bool {
		return there(f) && !f.touch && mayStore(f) && f.mode == ReadOnly
	}, ErrReadOnly},
	{"device, store: this process had made the region read-only", func(f findings) bool {
		return there(f) && !f.touch && mayStore(f) && f.mode != ReadOnly && f.denied == deniedByMode
	}, ErrReadOnly},
	{"device, store: it refuses", func(f findings) bool {
		return there(f) && !f.touch && mayStore(f) && f.mode != ReadOnly && f.denied != deniedByMode
	}, ErrIO},
	{"device, load: it refuses", func(f findings) bool { return there(f) && !f.touch && !mayStore(f) }, ErrIO},
}

func mayStore(f findings) bool { return f.access&aStore != 0 }

// there says that the region is open and nothing is wrong with the file's size.
func there(f findings) bool { return !f.closed && !f.missing && !f.changed }

// writable says that there may have been a store to a page that is there, of a
// region that allows it, and that it was tried again.
func writable(f findings) bool {
	return there(f) && f.within && f.loads && mayStore(f) && f.mode != ReadOnly
}

// canHappen leaves out what examine never finds.
func (f findings) canHappen() bool {
	implies := func(a, b bool) bool { return !a || b }
	return implies(f.regular, f.touch) &&
		implies(f.missing || f.changed, f.touch) && // a disk has a size, too
		implies(f.loads, f.touch) &&
		implies(f.stores, f.loads && mayStore(f) && f.mode != ReadOnly) &&
		implies(f.denied == deniedBySize, f.shrunk && f.touch) &&
		implies(f.shrunk, f.regular || f.denied == deniedBySize) &&
		implies(!f.touch, f.within)
}

// eachFinding calls fn with every combination.
func eachFinding(fn func(f findings)) {
	for _, a := range []access{aLoad, aStore, either} {
		for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
			for _, denied := range []denial{deniedNothing, deniedBySize, deniedByMode} {
				for bits := range 1 << 9 {
					is := func(n int) bool { return bits>>n&1 != 0 }
					fn(findings{access: a, mode: mode, denied: denied, closed: is(0), within: is(1), regular: is(2), missing: is(3),
						changed: is(4), touch: is(5), loads: is(6), stores: is(7), shrunk: is(8)})
				}
			}
		}
	}
}

func TestTheCauseOfEveryFinding(t *testing.T) {
	seen := make([]int, len(causes))
	eachFinding(func(f findings) {
		if !f.canHappen() {
			return
		}
		row := -1
		for i, c := range causes {
			if !c.when(f) {
				continue
			}
			if row >= 0 {
				t.Fatalf("%+v: both %q and %q", f, causes[row].name, c.name)
			}
			row = i
		}
		if row < 0 {
			t.Fatalf("%+v: no row", f)
		}
		seen[row]++
		if got := f.cause(); got != causes[row].cause {
			t.Errorf("%s: %v, want %v; %+v", causes[row].name, got, causes[row].cause, f)
		}
	})
	for i, n := range seen {
		if n == 0 {
			t.Errorf("%s: never happens", causes[i].name)
		}
	}
}

// Also of what cannot happen, so that a mistake in examine is not made worse.
func TestWhatIsTrueOfEveryCause(t *testing.T) {
	eachFinding(func(f findings) {
		err := f.cause()
		for what, wrong := range map[string]bool{
			"none of the four":                       err != ErrClosed && err != ErrTruncated && err != ErrReadOnly && err != ErrIO,
			"closed, and nothing else":               (err == ErrClosed) != f.closed,
			"a changed size, and a broken disk":      f.changed && err == ErrIO,
			"a missing page, and not truncated":      f.missing && !f.closed && err != ErrTruncated,
			"a load, and read-only":                  !mayStore(f) && err == ErrReadOnly,
			"not a load that fails, but read-only":   f.touch && !f.loads && err == ErrReadOnly,
			"writable all the time, and read-only":   f.mode != ReadOnly && f.denied != deniedByMode && err == ErrReadOnly,
			"a device without a size, but truncated": !f.touch && f.canHappen() && err == ErrTruncated,
		} {
			if wrong {
				t.Errorf("%s: %v of %+v", what, err, f)
			}
		}
	})
}

// What happens while the cause is looked for. The file's size is asked for before
// and after the byte is looked at.
func TestWhatChangesWhileTheCauseIsLookedFor(t *testing.T) {
	page := os.Getpagesize()
	for _, tt := range []struct {
		name       string
		load       error
		store      error
		meanwhile  func(r *Region, name string) error
		afterwards func(f findings) bool
	}{
		{"nothing", ErrTruncated, ErrIO, func(*Region, string) error { return nil },
			func(f findings) bool { return f.loads && f.stores == mayStore(f) && f.within && !f.shrunk }},
		{"it is closed", ErrClosed, ErrClosed, func(r *Region, _ string) error { return r.Close() },
			func(f findings) bool { return f.closed }},
		{"another process extends the file", ErrTruncated, ErrTruncated,
			func(_ *Region, name string) error { return os.Truncate(name, int64(4*page)) },
			func(f findings) bool { return f.changed }},
		{"another process truncates the file", ErrTruncated, ErrTruncated,
			func(_ *Region, name string) error { return os.Truncate(name, int64(page)) },
			func(f findings) bool { return f.changed && f.missing }},
		{"it becomes read-only", ErrTruncated, ErrReadOnly,
			func(r *Region, _ string) error { return r.Protect(ReadOnly) },
			func(f findings) bool { return f.mode == ReadOnly }},
		{"it becomes read-only and writable again", ErrTruncated, ErrReadOnly,
			func(r *Region, _ string) error { return errors.Join(r.Protect(ReadOnly), r.Protect(ReadWrite)) },
			func(f findings) bool { return f.mode == ReadOnly }},
		{"it is shrunk and grown again", ErrTruncated, ErrTruncated,
			func(r *Region, _ string) error { return errors.Join(r.Resize(1), r.Resize(int64(3*page))) },
			func(f findings) bool { return !f.within && f.shrunk && !f.changed }},
		// Whoever takes access has said so before the first look.
		{"the mode follows", ErrTruncated, ErrReadOnly,
			func(r *Region, _ string) error { r.o.mode.Store(int32(ReadOnly)); return nil },
			func(f findings) bool { return f.mode == ReadOnly }},
		{"the length follows", ErrTruncated, ErrTruncated,
			func(r *Region, _ string) error { r.o.len.Store(1); return nil },
			func(f findings) bool { return !f.within }},
	} {
		if strings.Contains(tt.name, "truncates") && leavesOut(t, tt.name) {
			continue
		}
		for a, want := range map[access]error{aLoad: tt.load, aStore: tt.store, either: tt.store} {
			name := tempFile(t, quiet(3*page))
			r := open(t, name, ReadWrite)
			m := r.o.mapping
			asked := 0
			var err error
			defer intercept.Store(nil)
			ask := func(call string) error {
				if call != "fstat" && call != "GetFileInformationByHandleEx" {
					return nil
				}
				if asked++; asked == 2 {
					err = tt.meanwhile(r, name)
				}
				if !canShortenMapped && errors.Is(err, errors.ErrUnsupported) {
					err = nil // the region is shorter all the same
				}
				return nil
			}
			intercept.Store(&ask)
			f := m.examine(2*page+5, a)
			intercept.Store(nil)
			if asked == 0 {
				t.Skip("the size of a file is asked for in another way here")
			}
			if err != nil || asked < 2 {
				t.Fatalf("%s: %v, and the size was asked for %d times", tt.name, err, asked)
			}
			if got := f.cause(); got != want || !tt.afterwards(f) {
				t.Errorf("access %d, %s: %v, want %v; found %+v", a, tt.name, got, want, f)
			}
		}
	}
}

// The file may end before the region, and still in the page that the region begins in:
// that page is there.
func TestAStoreToTheFirstPageOfARegionWhoseFileEndsInIt(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	name := tempFile(t, pattern(3*page))
	r, err := Config{Mode: ReadWrite, Offset: int64(page + 3)}.Open(name)
	need(t, r, err)
	v, err := ViewOf[uint8](r, 0, page)
	if err == nil {
		err = r.Protect(ReadOnly)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{page + 4, page + 3, page + 1, page} {
		if err := os.Truncate(name, int64(size)); err != nil {
			t.Fatal(err)
		}
		load, store := error(nil), ErrReadOnly
		if size == page { // the page is gone
			load, store = ErrTruncated, ErrTruncated
		}
		for _, i := range []int{0, 100, page - 4} {
			_, err := Get[uint8](r, i)
			wantErr(t, err, load)
			wantErr(t, Guard(func() error { v.Set(i, 1); return nil }), store)
		}
	}
}

// A region may be mapped while another one of this process shortens the file, at
// whatever moment. If the file is long again when the cause is looked for, that is
// still what the store was refused for.
func TestAStoreToWhatAnotherRegionTookWhileThisOneWasMappedIsTruncated(t *testing.T) {
	if !canShortenMapped {
		t.Skip("no mapped file is shortened here")
	}
	page := os.Getpagesize()
	short, long := int64(page), int64(4*page)
	// at calls fn before the nth system call of a kind, "" for any, that during makes.
	at := func(nth int, kind string, fn, during func()) (happened bool) {
		ask := func(call string) error {
			if kind == "" || call == kind {
				if nth--; nth == 0 {
					intercept.Store(nil)
					fn()
				}
			}
			return nil
		}
		intercept.Store(&ask)
		defer intercept.Store(nil)
		during()
		return nth <= 0
	}
	check := func(when string, other *Region, b *Region) {
		err := Guard(func() error {
			defer other.Resize(long)
			b.Bytes()[:4*page][3*page] = 1
			return nil
		})
		var f *FaultError
		if !errors.As(err, &f) || f.Err != ErrTruncated {
			t.Errorf("%s: %v, want %v", when, err, ErrTruncated)
		}
	}
	shrink := func(r *Region) {
		if err := r.Resize(short); err != nil {
			t.Error(err)
		}
	}
	mapped := func(name string) *Region {
		r, err := Config{Mode: ReadWrite, Reserve: long}.Open(name)
		return need(t, r, err)
	}
	n := 1
	for ; ; n++ {
		name := tempFile(t, quiet(4*page))
		other := mapped(name)
		var b *Region
		if !at(n, "", func() { shrink(other) }, func() { b = mapped(name) }) {
			break
		}
		if b.Len() == 4*page { // else it knows
			check("shortened before call "+itoa(n)+" of Open", other, b)
		}
	}
	if n < 3 {
		t.Errorf("Open makes %d system calls", n-1)
	}
	name := tempFile(t, quiet(4*page))
	other := mapped(name)
	var b *Region
	if !at(1, "ftruncate", func() { b = mapped(name) }, func() { shrink(other) }) {
		t.Skip("a file is shortened in another way here")
	}
	check("mapped before the file was shortened by ftruncate", other, b)

	name = tempFile(t, quiet(4*page))
	b = mapped(name)
	if other, err := (Config{Reserve: long}).Create(name, short); err != nil {
		t.Error(err)
	} else {
		check("emptied by Create", other, b)
		other.Close()
	}
}
