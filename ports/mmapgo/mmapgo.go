// Package mmap has the interface of github.com/edsrzf/mmap-go, implemented with
// github.com/seed-498deeca/mmap. A program changes its import and nothing else.
//
// What differs:
//
//   - A slice that is used after Unmap faults. It never shows what was mapped there next.
//   - Under [mmap.Guard] a fault is an error: where the file was truncated, the disk is
//     full, the mapping is read-only, or the slice is used after Unmap.
//   - Flush makes stores durable, the file's size included, and returns the error of a
//     write-back that failed before. It takes any part of a mapping. Unmap alone makes
//     nothing durable, on Windows too.
//   - With a length below 0 and an offset, the mapping ends where the file ends, and not
//     offset bytes beyond.
//   - The file is used as it is, and is not put into blocking mode. If it is closed, Flush
//     works on Linux; elsewhere it says that the file is closed.
//
// As in the original, nothing is unmapped without Unmap.
package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"github.com/seed-498deeca/mmap"
)

// What a mapping allows. COPY counts before RDWR.
const (
	RDONLY = 0
	RDWR   = 1 << 1
	COPY   = 1 << 2 // stores are the mapping's own
	EXEC   = 1 << 3
)

// ANON maps memory, and no file.
const ANON = 1

// An MMap is the mapped bytes.
type MMap []byte

// A slice keeps nothing alive, so this does, from Map to Unmap. The key is where the
// mapping begins.
var (
	mu      sync.Mutex
	regions = map[*byte]*mmap.Region{}
)

// Map maps a file from its beginning to its end.
func Map(f *os.File, prot, flags int) (MMap, error) { return MapRegion(f, -1, prot, flags, 0) }

// MapRegion maps length bytes of a file, all that are left if length is below 0. They may
// go beyond the file's end, where an access faults until the file is long enough. (On
// Windows a file that is mapped RDWR is made that long.) The offset must be a multiple of
// the page size, as programs expect; the library would take any.
func MapRegion(f *os.File, length int, prot, flags int, offset int64) (MMap, error) {
	var r *mmap.Region
	var err error
	switch {
	case offset%int64(os.Getpagesize()) != 0:
		err = fmt.Errorf("map from byte %d: %w", offset, mmap.ErrAlignment)
	case flags&ANON != 0:
		r, err = anonymous(length, prot)
	default:
		r, err = mapFile(f, int64(length), prot, offset)
	}
	if err != nil {
		return nil, err
	}
	b := r.Reserved()
	mu.Lock()
	regions[&b[0]] = r
	mu.Unlock()
	return b, nil
}

func anonymous(length, prot int) (*mmap.Region, error) {
	if length <= 0 {
		return nil, fmt.Errorf("map %d bytes of memory: %w", length, fs.ErrInvalid)
	}
	r, err := mmap.Config{Exec: prot&EXEC != 0}.Anonymous(int64(length))
	if err == nil && prot&(RDWR|COPY) == 0 {
		if err = r.Protect(mmap.ReadOnly); err != nil {
			r.Close()
		}
	}
	return r, err
}

func mapFile(f *os.File, length int64, prot int, offset int64) (*mmap.Region, error) {
	c := mmap.Config{Offset: offset, Length: length, Exec: prot&EXEC != 0}
	switch {
	case prot&COPY != 0:
		c.Mode = mmap.CopyOnWrite
	case prot&RDWR != 0:
		c.Mode = mmap.ReadWrite
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	left := info.Size() - offset
	if length < 0 {
		length = left
	}
	if length == 0 {
		return nil, &fs.PathError{Op: "mmap", Path: f.Name(), Err: errors.New("there are no bytes to map")}
	}
	if info.Mode().IsRegular() {
		c.Length = min(length, left) // 0 is all that is left, too
		c.Reserve = length           // beyond the end: it is there once the file is
	}
	r, err := c.Map(f)
	if err == nil && runtime.GOOS == "windows" && c.Mode == mmap.ReadWrite && left < length {
		if err = r.Resize(length); err != nil {
			r.Close()
		}
	}
	return r, err
}

// region finds the region of m and the bytes of it that m has, as far as they are there.
func (m MMap) region() (r *mmap.Region, off, n int, err error) {
	if r, off = mmap.RegionOf(m); r == nil {
		return nil, 0, 0, fmt.Errorf("%d bytes that are not mapped: %w", len(m), fs.ErrInvalid)
	}
	if off+len(m) > r.Len() {
		r.Refresh() // the file may be longer by now; if it cannot be asked, it is as before
	}
	return r, off, max(0, min(len(m), r.Len()-off)), nil
}

// Flush returns when the bytes are on the disk.
func (m MMap) Flush() error {
	r, off, n, err := m.region()
	if err != nil || n == 0 {
		return err
	}
	return r.SyncRange(off, n)
}

// Lock keeps the bytes in memory, if there are any.
func (m MMap) Lock() error {
	if len(m) == 0 {
		return nil
	}
	r, off, _, err := m.region()
	if err != nil {
		return err
	}
	return r.Lock(off, len(m))
}

// Unlock lets them go again. It is no error if they are not locked.
func (m MMap) Unlock() error {
	if len(m) == 0 {
		return nil
	}
	r, off, _, err := m.region()
	if err != nil {
		return err
	}
	return r.Unlock(off, len(m))
}

// Unmap ends the mapping that Map returned as m, and sets m to nil. Of another slice it is
// an error, and the mapping stays.
func (m *MMap) Unmap() error {
	b := *m
	*m = nil
	r, err := forget(b)
	if err != nil {
		return err
	}
	return r.Close()
}

func forget(b []byte) (*mmap.Region, error) {
	mu.Lock()
	defer mu.Unlock()
	if len(b) > 0 {
		if r := regions[&b[0]]; r != nil && r.Cap() == len(b) {
			delete(regions, &b[0])
			return r, nil
		}
	}
	return nil, fmt.Errorf("%d bytes that are no whole mapping: %w", len(b), fs.ErrInvalid)
}
