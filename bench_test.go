package mmap_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// Mapped access against read and write, with the same data and the same work,
// the file in the page cache:
//
//	go test -run '^$' -bench IO -count 6 . > new.txt && benchstat -col /via new.txt
//
// Each loop is in a function of its own that is not inlined, because the body of
// a b.Loop is kept from inlining what it calls. What a loop finds is checked.

const (
	fileSize = 64 << 20

	// Of the powers of two from 4 KiB to 1 MiB, pread of the file above took the
	// same time, within 5 %, with 64 KiB and more, up to 1.7 times that with less.
	bufferSize = 256 << 10

	accesses = 1 << 16 // random ones, in an iteration
)

// counting makes a file of 64-bit numbers that count up from 0.
func counting(b *testing.B, size int) (name string, sum uint64) {
	b.Helper()
	data := make([]byte, size)
	for i := range size / 8 {
		binary.NativeEndian.PutUint64(data[8*i:], uint64(i))
		sum += uint64(i)
	}
	name = filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
	return name, sum
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func wantSum(b *testing.B, got, want uint64) {
	if got != want {
		b.Fatalf("sum is %d, want %d", got, want)
	}
}

func mapped(b *testing.B, name string, mode mmap.Mode) (*mmap.Region, mmap.View[uint64]) {
	b.Helper()
	r, err := mmap.Open(name, mode)
	check(b, err)
	b.Cleanup(func() { r.Close() })
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	check(b, err)
	return r, v
}

func opened(b *testing.B, name string) *os.File {
	b.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(b, err)
	b.Cleanup(func() { f.Close() })
	return f
}

//go:noinline
func sumView(v mmap.View[uint64]) (sum uint64) {
	for i := range v.Len() {
		sum += v.At(i)
	}
	return sum
}

//go:noinline
func sumSlice(s []uint64) (sum uint64) {
	for i := range s {
		sum += s[i]
	}
	return sum
}

//go:noinline
func sumBytes(p []byte) (sum uint64) {
	for ; len(p) >= 8; p = p[8:] {
		sum += binary.NativeEndian.Uint64(p)
	}
	return sum
}

// sumReaderAt reads from the beginning to the end, a buffer at a time.
func sumReaderAt(r io.ReaderAt, buf []byte) (sum uint64, err error) {
	for off := int64(0); ; off += int64(len(buf)) {
		n, err := r.ReadAt(buf, off)
		sum += sumBytes(buf[:n])
		if err == io.EOF || n == 0 {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
	}
}

//go:noinline
func sumBuffered(r *bufio.Reader) (sum uint64, err error) {
	var p [8]byte
	for {
		if _, err := io.ReadFull(r, p[:]); err == io.EOF {
			return sum, nil
		} else if err != nil {
			return sum, err
		}
		sum += binary.NativeEndian.Uint64(p[:])
	}
}

func BenchmarkIOSequentialRead(b *testing.B) {
	name, want := counting(b, fileSize)
	run := func(via string, fn func() (uint64, error)) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(fileSize)
			for b.Loop() {
				sum, err := fn()
				check(b, err)
				wantSum(b, sum, want)
			}
		})
	}
	r, v := mapped(b, name, mmap.ReadOnly)
	f := opened(b, name)
	buf := make([]byte, bufferSize)
	run("View", func() (uint64, error) { return sumView(v), nil })
	run("Slice", func() (uint64, error) { return sumSlice(v.Slice()), nil })
	run("ReadAt", func() (uint64, error) { return sumReaderAt(r, buf) })
	run("pread", func() (uint64, error) { return sumReaderAt(f, buf) })
	run("bufio", func() (uint64, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		return sumBuffered(bufio.NewReaderSize(f, bufferSize))
	})
}

// A random sequence of 64-bit numbers in the file, the same for each way.
type places uint64

func (p *places) next() int {
	x := uint64(*p)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*p = places(x)
	return int(x % (fileSize / 8))
}

//go:noinline
func randomView(v mmap.View[uint64]) (sum uint64) {
	p := places(1)
	for range accesses {
		sum += v.At(p.next())
	}
	return sum
}

func randomReaderAt(r io.ReaderAt) (sum uint64, err error) {
	p := places(1)
	var buf [8]byte
	for range accesses {
		if _, err := r.ReadAt(buf[:], 8*int64(p.next())); err != nil {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(buf[:])
	}
	return sum, nil
}

func BenchmarkIORandomRead(b *testing.B) {
	name, _ := counting(b, fileSize)
	var want uint64
	p := places(1)
	for range accesses {
		want += uint64(p.next())
	}
	run := func(via string, fn func() (uint64, error)) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(8 * accesses)
			for b.Loop() {
				sum, err := fn()
				check(b, err)
				wantSum(b, sum, want)
			}
		})
	}
	r, v := mapped(b, name, mmap.ReadOnly)
	f := opened(b, name)
	run("View", func() (uint64, error) { return randomView(v), nil })
	run("Get", func() (sum uint64, err error) {
		p := places(1)
		for range accesses {
			x, err := mmap.Get[uint64](r, 8*p.next())
			if err != nil {
				return 0, err
			}
			sum += x
		}
		return sum, nil
	})
	run("ReadAt", func() (uint64, error) { return randomReaderAt(r) })
	run("pread", func() (uint64, error) { return randomReaderAt(f) })
}

//go:noinline
func storeRandomView(v mmap.View[uint64]) {
	p := places(1)
	for range accesses {
		i := p.next()
		v.Set(i, uint64(i)+1)
	}
}

func storeRandomWriterAt(w io.WriterAt) error {
	p := places(1)
	var buf [8]byte
	for range accesses {
		i := p.next()
		binary.NativeEndian.PutUint64(buf[:], uint64(i)+1)
		if _, err := w.WriteAt(buf[:], 8*int64(i)); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkIORandomWrite(b *testing.B) {
	name, _ := counting(b, fileSize)
	r, v := mapped(b, name, mmap.ReadWrite)
	f := opened(b, name)
	run := func(via string, fn func() error) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(8 * accesses)
			for b.Loop() {
				check(b, fn())
			}
			var p [8]byte
			first := places(1)
			i := first.next()
			if _, err := f.ReadAt(p[:], 8*int64(i)); err != nil || binary.NativeEndian.Uint64(p[:]) != uint64(i)+1 {
				b.Fatalf("number %d is %d in the file, %v", i, binary.NativeEndian.Uint64(p[:]), err)
			}
			v.Set(i, 0)
		})
	}
	run("View", func() error { storeRandomView(v); return nil })
	run("WriteAt", func() error { return storeRandomWriterAt(r) })
	run("pwrite", func() error { return storeRandomWriterAt(f) })
}

// A scan opens or maps the file, reads all of it, and closes it, each time.
func BenchmarkIOScan(b *testing.B) {
	name, want := counting(b, fileSize)
	run := func(via string, fn func() (uint64, error)) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(fileSize)
			for b.Loop() {
				sum, err := fn()
				check(b, err)
				wantSum(b, sum, want)
			}
		})
	}
	scan := func(c mmap.Config) (sum uint64, err error) {
		r, err := c.Open(name)
		if err != nil {
			return 0, err
		}
		v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
		if err != nil {
			return 0, err
		}
		sum = sumView(v)
		return sum, r.Close()
	}
	buf := make([]byte, bufferSize)
	run("View", func() (uint64, error) { return scan(mmap.Config{}) })
	run("ViewPopulate", func() (uint64, error) { return scan(mmap.Config{Populate: true}) })
	run("ReadAt", func() (uint64, error) {
		r, err := mmap.Open(name, mmap.ReadOnly)
		if err != nil {
			return 0, err
		}
		sum, err := sumReaderAt(r, buf)
		return sum, errors.Join(err, r.Close())
	})
	run("pread", func() (uint64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		sum, err := sumReaderAt(f, buf)
		return sum, errors.Join(err, f.Close())
	})
	run("bufio", func() (uint64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		sum, err := sumBuffered(bufio.NewReaderSize(f, bufferSize))
		return sum, errors.Join(err, f.Close())
	})
}

// A small file is opened, read and closed, each time.
func BenchmarkIOSmallFile(b *testing.B) {
	const size = 4096
	name, want := counting(b, size)
	run := func(via string, fn func() (uint64, error)) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				sum, err := fn()
				check(b, err)
				wantSum(b, sum, want)
			}
		})
	}
	buf := make([]byte, size)
	run("View", func() (uint64, error) {
		r, err := mmap.Open(name, mmap.ReadOnly)
		if err != nil {
			return 0, err
		}
		v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
		if err != nil {
			return 0, err
		}
		sum := sumView(v)
		return sum, r.Close()
	})
	run("ReadAt", func() (uint64, error) {
		r, err := mmap.Open(name, mmap.ReadOnly)
		if err != nil {
			return 0, err
		}
		_, err = r.ReadAt(buf, 0)
		return sumBytes(buf), errors.Join(err, r.Close())
	})
	run("pread", func() (uint64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		_, err = f.ReadAt(buf, 0)
		return sumBytes(buf), errors.Join(err, f.Close())
	})
	run("ReadFile", func() (uint64, error) {
		p, err := os.ReadFile(name)
		return sumBytes(p), err
	})
}

// A page is changed at a different place each time, and made durable.
func BenchmarkIODurableWrite(b *testing.B) {
	const page = 4096
	name, _ := counting(b, fileSize)
	r, v := mapped(b, name, mmap.ReadWrite)
	f := opened(b, name)
	check(b, f.Sync())
	data := make([]byte, page)
	run := func(via string, fn func(off int) error) {
		b.Run("via="+via, func(b *testing.B) {
			b.SetBytes(page)
			p, n := places(1), uint64(0)
			var off int
			for b.Loop() {
				off = p.next() * 8 / page * page
				n++
				binary.NativeEndian.PutUint64(data, n)
				check(b, fn(off))
			}
			var got [8]byte
			if _, err := f.ReadAt(got[:], int64(off)); err != nil || binary.NativeEndian.Uint64(got[:]) != n {
				b.Fatalf("the file has %x at %d, %v", got, off, err)
			}
		})
	}
	run("View", func(off int) error {
		s := v.Sub(off/8, (off+page)/8)
		for i := range s.Len() {
			s.Set(i, binary.NativeEndian.Uint64(data[8*i:]))
		}
		return s.Sync()
	})
	run("WriteAt", func(off int) error {
		if _, err := r.WriteAt(data, int64(off)); err != nil {
			return err
		}
		return r.SyncRange(off, page)
	})
	run("pwrite", func(off int) error {
		if _, err := f.WriteAt(data, int64(off)); err != nil {
			return err
		}
		return syncData(f)
	})
}
