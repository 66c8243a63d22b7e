package main

import (
	"fmt"
	"io"
	"os"

	bleve "github.com/blevesearch/mmap-go"
	"github.com/dgraph-io/ristretto/v2/z"
	edsrzf "github.com/edsrzf/mmap-go"
)

//lint:ignore U1000 it is stored to, which keeps the compiler from leaving work out
var sink uint64

// A mapped is a whole file that another library has mapped, as the bytes that it hands
// out.
type mapped struct {
	name  string
	data  []byte
	unmap func() error
}

// mapBare maps a file by the system call alone. It is in a file for each system.

func mapEdsrzf(f *os.File, writable bool) (mapped, error) {
	prot := edsrzf.RDONLY
	if writable {
		prot = edsrzf.RDWR
	}
	m, err := edsrzf.Map(f, prot, 0)
	return mapped{"edsrzf/mmap-go", m, m.Unmap}, err
}

func mapBleve(f *os.File, writable bool) (mapped, error) {
	prot := bleve.RDONLY
	if writable {
		prot = bleve.RDWR
	}
	m, err := bleve.Map(f, prot, 0)
	return mapped{"blevesearch/mmap-go", m, m.Unmap}, err
}

// mapRistretto leaves the file open, as the others do.
func mapRistretto(f *os.File, writable bool) (mapped, error) {
	m, err := z.OpenMmapFileUsing(f, 0, writable)
	if err != nil {
		return mapped{}, err
	}
	return mapped{"ristretto z.MmapFile", m.Data, func() error { return z.Munmap(m.Data) }}, nil
}

// mapAll maps a file in every way that hands out bytes, the bare one first.
func mapAll(f *os.File, writable bool) ([]mapped, error) {
	var all []mapped
	for _, how := range []func(*os.File, bool) (mapped, error){mapBare, mapEdsrzf, mapBleve, mapRistretto} {
		m, err := how(f, writable)
		if err != nil {
			unmapAll(all)
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func unmapAll(all []mapped) {
	for _, m := range all {
		m.unmap()
	}
}

// touch accesses every page: what it costs to do so the first time is no part of what is
// measured. Where stored to, pages are made ready for that too.
func touch(b []byte, store bool) {
	for i := 0; i < len(b); i += os.Getpagesize() {
		x := b[i]
		if store {
			b[i] = x
		}
		sink += uint64(x)
	}
}

// closers closes what was opened for a workload, the last first.
type closers []io.Closer

func (c *closers) add(x io.Closer) { *c = append(*c, x) }

func (c closers) close() {
	for i := len(c) - 1; i >= 0; i-- {
		c[i].Close()
	}
}
