package ports_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// What the tables of README.md have on the right does what it should, in their order.
func TestWhatTheTablesSay(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type rec struct {
		A uint16
		B uint16
		C uint32
	}

	r := must(mmap.Map(f, mmap.ReadOnly))(t)
	equal(t, "Bytes", r.Bytes()[3], 4)
	equal(t, "Get", must(mmap.Get[byte](r, 3))(t), 4)
	equal(t, "Index", bytes.Index(r.Bytes(), []byte{8, 1}), 7)
	equal(t, "SectionReader", len(must(io.ReadAll(io.NewSectionReader(r, 0, int64(r.Len()))))(t)), 8000)
	equal(t, "little", must(mmap.LittleEndianOf[int32](r, 1, 2))(t).At(0), 0x05040302)
	equal(t, "big", must(mmap.BigEndianOf[uint32](r, 1, 2))(t).At(1), 0x06070801)
	equal(t, "float", must(mmap.LittleEndianOf[float64](r, 1, 1))(t).Len(), 1)
	equal(t, "Anonymous", must(mmap.Anonymous(100))(t).Len(), 100)
	none(t, r.Populate(0, mmap.ToEnd), r.Close(), r.Close())

	r = must(mmap.Config{Mode: mmap.ReadWrite, Offset: 4, Length: 96, Populate: true}.Map(f))(t)
	equal(t, "Offset", r.Bytes()[0], 5)
	none(t, r.Sync(), r.SyncRange(3, 5), r.Flush(0, mmap.ToEnd), r.Lock(0, mmap.ToEnd), r.Unlock(0, mmap.ToEnd))
	none(t, r.Protect(mmap.ReadOnly), r.Protect(mmap.ReadWrite), r.Advise(0, mmap.ToEnd, mmap.WillNeed), r.Close())

	r = must(mmap.Config{Reserve: 1 << 20, Sparse: true}.OpenOrCreate(name, 8100))(t)
	equal(t, "OpenOrCreate", r.Len(), 8100)
	size := must(mmap.BigEndianOf[uint32](r, 8000, 1))(t)
	size.Set(0, 3)
	equal(t, "a slice", must(mmap.ViewOf[byte](r, 8004, int(size.At(0))))(t).Len(), 3)
	none(t, r.Resize(9000), r.Refresh())
	equal(t, "Resize", r.Len(), 9000)
	p := must(mmap.ViewOf[int32](r, 0, mmap.ToEnd))(t)
	p.Set(1, 7)
	equal(t, "Slice", p.Slice()[1], 7)
	equal(t, "Ptr", *p.Ptr(1), 7)
	equal(t, "struct", must(mmap.StructViewOf[rec](r, 0, 10))(t).At(0).C, 7)
	equal(t, "long", must(mmap.ViewOf[int64](r, 0, mmap.ToEnd))(t).Len(), 9000/8)
	equal(t, "register", must(mmap.RegistersOf[uint32](r, 4, 1))(t).Load(0), 7)
	a := must(mmap.AtomicOf[uint32](r, 4, 1))(t)
	equal(t, "atomic", a.Add(0, 1), 8)
	equal(t, "swap", a.CompareAndSwap(0, 8, 9), true)
	none(t, a.Wait(context.Background(), 0, 8))
	_, err = a.Wake(0, 1)
	none(t, err, mmap.Guard(func() error { p.Set(0, p.At(1)); return nil }), r.Close(), f.Close(), os.Remove(name))
}

func must[T any](x T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

func none(t *testing.T, errs ...error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
