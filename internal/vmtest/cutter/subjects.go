//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-498deeca/mmap"
	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

var subjects = []subject{
	{name: plan.Records, check: checkRecords, open: openRecords},
	{name: plan.Files, check: checkFiles, open: openFiles},
	{name: plan.Size, check: checkSize, open: openSize},
	{name: plan.Counter, check: checkCounter, open: openCounter},
	sharer(plan.Region0, 0, false),
	sharer(plan.Region1, 1, false),
	sharer(plan.Process, 2, true),
	{name: plan.Store, check: checkStore, open: openStore},
}

// A record is what is appended.
type record struct {
	Number uint64
	Body   [88]byte
}

const recordSize = 96

func recordOf(n int) (r record) {
	r.Number = uint64(n)
	for i := range r.Body {
		r.Body[i] = byte(n*31 + i*7 + 1)
	}
	return r
}

// isRecord says whether b has record n.
func isRecord(b []byte, n int) bool {
	r := recordOf(n)
	return binary.NativeEndian.Uint64(b) == r.Number && bytes.Equal(b[8:recordSize], r.Body[:])
}

// Records: appended to a file that grows in steps. When it has enough of them, it
// shrinks to a step, and begins anew.
const (
	recordsName = "records"
	recordsStep = 64 * recordSize
	recordsMost = 64 * 64
)

func checkRecords(dir string, n int) (missing int, what string) {
	b, err := os.ReadFile(filepath.Join(dir, recordsName))
	if err != nil {
		return n % recordsMost, err.Error()
	}
	first := 0
	for i := n - n%recordsMost + 1; i <= n; i++ { // none after the last of a round: the next one begins anew
		at := (i - 1) % recordsMost * recordSize
		if at+recordSize > len(b) || !isRecord(b[at:], i) {
			missing++
			first = cmp.Or(first, i)
		}
	}
	return missingOf(missing, n%recordsMost, first, len(b))
}

func missingOf(missing, all, first, size int) (int, string) {
	if missing == 0 {
		return 0, ""
	}
	return missing, fmt.Sprintf("%d of %d records are not there, the first is %d; the file has %d bytes", missing, all, first, size)
}

func openRecords(dir string, n int, m mode) (func(int) error, error) {
	r, err := openOrMake(dir, recordsName, n, recordsStep)
	if err != nil {
		return nil, err
	}
	return func(n int) error {
		at := (n - 1) % recordsMost * recordSize
		if at == 0 {
			if err := r.Resize(recordsStep); err != nil {
				return err
			}
		}
		if at+recordSize > r.Len() {
			if err := r.Resize(int64(at + recordsStep)); err != nil {
				return err
			}
		}
		v, err := mmap.StructViewOf[record](r, at, 1)
		if err != nil {
			return err
		}
		v.Set(0, recordOf(n))
		return m.durable(r, func() error {
			switch n % 3 {
			case 0:
				return v.Sync()
			case 1:
				return r.SyncRange(at, recordSize)
			}
			return r.Sync()
		})
	}, nil
}

// openOrMake opens the file of a subject that is in state n, or makes it if that is
// none.
func openOrMake(dir, name string, n int, size int64) (*mmap.Region, error) {
	c := mmap.Config{Mode: mmap.ReadWrite, Reserve: 1 << 24}
	name = filepath.Join(dir, name)
	if n == 0 {
		return c.Create(name, size)
	}
	return c.Open(name)
}

// Files: new ones, of which the last are kept.
const filesKept = 128

func fileName(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("file-%d", n)) }
func fileSize(n int) int                { return 1 + n*7919%20000 }
func fileByte(n, i int) byte            { return byte(n*13+i*3+i>>8) | 1 }

func fileOf(n int) []byte {
	b := make([]byte, fileSize(n))
	for i := range b {
		b[i] = fileByte(n, i)
	}
	return b
}

func checkFiles(dir string, n int) (missing int, what string) {
	first := ""
	for i := max(1, n-filesKept+2); i <= n; i++ { // the next one may have removed that before them
		b, err := os.ReadFile(fileName(dir, i))
		if err == nil && !bytes.Equal(b, fileOf(i)) {
			err = fmt.Errorf("%s has %d bytes, want %d, or others", fileName(dir, i), len(b), fileSize(i))
		}
		if err != nil {
			missing++
			if first == "" {
				first = err.Error()
			}
		}
	}
	if missing == 0 {
		return 0, ""
	}
	return missing, fmt.Sprintf("%d of %d files are not there: %s", missing, min(n, filesKept-1), first)
}

func openFiles(dir string, n int, m mode) (func(int) error, error) {
	return func(n int) error {
		for _, old := range []int{n - filesKept, n} { // what a cut has left of n
			if err := os.Remove(fileName(dir, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		create := mmap.Create
		if n%2 == 0 {
			create = mmap.OpenOrCreate
		}
		r, err := create(fileName(dir, n), int64(fileSize(n)))
		if err != nil {
			return err
		}
		copy(r.Bytes(), fileOf(n))
		err = m.durable(r, func() error {
			if n%4 < 2 {
				return r.Sync()
			}
			return r.SyncRange(0, mmap.ToEnd)
		})
		return errors.Join(err, r.Close())
	}, nil
}

// Size: a file that grows and shrinks.
const sizeName = "size"

func sizeOf(n int) int {
	if n%4 == 2 {
		return 0 // there is nothing to write, and yet something to make durable
	}
	return 100 + n*2654435%120000
}

func checkSize(dir string, n int) (missing int, what string) {
	b, err := os.ReadFile(filepath.Join(dir, sizeName))
	if err != nil {
		return 1, err.Error()
	}
	now, next := sizeOf(n), sizeOf(n+1)
	if len(b) != now && len(b) != next {
		return 1, fmt.Sprintf("the file has %d bytes, want %d, or %d, which was next", len(b), now, next)
	}
	wrong := 0
	for i := range min(now, next) {
		if b[i] != fileByte(0, i) {
			wrong++
		}
	}
	if wrong > 0 {
		return 1, fmt.Sprintf("%d bytes of the first %d are others", wrong, min(now, next))
	}
	return 0, ""
}

func openSize(dir string, n int, m mode) (func(int) error, error) {
	r, err := openOrMake(dir, sizeName, n, int64(sizeOf(n)))
	if err != nil {
		return nil, err
	}
	fill := func(from int) {
		b := r.Bytes()
		for i := from; i < len(b); i++ {
			b[i] = fileByte(0, i)
		}
	}
	fill(0)
	if err := m.durable(r, r.Sync); err != nil {
		return nil, err
	}
	return func(n int) error {
		old := r.Len()
		if err := r.Resize(int64(sizeOf(n))); err != nil {
			return err
		}
		fill(old)
		return m.durable(r, func() error {
			switch {
			case n%2 == 0:
				return r.Sync()
			case r.Len() > old:
				return r.SyncRange(old, mmap.ToEnd)
			}
			return r.SyncRange(0, 1)
		})
	}, nil
}

// Counter: two integers in the second page of a file.
const counterName = "counter"

func checkCounter(dir string, n int) (missing int, what string) {
	b, err := os.ReadFile(filepath.Join(dir, counterName))
	if err != nil {
		return 1, err.Error()
	}
	at := os.Getpagesize()
	if len(b) < at+16 {
		return 1, fmt.Sprintf("the file has %d bytes", len(b))
	}
	for i := range 2 {
		if got := int(binary.NativeEndian.Uint64(b[at+8*i:])); got != n && got != n+1 {
			return 1, fmt.Sprintf("integer %d is %d, want %d, or %d, which was next", i, got, n, n+1)
		}
	}
	return 0, ""
}

func openCounter(dir string, n int, m mode) (func(int) error, error) {
	r, err := openOrMake(dir, counterName, n, int64(2*os.Getpagesize()))
	if err != nil {
		return nil, err
	}
	at := os.Getpagesize()
	v, err := mmap.AtomicOf[uint64](r, at, 2)
	if err != nil {
		return nil, err
	}
	return func(n int) error {
		v.Store(0, uint64(n))
		v.Store(1, uint64(n))
		return m.durable(r, func() error {
			if n%2 == 0 {
				return v.Sync()
			}
			return r.SyncRange(at, 16)
		})
	}, nil
}

// The sharers have a region each of one file, and store to the same pages of it.
const (
	sharers     = 3
	sharedSlots = 64 // of each
	sharedName  = "shared"
	sharedSize  = sharers * sharedSlots * recordSize
)

func sharer(name string, i int, apart bool) subject {
	place := func(n int) int { return ((n-1)%sharedSlots*sharers + i) * recordSize }
	return subject{name: name, apart: apart, check: func(dir string, n int) (missing int, what string) {
		from := max(1, n-sharedSlots+2) // the next one may be where that before it was
		all := n - from + 1
		b, err := os.ReadFile(filepath.Join(dir, sharedName))
		if err != nil {
			return all, err.Error()
		}
		first := 0
		for k := from; k <= n; k++ {
			if at := place(k); at+recordSize > len(b) || !isRecord(b[at:], k) {
				missing++
				first = cmp.Or(first, k)
			}
		}
		return missingOf(missing, all, first, len(b))
	}, open: func(dir string, n int, m mode) (func(int) error, error) {
		r, err := mmap.OpenOrCreate(filepath.Join(dir, sharedName), sharedSize)
		if err != nil {
			return nil, err
		}
		return func(n int) error {
			v, err := mmap.StructViewOf[record](r, place(n), 1)
			if err != nil {
				return err
			}
			v.Set(0, recordOf(n))
			return m.durable(r, func() error {
				if n%2 == 0 {
					return r.Sync()
				}
				return v.Sync()
			})
		}, nil
	}}
}
