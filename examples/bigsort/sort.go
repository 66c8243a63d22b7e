package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/seed-498deeca/mmap"
)

// sortInPlace sorts a file through a mapping, with a buffer of that many numbers, and
// returns how many there are.
//
// It is quicksort as in the books, and stops to divide where a piece fits the buffer.
// Quicksort suits a file that is larger than memory. It goes through a piece from both
// ends, so that the system reads ahead, and has few pages in use at a time. It is done
// with the left half before it touches the right one, so that all further work on a
// piece that fits in memory is done in memory. A radix sort with 256 buckets touches
// 256 places in turn, and with a quarter of the file in memory nearly each of them is
// read from the disk again.
//
// The shortest way, slices.Sort(v.Slice()) under Guard, is as fast. But it is for
// numbers in the machine's byte order, and it does not say how far it is.
func sortInPlace(name string, buffer int) (n int, err error) {
	r, err := mmap.Open(name, mmap.ReadWrite)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	v, err := mmap.LittleEndianOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return 0, err
	}
	bar := newBar(v.Len())
	defer bar.Clear()
	s := sorter{
		buffer: make([]uint64, min(buffer, v.Len())),
		placed: func(n int) { bar.Add(n) }, // a bar that cannot be shown is no reason to stop half-way
	}
	if err := mmap.Guard(func() error { return s.sort(v) }); err != nil {
		return 0, err
	}
	return v.Len(), r.Sync() // which also notices a truncation that no access met
}

// A sorter sorts views. Its methods are called within [mmap.Guard].
type sorter struct {
	buffer []uint64
	placed func(n int) // is told when n more numbers are where they belong
}

func (s *sorter) sort(v mmap.LittleEndian[uint64]) error {
	if v.Len() <= max(len(s.buffer), 1) {
		return s.sortCopy(v)
	}
	middle := divide(v)
	if err := s.sort(v.Sub(0, middle)); err != nil {
		return err
	}
	return s.sort(v.Sub(middle, v.Len()))
}

// sortCopy sorts a short piece in the machine's own memory and byte order. So the file
// has its own byte order everywhere, and each page is stored to once.
func (s *sorter) sortCopy(v mmap.LittleEndian[uint64]) error {
	b := s.buffer[:v.Len()]
	if _, err := v.CopyTo(b); err != nil {
		return err
	}
	slices.Sort(b)
	if _, err := v.CopyFrom(b); err != nil {
		return err
	}
	s.placed(len(b))
	return nil
}

// divide exchanges numbers until none of the left part is greater than one of the
// right part. It returns where the right part begins. Neither is empty, whatever
// others store meanwhile.
func divide(v mmap.LittleEndian[uint64]) (middle int) {
	pivot := someMedian(v)
	i, j := 0, v.Len()
	for {
		for i < j && v.At(i) < pivot {
			i++
		}
		for i < j && v.At(j-1) > pivot {
			j--
		}
		if j-i < 2 {
			return min(max(i, 1), v.Len()-1)
		}
		// Equal ones are exchanged too, which divides many of them into halves.
		x, y := v.At(i), v.At(j-1)
		v.Set(i, y)
		v.Set(j-1, x)
		i++
		j--
	}
}

// someMedian returns the median of numbers from random places, which nobody can guess
// and make bad.
func someMedian(v mmap.LittleEndian[uint64]) uint64 {
	var some [63]uint64
	for i := range some {
		some[i] = v.At(rand.IntN(v.Len()))
	}
	slices.Sort(some[:])
	return some[len(some)/2]
}

// sortInHeap reads a file, sorts the numbers, and writes them back: the ordinary way.
func sortInHeap(name string) (n int, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if fi.Size()%bytesOfNumber != 0 || fi.Size() > math.MaxInt {
		return 0, fmt.Errorf("%s: a size of %d bytes is not that of numbers of %d bytes in memory", name, fi.Size(), bytesOfNumber)
	}
	numbers := make([]uint64, fi.Size()/bytesOfNumber)
	b := make([]byte, bytesOfNumber)
	in := bufio.NewReaderSize(f, 1<<20)
	for i := range numbers {
		if _, err := io.ReadFull(in, b); err != nil {
			return 0, fmt.Errorf("%s: number %d of %d: %w", name, i, len(numbers), err)
		}
		numbers[i] = binary.LittleEndian.Uint64(b)
	}
	slices.Sort(numbers)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for _, x := range numbers {
		out.Write(binary.LittleEndian.AppendUint64(out.AvailableBuffer(), x)) // an error stays until Flush
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	return len(numbers), f.Sync()
}
