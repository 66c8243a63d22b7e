// Package mmap has the interface of golang.org/x/exp/mmap, implemented with
// github.com/seed-498deeca/mmap. A program changes its import and nothing else.
//
// What differs:
//
//   - Where somebody truncated the file, ReadAt returns an error, with the number of
//     bytes that were there, and At panics with a value that can be recovered. In the
//     original both end the process.
//   - Close may be called at the same time as ReadAt and At, which then return or panic with
//     [mmap.ErrClosed], or do what they would have done before.
//   - A long ReadAt of data that is not in memory waits in a system call, so that other
//     goroutines run meanwhile.
//   - At takes about six times as long, which is the price of a fault that can be
//     recovered. Loop over what ReadAt reads, or over a [mmap.View].
//   - It maps on every system that the library knows, also where the other one reads.
//
// As there, the file is not kept open, and a reader that is forgotten is unmapped.
package mmap

import (
	"fmt"
	"io"
	"os"

	"github.com/seed-498deeca/mmap"
)

// A ReaderAt reads a mapped file. Everything may be called at any time from any goroutine.
type ReaderAt struct {
	region *mmap.Region
	size   int64
}

// Open maps the file.
func Open(filename string) (*ReaderAt, error) {
	f, err := os.Open(filename)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		return nil, err
	}
	return &ReaderAt{r, int64(r.Len())}, nil
}

// Len is how many bytes there are: none after Close.
func (r *ReaderAt) Len() int { return r.region.Len() }

// At returns byte i. It panics, with an error, if it is not there.
func (r *ReaderAt) At(i int) byte {
	b, err := mmap.Get[byte](r.region, i)
	if err != nil {
		panic(err)
	}
	return b
}

// ReadAt is that of io.ReaderAt. An offset beyond the end is an error other than io.EOF.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.region.ReadAt(p, off)
	if (err == nil || err == io.EOF) && off > r.size {
		err = fmt.Errorf("mmap: read at byte %d of the %d of %s: %w", off, r.size, r.region.Name(), mmap.ErrRange)
	}
	return n, err
}

// Close unmaps the file. Later calls return nil.
func (r *ReaderAt) Close() error { return r.region.Close() }
