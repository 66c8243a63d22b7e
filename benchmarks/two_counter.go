package main

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/seed-498deeca/mmap"
)

// A twoCounter is a counter that two processes add to.
type twoCounter interface {
	add(n int) error
	load() (int64, error)
	close() error
}

var twoCounters = map[string]func(name string) (twoCounter, error){
	"AtomicView.Add":         openViewCounter,
	"bare mmap, sync/atomic": openBareCounter,
	"flock, pread, pwrite":   openLockedCounter,
}

type viewCounter struct{ v mmap.AtomicView[int64] }

func openViewCounter(name string) (twoCounter, error) {
	r, err := mmap.Open(name, mmap.ReadWrite)
	if err != nil {
		return nil, err
	}
	v, err := mmap.AtomicOf[int64](r, 0, 1)
	return viewCounter{v}, err
}

//go:noinline
func (c viewCounter) add(n int) error {
	for range n {
		c.v.Add(0, 1)
	}
	return nil
}

func (c viewCounter) load() (int64, error) { return c.v.Load(0), nil }
func (c viewCounter) close() error         { return c.v.Region().Close() }

type bareCounter struct {
	p *int64
	m mapped
}

func openBareCounter(name string) (twoCounter, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := mapBare(f, true)
	if err != nil {
		return nil, err
	}
	return bareCounter{(*int64)(unsafe.Pointer(unsafe.SliceData(m.data))), m}, nil
}

//go:noinline
func (c bareCounter) add(n int) error {
	for range n {
		atomic.AddInt64(c.p, 1)
	}
	return nil
}

func (c bareCounter) load() (int64, error) { return atomic.LoadInt64(c.p), nil }
func (c bareCounter) close() error         { return c.m.unmap() }

// A lockedCounter is in a file that is locked for each increment.
type lockedCounter struct{ f *os.File }

func openLockedCounter(name string) (twoCounter, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		if err = twoLock(f); err == nil {
			err = twoUnlock(f)
		}
	}
	return lockedCounter{f}, err
}

//go:noinline
func (c lockedCounter) add(n int) error {
	var buf [8]byte
	for range n {
		if err := twoLock(c.f); err != nil {
			return err
		}
		_, err := c.f.ReadAt(buf[:], 0)
		if err == nil {
			binary.NativeEndian.PutUint64(buf[:], binary.NativeEndian.Uint64(buf[:])+1)
			_, err = c.f.WriteAt(buf[:], 0)
		}
		if err != nil {
			return err
		}
		if err := twoUnlock(c.f); err != nil {
			return err
		}
	}
	return nil
}

func (c lockedCounter) load() (int64, error) {
	var buf [8]byte
	_, err := c.f.ReadAt(buf[:], 0)
	return int64(binary.NativeEndian.Uint64(buf[:])), err
}

func (c lockedCounter) close() error { return c.f.Close() }
