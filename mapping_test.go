package mmap

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAMethodWhileTheRegionIsClosedSaysSo(t *testing.T) {
	name := tempFile(t, pattern(4096))
	for range rounds(6000) {
		r := open(t, name, ReadWrite)
		errs := make(chan error)
		begun := make(chan bool)
		go func() {
			var err error
			for i := 0; err == nil; i++ {
				switch i {
				case 0:
					close(begun)
				case 1000:
					runtime.Gosched() // where there is one processor
				}
				_, err = Get[int32](r, 0)
				if err == nil {
					err = r.SyncRange(0, 0)
				}
			}
			errs <- err
		}()
		<-begun
		r.Close()
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Fatalf("while it was closed: %v", err)
		}
	}
}

func TestAStoreWhileTheRegionBecomesWritable(t *testing.T) {
	needMappings(t)
	name := tempFile(t, pattern(4096))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range rounds(3000) {
		r, err := Map(f, ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		protected := make(chan error)
		go func() { protected <- r.Protect(ReadWrite) }()
		for {
			err := Put(r, 0, int32(1))
			if err == nil {
				break
			}
			if !errors.Is(err, ErrReadOnly) {
				t.Fatalf("while it became writable: %v", err)
			}
			runtime.Gosched()
		}
		if err := <-protected; err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
}

func TestEveryMethodAtOnceOnOneRegion(t *testing.T) {
	growsFiles(t)
	runChild(t, childAtOnce)
}

// In each round many goroutines call everything on one region, until one that
// comes last closes it.
var childAtOnce = registerChild("every method at once", func(t testing.TB, args []string) {
	page := os.Getpagesize()
	name := filepath.Join(t.TempDir(), "f")
	const value = 0x5A5A5A5A
	for round := range rounds(200) {
		var r *Region
		var err error
		c := Config{Reserve: int64(16 * page), Sparse: round%4 < 2}
		if round%2 == 0 {
			r, err = c.Create(name, int64(4*page))
		} else {
			r, err = c.Anonymous(int64(4 * page))
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := ViewOf[uint32](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		v.Fill(value)
		raw := v.Slice()
		base := r.Addr()
		look := func(x uint32) error {
			for ; x != 0; x >>= 8 {
				if b := x & 0xFF; b != 0 && b != value&0xFF {
					t.Errorf("found the byte %#x", b)
				}
			}
			return nil
		}
		calls := map[string]func() error{
			"ReadAt": func() error {
				p := make([]byte, 2*page)
				n, err := r.ReadAt(p, int64(rand.IntN(3*page))&^3)
				for _, b := range p[:n] {
					look(uint32(b) * 0x01010101)
				}
				return err
			},
			"WriteAt": func() error {
				p := make([]byte, page)
				for i := range p {
					p[i] = value & 0xFF
				}
				_, err := r.WriteAt(p, int64(rand.IntN(3*page)))
				return err
			},
			"Get": func() error {
				x, err := Get[uint32](r, rand.IntN(4*page-4)&^3)
				look(x)
				return err
			},
			"Put":        func() error { return Put[uint32](r, rand.IntN(4*page-4)&^3, value) },
			"view loads": func() error { return Guard(func() error { return look(v.At(rand.IntN(v.Len()))) }) },
			"view stores": func() error {
				return Guard(func() error { v.Set(rand.IntN(v.Len()), value); return nil })
			},
			"raw loads":       func() error { return Guard(func() error { return look(raw[rand.IntN(len(raw))]) }) },
			"raw stores":      func() error { return Guard(func() error { raw[rand.IntN(len(raw))] = value; return nil }) },
			"Fill":            func() error { return v.Fill(value) },
			"Resize":          func() error { return r.Resize(int64(1 + rand.IntN(16*page))) },
			"Refresh":         r.Refresh,
			"Sync":            r.Sync,
			"View.Sync":       v.Sub(0, 10).Sync,
			"Flush":           func() error { return r.Flush(0, 1) },
			"Populate":        func() error { return r.Populate(rand.IntN(page), page) },
			"Lock":            func() error { return r.Lock(rand.IntN(page), 1) },
			"Unlock":          func() error { return r.Unlock(0, 1) },
			"WillNeed":        func() error { return r.Advise(rand.IntN(page), page, WillNeed) },
			"Resident":        func() error { _, err := r.Resident(0, page); return err },
			"Protect":         func() error { return r.Protect(ReadOnly) },
			"Protect back":    func() error { return r.Protect(ReadWrite) },
			"the small ones":  func() error { return small(t, r, base) },
			"a view and back": func() error { w, err := ViewOf[uint32](r, 0, 1); _ = w.Len(); return err },
		}
		if raceEnabled { // they race on purpose; what raw memory stores, the detector does not see
			for _, what := range []string{"WriteAt", "Put", "view stores", "Fill"} {
				delete(calls, what)
			}
		}
		var wg sync.WaitGroup
		var closed atomic.Bool
		turns := make(chan struct{}, 1000)
		for what, call := range calls {
			for range 2 {
				wg.Go(func() {
					for {
						err := call()
						if kind := unexpected(err); kind != "" {
							t.Errorf("%s: %s: %v", what, kind, err)
						}
						if errors.Is(err, ErrClosed) {
							return
						}
						if closed.Load() && what == "the small ones" {
							return
						}
						select {
						case turns <- struct{}{}:
						default:
						}
						runtime.Gosched()
					}
				})
			}
		}
		for range 200 {
			<-turns
		}
		for range 3 {
			wg.Go(func() {
				if err := r.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				closed.Store(true)
			})
		}
		wg.Wait()
		if r.Len() != 0 || r.Addr() != base {
			t.Errorf("after all that: %v at %#x", r, r.Addr())
		}
		if t.Failed() {
			return
		}
	}
})

// small calls the methods that cannot fail.
func small(t testing.TB, r *Region, base uintptr) error {
	if n := r.Len(); n < 0 || n > 16*os.Getpagesize() {
		t.Errorf("Len is %d", n)
	}
	if r.Addr() != base {
		t.Errorf("Addr was %#x and is %#x", base, r.Addr())
	}
	if b := r.Bytes(); len(b) != cap(b) {
		t.Errorf("Bytes has length %d and capacity %d", len(b), cap(b))
	}
	if m := r.Mode(); m != ReadOnly && m != ReadWrite {
		t.Errorf("Mode is %v", m)
	}
	_, _ = r.Cap(), r.String()
	return nil
}

// unexpected says what is wrong with an error that one of many calls at once
// got.
func unexpected(err error) string {
	var f *FaultError
	switch {
	case err == nil, err == io.EOF:
	case errors.As(err, &f):
		if f.Region == nil || f.Offset < 0 {
			return "a fault without a place"
		}
		// Another goroutine may have undone the cause before it was looked
		// for, but it is never a broken disk.
		if f.Err != ErrClosed && f.Err != ErrTruncated && f.Err != ErrReadOnly {
			return "a fault for another reason"
		}
	case errors.Is(err, ErrClosed), errors.Is(err, ErrReadOnly), errors.Is(err, ErrRange), errors.Is(err, ErrTruncated):
	case !canShortenMapped && errors.Is(err, errors.ErrUnsupported): // the region is shorter all the same
	default:
		return "an error for another reason"
	}
	return ""
}
