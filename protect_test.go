package mmap

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// What a view may store to is decided when it is made, by the region's mode then.
func TestAViewStoresIfTheRegionCouldWhenItWasMade(t *testing.T) {
	name := tempFile(t, pattern(64))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Map(f, ReadOnly)
	need(t, r, err)
	if err := f.Close(); err != nil { // Protect does not need it
		t.Fatal(err)
	}
	before := storersOf(t, r)
	protect := func(mode Mode) {
		t.Helper()
		if err := r.Protect(mode); err != nil || r.Mode() != mode {
			t.Fatalf("Protect: %v, and the mode is %v, want %v", err, r.Mode(), mode)
		}
	}

	protect(ReadWrite)
	between := storersOf(t, r)
	for what, store := range between {
		if err := Guard(store); err != nil {
			t.Errorf("%s, made while the region was writable: %v", what, err)
		}
	}
	for what, store := range before {
		wantStoreRefused(t, what+", made while the region was read-only", store)
	}
	if err := Put(r, 0, int8(1)); err != nil {
		t.Error(err)
	}

	protect(ReadOnly)
	after := storersOf(t, r)
	for what, store := range after {
		wantStoreRefused(t, what+", made while the region was read-only again", store)
	}
	for what, store := range between {
		err := Guard(store)
		var fault *FaultError
		if !errors.As(err, &fault) || fault.Region != r || fault.Err != ErrReadOnly {
			t.Errorf("%s, in a region that has become read-only: %v, want a fault with ErrReadOnly", what, err)
		}
	}
	wantSentence(t, Put(r, 0, int8(1)), ErrReadOnly, name, "offset 0")
	_, err = r.WriteAt([]byte{1}, 3)
	wantSentence(t, err, ErrReadOnly, name, "offset 3")
	wantSentence(t, r.Resize(10), ErrReadOnly, name, "10 bytes")
	wantSentence(t, r.Protect(CopyOnWrite), errors.ErrUnsupported, name, "CopyOnWrite")
	wantSentence(t, r.Protect(Mode(7)), errors.ErrUnsupported, name, "Mode(7)")
}

// storersOf is every way to store through a view of r, made now.
func storersOf(t *testing.T, r *Region) map[string]func() error {
	t.Helper()
	v, e1 := ViewOf[int32](r, 0, ToEnd)
	s, e2 := StructViewOf[[2]int32](r, 0, ToEnd)
	b, e3 := BigEndianOf[int32](r, 1, 4)
	l, e4 := LittleEndianOf[int32](r, 1, 4)
	a, e5 := AtomicOf[uint32](r, 0, ToEnd)
	if err := errors.Join(e1, e2, e3, e4, e5); err != nil {
		t.Fatal(err)
	}
	one := []int32{1}
	return map[string]func() error{
		"View.Set":              func() error { v.Set(0, 1); return nil },
		"View.Sub.Set":          func() error { v.Sub(1, 2).Set(0, 1); return nil },
		"View.CopyFrom":         func() error { _, err := v.CopyFrom(one); return err },
		"View.Fill":             func() error { return v.Fill(1) },
		"StructView.Set":        func() error { s.Set(0, [2]int32{}); return nil },
		"BigEndian.Set":         func() error { b.Set(0, 1); return nil },
		"BigEndian.CopyFrom":    func() error { _, err := b.CopyFrom(one); return err },
		"BigEndian.Fill":        func() error { return b.Fill(1) },
		"LittleEndian.Set":      func() error { l.Set(0, 1); return nil },
		"LittleEndian.CopyFrom": func() error { _, err := l.CopyFrom(one); return err },
		"LittleEndian.Fill":     func() error { return l.Fill(1) },
		"AtomicView.Store":      func() error { a.Store(0, 1); return nil },
		"AtomicView.Add":        func() error { a.Add(0, 1); return nil },
		"AtomicView.And":        func() error { a.And(0, 1); return nil },
		"AtomicView.Or":         func() error { a.Or(0, 1); return nil },
		"AtomicView.Swap":       func() error { a.Swap(0, 1); return nil },
		"AtomicView.CompareAndSwap": func() error {
			was := a.Load(0) // or processors that load first do not store
			a.CompareAndSwap(0, was, was+1)
			return nil
		},
	}
}

// wantStoreRefused checks that a store is refused before memory is touched, by an
// error or a panic.
func wantStoreRefused(t *testing.T, what string, store func() error) {
	t.Helper()
	var err error
	if v := panicValue(func() { err = store() }); v != nil {
		err, _ = v.(error)
	}
	var fault *FaultError
	if !errors.Is(err, ErrReadOnly) || errors.As(err, &fault) {
		t.Errorf("%s: %v, want ErrReadOnly and no fault", what, err)
		return
	}
	wantSentence(t, err, ErrReadOnly, "read-only")
}

// A store that was refused while the region was read-only is explained so, however
// long ago the region was made writable again. In the bubble, an hour is over at
// once.
func TestAProtectionThatIsOverExplainsItsFaultsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, tempFile(t, pattern(64)), ReadWrite)
		raw := r.Bytes()
		if err := r.Protect(ReadOnly); err != nil {
			t.Fatal(err)
		}
		for _, ago := range []time.Duration{0, time.Second, time.Hour} {
			err := Guard(func() error {
				defer func() {
					if err := r.Protect(ReadWrite); err != nil {
						t.Error(err)
					}
					time.Sleep(ago)
				}()
				raw[5] = 1
				return nil
			})
			wantFaultAt(t, err, r, 5, ErrReadOnly)
			if err := r.Protect(ReadOnly); err != nil {
				t.Fatal(err)
			}
		}
	})
}
