package main

import "unsafe"

// Where a tight loop lies in memory can change its speed by two. So each is compiled at 24
// places, with code of a different length before it, and round k runs those of place k
// mod 24.
//
// A place is an array of bytes whose length is its number, as a type parameter. The
// compiler makes code of its own for types of different sizes: the copies.

// pad is code of a length of its own for each place, which is never executed.
func pad[P any]() {
	if !padding.on {
		return
	}
	place := unsafe.Sizeof(*new(P)) // a constant: what is not for this place is not compiled
	if place&1 != 0 {
		padding.a = 1
	}
	if place&2 != 0 {
		padding.b = 1
	}
	if place&4 != 0 {
		padding.c = 1
	}
	if place&8 != 0 {
		padding.d = 1
	}
	if place&16 != 0 {
		padding.d, padding.e = 1, 2
	}
}

// padding is what pad would store to: fields of different sizes, because the stores have
// instructions of different lengths.
var padding struct {
	on bool
	a  uint8
	b  uint16
	c  uint32
	d  uint64
	_  uint64
	e  uint64
}
