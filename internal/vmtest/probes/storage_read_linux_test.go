package probes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// Blocks badFrom to badTo of the file cannot be read.
const fileBlocks, badFrom, badTo = 96, 32, 64

func TestWhatTheDeviceCannotReadIsAnErrorAndTheRestIsRead(t *testing.T) {
	needs(t, "storage")
	onSpareDisks(t, func(t *testing.T, d *mapper, kind string) {
		dir := d.mount(t, kind, "")
		name := filepath.Join(dir, "read")
		at := d.writeBlocks(t, name, fileBlocks)
		for _, mode := range []mmap.Mode{mmap.ReadOnly, mmap.ReadWrite, mmap.CopyOnWrite} {
			for _, offset := range []int64{0, 100} {
				if (mode == mmap.ReadWrite) == (offset == 0) || kind != "ext4" && mode != mmap.ReadWrite {
					continue // each takes a second
				}
				d.heal(t)
				dropCaches(t)
				d.fail(t, slices.Concat(at[badFrom:badTo]...)...)
				t.Run(fmt.Sprintf("%v from %d", mode, offset), func(t *testing.T) {
					readsFail(t, d, name, mode, offset)
				})
			}
		}
	})
}

func readsFail(t *testing.T, d *mapper, name string, mode mmap.Mode, offset int64) {
	r, err := mmap.Config{Mode: mode, Offset: offset}.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := blocks(name, 0, fileBlocks)[offset:]
	first, last := badFrom*blockSize-int(offset), badTo*blockSize-int(offset)
	u32, err := mmap.ViewOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	big, err := mmap.BigEndianOf[uint64](r, 2, (r.Len()-2)/8)
	if err != nil {
		t.Fatal(err)
	}
	atomic, err := mmap.AtomicOf[uint32](r, 0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	all, bigAll := make([]uint32, u32.Len()), make([]uint64, big.Len())
	p := make([]byte, r.Len())
	var read bytes.Buffer
	one := func(get func() uint32) func() (int, error) {
		return func() (int, error) {
			return 0, mmap.Guard(func() error { sink = get(); return nil })
		}
	}
	for _, tt := range []struct {
		what   string
		offset int // of the FaultError
		n      int // that are read before
		do     func() (int, error)
	}{
		{"At under Guard", first + 8, 0, one(func() uint32 { return u32.At((first + 8) / 4) })},
		{"Load under Guard", last - 4, 0, one(func() uint32 { return atomic.Load((last - 4) / 4) })},
		{"Bytes under Guard", first + 9, 0, one(func() uint32 { return uint32(r.Bytes()[first+9]) })},
		{"Slice under Guard", first + 12, 0, one(func() uint32 { return u32.Slice()[(first+12)/4] })},
		{"Ptr under Guard", first + 16, 0, one(func() uint32 { return *u32.Ptr((first + 16) / 4) })},
		{"Values under Guard", first, first / 4, func() (n int, err error) {
			return n, mmap.Guard(func() error {
				for sink = range u32.Values() {
					n++
				}
				return nil
			})
		}},
		{"All under Guard", first, first / 4, func() (n int, err error) {
			return n, mmap.Guard(func() error {
				for _, sink = range u32.All() {
					n++
				}
				return nil
			})
		}},
		{"chunks under Guard", first, first / 4, func() (n int, err error) {
			return n, mmap.Guard(func() error {
				for _, c := range u32.Chunks(300) {
					for sink = range c.Values() {
						n++
					}
				}
				return nil
			})
		}},
		{"CopyTo of chunks", first, first / 4, func() (int, error) {
			for i, c := range u32.Chunks(1000) {
				if n, err := c.CopyTo(all[i:]); err != nil {
					return i + n, err
				}
			}
			return u32.Len(), nil
		}},
		{"CopyTo of chunks of BigEndian", first, (first - 2) / 8, func() (int, error) {
			for i, c := range big.Chunks(100_000) {
				if n, err := c.CopyTo(bigAll[i:]); err != nil {
					return i + n, err
				}
			}
			return big.Len(), nil
		}},
		{"View.Populate", first, 0, func() (int, error) { return 0, u32.Populate() }},
		{"Populate of BigEndian", first, 0, func() (int, error) { return 0, big.Populate() }},
		{"ReadAt", first, first, func() (int, error) { return r.ReadAt(p, 0) }},
		{"ReadAt inside", first + 100, 0, func() (int, error) { return r.ReadAt(p[:50], int64(first+100)) }},
		{"CopyTo", first, first / 4, func() (int, error) { return u32.CopyTo(all) }},
		{"CopyTo of BigEndian", first, (first - 2) / 8, func() (int, error) { return big.CopyTo(bigAll) }},
		{"Get", first + 1, 0, func() (int, error) { _, err := mmap.Get[uint64](r, first+1); return 0, err }},
		{"Get across", first, 0, func() (int, error) { _, err := mmap.Get[uint64](r, first-3); return 0, err }},
		{"WriteTo", first, first, func() (int, error) { read.Reset(); n, err := r.WriteTo(&read); return int(n), err }},
		{"Populate", first, 0, func() (int, error) { return 0, r.Populate(0, mmap.ToEnd) }},
		{"Populate inside", first + 50, 0, func() (int, error) { return 0, r.Populate(first+50, 10) }},
		{"Lock", first, 0, func() (int, error) { return 0, r.Lock(0, mmap.ToEnd) }},
		{"Lock inside", first + 50, 0, func() (int, error) { return 0, r.Lock(first+50, 10) }},
		{"Open with Lock", first, 0, func() (int, error) {
			_, err := mmap.Config{Mode: mode, Offset: offset, Lock: true}.Open(name)
			return 0, err
		}},
		{"Open with Populate", first, 0, func() (int, error) {
			_, err := mmap.Config{Mode: mode, Offset: offset, Populate: true}.Open(name)
			return 0, err
		}},
		{"Put", first + 3, 0, storing(mode, func() (int, error) { return 0, mmap.Put(r, first+3, sink) })},
		{"WriteAt", first, 100, storing(mode, func() (int, error) { return r.WriteAt(want[first-100:], int64(first-100)) })},
		{"CopyFrom", first, 25, storing(mode, func() (int, error) { return u32.Sub(first/4-25, u32.Len()).CopyFrom(all[first/4-25:]) })},
		{"Fill", first, 0, storing(mode, func() (int, error) { return 0, u32.Sub(first/4, last/4).Fill(1) })},
		{"Set under Guard", first + 20, 0, storing(mode, func() (int, error) {
			return 0, mmap.Guard(func() error { u32.Set((first+20)/4, 1); return nil })
		})},
		{"Add under Guard", first + 24, 0, storing(mode, func() (int, error) {
			return 0, mmap.Guard(func() error { atomic.Add((first+24)/4, 1); return nil })
		})},
	} {
		n, err := tt.do()
		if err == errNotStored {
			continue
		}
		var f *mmap.FaultError
		if !errors.As(err, &f) || !errors.Is(err, mmap.ErrIO) || f.Offset != tt.offset || n != tt.n {
			t.Errorf("%s: %d, %v, want %d and ErrIO at offset %d", tt.what, n, err, tt.n, tt.offset)
		}
	}
	if !bytes.Equal(p[:first], want[:first]) || !bytes.Equal(read.Bytes(), want[:first]) {
		t.Error("ReadAt or WriteTo did not read the bytes before the bad ones right")
	}
	if n, err := r.ReadAt(p[:1000], int64(last)); n != 1000 || err != nil || !bytes.Equal(p[:1000], want[last:last+1000]) {
		t.Errorf("ReadAt after the bad bytes: %d, %v", n, err)
	}
	d.heal(t)
	if n, err := r.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, want) {
		t.Errorf("ReadAt with the disk well again: %d, %v", n, err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got[offset:], want) {
		t.Errorf("the file with the disk well again: %v", err)
	}
}

var sink uint32

var errNotStored = errors.New("the region is read-only")

// storing leaves a store out where the mode has none.
func storing(mode mmap.Mode, do func() (int, error)) func() (int, error) {
	if mode == mmap.ReadOnly {
		return func() (int, error) { return 0, errNotStored }
	}
	return do
}
