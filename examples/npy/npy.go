package main

import (
	"errors"
	"fmt"
	"iter"
	"reflect"

	"github.com/seed-498deeca/mmap"
)

// This file and header.go are what a program needs to read and write .npy files in
// place. They know nothing of the rest.
//
// Who knows the type of the elements says it:
//
//	a, err := Open[float64](r)
//	x := a.At(a.Index(2, 3))
//
// Who does not reads the header, and switches on its Type:
//
//	h, err := ReadHeader(r)
//	switch h.Type {
//	case "i4":
//		a, err := As[int32](r, h)

// An Array is the array of a .npy file, in place: its elements are those of the
// mapped file. They are numbered in the order of the file: see [Header.Index].
//
// A function that wants a slice can have the mapped memory itself if the byte order is
// the machine's: mmap.ViewOf[T](r, a.Data, a.Len()), and then Slice.
type Array[T mmap.Fixed] struct {
	Header
	Elements[T]
}

// Elements are numbers in either byte order: an [mmap.LittleEndian] or an
// [mmap.BigEndian]. To have all the speed in a loop of At or Values, switch on the
// type and loop over that.
type Elements[T mmap.Fixed] interface {
	Len() int
	At(i int) T
	Set(i int, x T)
	All() iter.Seq2[int, T]
	Values() iter.Seq[T]
	CopyTo(dst []T) (int, error)
	CopyFrom(src []T) (int, error)
	Fill(x T) error
	Populate() error
	Sync() error
	Region() *mmap.Region
}

// Open returns the array of a .npy file, whose elements must be of type T.
func Open[T mmap.Fixed](r *mmap.Region) (Array[T], error) {
	h, err := ReadHeader(r)
	if err != nil {
		return Array[T]{}, err
	}
	if want := typeOf[T](); h.Type != want {
		return Array[T]{}, fmt.Errorf("%s: its elements are %s, not %s", r.Name(), h.Type, want)
	}
	return As[T](r, h)
}

// As returns the elements as numbers of type T, each of them as one or more:
// complex numbers are pairs of floats, and a float16 is the uint16 of its bits.
func As[T mmap.Fixed](r *mmap.Region, h Header) (Array[T], error) {
	a := Array[T]{Header: h}
	_, n, err := h.count()
	if err != nil {
		return a, err
	}
	size := int(reflect.TypeFor[T]().Size())
	if n%size != 0 {
		return a, fmt.Errorf("%s: %s as numbers of %d bytes", r.Name(), h.Type, size)
	}
	if h.Big {
		a.Elements, err = mmap.BigEndianOf[T](r, h.Data, n/size)
	} else {
		a.Elements, err = mmap.LittleEndianOf[T](r, h.Data, n/size)
	}
	return a, err
}

// Create makes a .npy file of zeros, of h's Shape, byte order and order of indices.
// The caller stores the elements, calls Sync if they are to be durable, and closes
// the region.
func Create[T mmap.Fixed](name string, h Header) (*mmap.Region, Array[T], error) {
	h.Type = typeOf[T]()
	head, err := h.encode()
	if err != nil {
		return nil, Array[T]{}, fmt.Errorf("%s: %w", name, err)
	}
	h.Data = len(head)
	_, n, _ := h.count()
	r, err := mmap.Create(name, int64(len(head))+int64(n))
	if err != nil {
		return nil, Array[T]{}, err
	}
	_, err = r.WriteAt(head, 0)
	a, err2 := As[T](r, h)
	if err := errors.Join(err, err2); err != nil {
		r.Close()
		return nil, Array[T]{}, err
	}
	return r, a, nil
}

// Blocks copies the elements, n at a time, into one slice that it yields again and
// again. Those of a cold file are read ahead. An error ends it.
func (a Array[T]) Blocks(n int) iter.Seq2[[]T, error] {
	switch e := a.Elements.(type) {
	case mmap.LittleEndian[T]:
		return blocks[T](e.Chunks(n), n)
	case mmap.BigEndian[T]:
		return blocks[T](e.Chunks(n), n)
	}
	return func(func([]T, error) bool) {} // the zero Array has none
}

func blocks[T mmap.Fixed, E Elements[T]](chunks iter.Seq2[int, E], n int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		buf := make([]T, n)
		for _, c := range chunks {
			n, err := c.CopyTo(buf)
			if !yield(buf[:n], err) || err != nil {
				return
			}
		}
	}
}

// typeOf returns the name that NumPy has for T. The names of Go's kinds begin with
// the same letters.
func typeOf[T mmap.Fixed]() string {
	t := reflect.TypeFor[T]()
	return fmt.Sprintf("%c%d", t.Kind().String()[0], t.Size())
}
