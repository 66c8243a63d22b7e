package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
)

func TestANilOrZeroRegionIsAsANilFile(t *testing.T) {
	for what, r := range map[string]*Region{"nil": nil, "zero": {}} {
		t.Run(what, func(t *testing.T) {
			if r.Len() != 0 || r.Cap() != 0 || r.Bytes() != nil || r.Reserved() != nil || r.Mode() != ReadOnly || r.Name() != "" ||
				r.Offset() != 0 || r.Addr() != 0 || r.PageSize() != os.Getpagesize() || r.String() != "<nil>" || fmt.Sprint(r) != "<nil>" {
				t.Errorf("Len %d, Cap %d, Bytes %v, Reserved %v, Mode %v, Name %q, Offset %d, Addr %#x, PageSize %d, String %q",
					r.Len(), r.Cap(), r.Bytes(), r.Reserved(), r.Mode(), r.Name(), r.Offset(), r.Addr(), r.PageSize(), r)
			}
			one := make([]byte, 1)
			for what, do := range map[string]func() error{
				"ReadAt":            func() error { _, err := r.ReadAt(one, 0); return err },
				"ReadAt of nothing": func() error { _, err := r.ReadAt(nil, 0); return err },
				"WriteAt":           func() error { _, err := r.WriteAt(one, 0); return err },
				"WriteTo":           func() error { _, err := r.WriteTo(io.Discard); return err },
				"Resize":            func() error { return r.Resize(0) },
				"Refresh":           func() error { return r.Refresh() },
				"Sync":              func() error { return r.Sync() },
				"SyncRange":         func() error { return r.SyncRange(0, 0) },
				"Flush":             func() error { return r.Flush(0, 0) },
				"Populate":          func() error { return r.Populate(0, 0) },
				"Advise":            func() error { return r.Advise(0, 0, Normal) },
				"Lock":              func() error { return r.Lock(0, 0) },
				"Unlock":            func() error { return r.Unlock(0, 0) },
				"Resident":          func() error { _, err := r.Resident(0, 0); return err },
				"Protect":           func() error { return r.Protect(ReadOnly) },
				"Close":             func() error { return r.Close() },
				"second Close":      func() error { return r.Close() },
				"Get":               func() error { _, err := Get[int8](r, 0); return err },
				"Put":               func() error { return Put(r, 0, int8(1)) },
				"ViewOf":            func() error { _, err := ViewOf[int8](r, 0, 0); return err },
				"StructViewOf":      func() error { _, err := StructViewOf[[2]int8](r, 0, 0); return err },
				"BigEndianOf":       func() error { _, err := BigEndianOf[int8](r, 0, 0); return err },
				"LittleEndianOf":    func() error { _, err := LittleEndianOf[int8](r, 0, 0); return err },
				"AtomicOf":          func() error { _, err := AtomicOf[int32](r, 0, 0); return err },
			} {
				if err := do(); !errors.Is(err, os.ErrInvalid) || errors.Is(err, ErrClosed) {
					t.Errorf("%s: %v, want os.ErrInvalid", what, err)
				} else {
					wantSentence(t, err, os.ErrInvalid, "Region is nil")
				}
			}
		})
	}
}

// A constructor that fails returns nil, so that Close may be deferred before the
// error is looked at.
func TestCloseMayBeDeferredBeforeTheErrorIsLookedAt(t *testing.T) {
	r, err := Open(t.TempDir()+"/none", ReadOnly)
	defer func() {
		if err := r.Close(); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("Close of no region: %v", err)
		}
	}()
	if r != nil || err == nil {
		t.Errorf("Open of no file: %v, %v", r, err)
	}
}

func TestZeroViewsHaveNothing(t *testing.T) {
	testZeroView(t, View[int32]{})
	testZeroView(t, BigEndian[int32]{})
	testZeroView(t, LittleEndian[int32]{})
	var a AtomicView[int32]
	if a.Len() != 0 || a.Offset() != 0 || a.Region() != nil || a.Sub(0, 0).Len() != 0 || a.Sync() != nil {
		t.Error("the zero AtomicView has something")
	}
	wantPanic(t, ErrRange, func() { a.Load(0) }, "index 0", "0 elements")
	wantPanic(t, ErrRange, func() { a.Store(0, 1) }, "index 0", "0 elements")
	if s := (View[int32]{}).Slice(); s != nil {
		t.Errorf("Slice of the zero View is %v", s)
	}
	wantPanic(t, ErrRange, func() { View[int32]{}.Ptr(0) }, "index 0", "0 elements")
}

func testZeroView[V interface {
	Len() int
	Offset() int
	Region() *Region
	Sub(i, j int) V
	Sync() error
	At(int) int32
	Set(int, int32)
	CopyTo([]int32) (int, error)
	CopyFrom([]int32) (int, error)
	Fill(int32) error
}](t *testing.T, v V) {
	t.Helper()
	n, err := v.CopyTo(make([]int32, 3))
	m, err2 := v.CopyFrom(make([]int32, 3))
	if err := errors.Join(err, err2, v.Fill(1), v.Sync()); err != nil || n != 0 || m != 0 || v.Len() != 0 || v.Offset() != 0 || v.Region() != nil || v.Sub(0, 0).Len() != 0 {
		t.Errorf("%T: Len %d, Offset %d, Region %v, copied %d and %d, %v", v, v.Len(), v.Offset(), v.Region(), n, m, err)
	}
	wantPanic(t, ErrRange, func() { v.At(0) }, "index 0", "0 elements")
	wantPanic(t, ErrRange, func() { v.Set(0, 1) }, "index 0", "0 elements")
	wantPanic(t, ErrRange, func() { v.Sub(0, 1) }, "[0:1]", "0 elements")
}

func TestACopyOfARegionIsAHandleOnTheSameMapping(t *testing.T) {
	r := open(t, tempFile(t, pattern(100)), ReadWrite)
	c := *r
	v, err := ViewOf[int32](&c, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	if v.Region() != r {
		t.Errorf("a view that was made through a copy is of %p, not of the region that the constructor returned, %p", v.Region(), r)
	}
	if got, off := RegionOf(c.Bytes()[7:]); got != r || off != 7 {
		t.Errorf("RegionOf: %p, %d, want %p, 7", got, off, r)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if r.Len() != 0 {
		t.Error("the region is open although its copy was closed")
	}
	_, err = r.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, ErrClosed)
	err = Guard(func() error { sinkByte = byte(v.At(0)); return nil })
	wantFaultAt(t, err, r, 0, ErrClosed)
}

// What views, faults and RegionOf return is a handle on their own mapping, also
// where another was assigned to the Region that the constructor returned.
func TestAssigningARegionHarmsNoView(t *testing.T) {
	if cannotGrow != "" {
		t.Skip("before Windows 10 (1803) a closed region that is still reachable, as this test's cleanups are, keeps its file")
	}
	page := os.Getpagesize()
	for _, tt := range []struct {
		name   string
		assign func(r1, r2 *Region)
	}{
		{"another", func(r1, r2 *Region) { *r1 = *r2 }},
		{"none", func(r1, r2 *Region) { *r1 = Region{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := tempFile(t, pattern(2*page))
			r1 := open(t, name, ReadWrite)
			r2 := open(t, tempFile(t, []byte("other")), ReadOnly)
			was := *r1
			t.Cleanup(func() { was.Close() })
			v, err := ViewOf[int32](r1, 8, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			atomic, err := AtomicOf[int32](r1, 8, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			tt.assign(r1, r2)

			for what, r := range map[string]*Region{"View": v.Region(), "AtomicView": atomic.Region()} {
				if r == r1 || r == r2 || r.Name() != name || r.Addr() != was.Addr() || r.Len() != 2*page {
					t.Errorf("%s.Region is %v, want one of %s", what, r, name)
				}
			}
			if v.Offset() != 8 || v.Sub(1, 2).Offset() != 12 {
				t.Errorf("offsets are %d and %d, want 8 and 12", v.Offset(), v.Sub(1, 2).Offset())
			}
			if r, off := RegionOf(was.Bytes()[3:]); r == r1 || r.Name() != name || off != 3 {
				t.Errorf("RegionOf: %v, %d, want one of %s, 3", r, off, name)
			}
			v.Set(0, 900)
			if err := v.Sync(); err != nil {
				t.Error(err)
			}
			if got, err := Get[int32](v.Region(), 8); got != 900 || err != nil {
				t.Errorf("Get: %d, %v, want 900", got, err)
			}
			shortensMapped(t)
			if err := os.Truncate(name, int64(page)); err != nil {
				t.Fatal(err)
			}
			err = Guard(func() error { sinkByte = byte(v.At(v.Len() - 1)); return nil })
			var f *FaultError
			if !errors.As(err, &f) || f.Region == r1 || f.Region.Name() != name || !isAt(f, 2*page-4) || f.Err != ErrTruncated {
				t.Errorf("fault is %#v, want one in a region of %s", err, name)
			}
			wantErr(t, v.Sync(), ErrTruncated, name)
			runtime.KeepAlive(v)
		})
	}
}
