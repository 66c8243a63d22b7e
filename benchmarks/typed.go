package main

import (
	"errors"
	"os"
	"unsafe"

	"github.com/seed-498deeca/mmap"
)

// Loops over numbers that a file holds: all of them are read, or written, in order.

// The kinds of numbers, with the same order in loops.h.
const (
	kindInt32 = iota
	kindInt64
	kindFloat64
	kindTick
	kindBig32
	kindBig64
	kinds
)

var kindNames = [kinds]string{"int32", "int64", "float64", "a struct", "big-endian int32", "big-endian int64"}

// A tick is a struct with one layout on every machine.
type tick struct {
	Time        int64
	Price       float64
	Count, Kind int32
}

// A typedData is numbers of all kinds: a file that we have mapped, and one with the same
// bytes that is mapped by the bare system call. One file for both would not be the same:
// the first-level caches of some processors are slow where memory has two addresses.
type typedData struct {
	ours *mmap.Region
	bare mapped

	int32s   mmap.View[int32]
	int64s   mmap.View[int64]
	float64s mmap.View[float64]
	ticks    mmap.View[tick]
	big32s   mmap.BigEndian[int32]
	big64s   mmap.BigEndian[int64]
}

// raw is the bare mapping as a slice.
func raw[T any](b []byte) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(*new(T))))
}

// fillTyped fills f. Each 8 bytes are a float64 that is a small integer: so sums are exact,
// in whatever order they are added up, and every kind has numbers.
func fillTyped(f *os.File, size int) error {
	buf := make([]byte, min(size, 1<<20))
	for i := range raw[float64](buf) {
		raw[float64](buf)[i] = float64(uint32(i) * 2654435761 >> 24)
	}
	for done := 0; done < size; done += len(buf) {
		if _, err := f.WriteAt(buf[:min(len(buf), size-done)], int64(done)); err != nil {
			return err
		}
	}
	return f.Sync() // so that no write-back goes on meanwhile
}

// newTypedData maps f, and bare by the system call alone.
func newTypedData(f, bare *os.File, size int, writable bool) (d *typedData, err error) {
	d = new(typedData)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	mode := mmap.ReadOnly
	if writable {
		mode = mmap.ReadWrite
	}
	if d.ours, err = mmap.Map(f, mode); err != nil {
		return nil, err
	}
	if d.bare, err = mapBare(bare, writable); err != nil {
		return nil, err
	}
	touch(d.ours.Bytes(), writable)
	touch(d.bare.data, writable)
	var e [kinds]error
	d.int32s, e[0] = mmap.ViewOf[int32](d.ours, 0, mmap.ToEnd)
	d.int64s, e[1] = mmap.ViewOf[int64](d.ours, 0, mmap.ToEnd)
	d.float64s, e[2] = mmap.ViewOf[float64](d.ours, 0, mmap.ToEnd)
	d.ticks, e[3] = mmap.StructViewOf[tick](d.ours, 0, size/int(unsafe.Sizeof(tick{})))
	d.big32s, e[4] = mmap.BigEndianOf[int32](d.ours, 0, mmap.ToEnd)
	d.big64s, e[5] = mmap.BigEndianOf[int64](d.ours, 0, mmap.ToEnd)
	return d, errors.Join(e[:]...)
}

func (d *typedData) close() {
	if d.bare.unmap != nil {
		d.bare.unmap()
	}
	if d.ours != nil {
		d.ours.Close()
	}
}

// count is how many numbers of a kind there are.
func (d *typedData) count(kind int) int {
	return len(d.bare.data) / [kinds]int{4, 8, 8, 24, 4, 8}[kind]
}

// A pass goes over all numbers of a kind once. It returns their sum, or writes what the
// seed says.
type pass struct {
	read  func() uint64
	write func(seed int64)
}

// The ways to go over them in Go.
const (
	byView   = iota // At and Set
	byValues        // the iterator
	bySlice         // raw memory of the region
	byBare          // raw memory of the bare mapping
	byBinary
	goWays
)

const (
	sliceName = "slice of the same memory"
	bareName  = "slice over bare mmap"
)

func goWayName(kind, way int, method string) string {
	view := "View."
	if kind >= kindBig32 {
		view = "BigEndian."
	}
	return [goWays]string{view + method, view + "Values", sliceName, bareName, "encoding/binary"}[way]
}

// passesAt makes the passes at one place.
func passesAt[P any](d *typedData) [kinds][goWays]pass {
	ours, bare := d.ours.Bytes(), d.bare.data
	return [kinds][goWays]pass{
		passes(d.int32s, raw[int32](ours), raw[int32](bare), ours,
			readViewInt32[P], readValuesInt32[P], readRawInt32[P], readBinaryInt32[P],
			writeViewInt32[P], writeRawInt32[P], writeBinaryInt32[P]),
		passes(d.int64s, raw[int64](ours), raw[int64](bare), ours,
			readViewInt64[P], readValuesInt64[P], readRawInt64[P], readBinaryInt64[P],
			writeViewInt64[P], writeRawInt64[P], writeBinaryInt64[P]),
		passes(d.float64s, raw[float64](ours), raw[float64](bare), ours,
			readViewFloat64[P], readValuesFloat64[P], readRawFloat64[P], readBinaryFloat64[P],
			writeViewFloat64[P], writeRawFloat64[P], writeBinaryFloat64[P]),
		passes(d.ticks, raw[tick](ours), raw[tick](bare), ours,
			readViewTick[P], readValuesTick[P], readRawTick[P], readBinaryTick[P],
			writeViewTick[P], writeRawTick[P], writeBinaryTick[P]),
		passes(d.big32s, raw[uint32](ours), raw[uint32](bare), ours,
			readViewBig32[P], readValuesBig32[P], readRawBig32[P], readBinaryBig32[P],
			writeViewBig32[P], writeRawBig32[P], writeBinaryBig32[P]),
		passes(d.big64s, raw[uint64](ours), raw[uint64](bare), ours,
			readViewBig64[P], readValuesBig64[P], readRawBig64[P], readBinaryBig64[P],
			writeViewBig64[P], writeRawBig64[P], writeBinaryBig64[P]),
	}
}

func passes[V, E any](v V, ours, bare []E, b []byte,
	readView, readValues func(V) uint64, readRaw func([]E) uint64, readBytes func([]byte) uint64,
	writeView func(V, int64), writeRaw func([]E, int64), writeBytes func([]byte, int64),
) [goWays]pass {
	return [goWays]pass{
		byView:   {func() uint64 { return readView(v) }, func(seed int64) { writeView(v, seed) }},
		byValues: {func() uint64 { return readValues(v) }, nil},
		bySlice:  {func() uint64 { return readRaw(ours) }, func(seed int64) { writeRaw(ours, seed) }},
		byBare:   {func() uint64 { return readRaw(bare) }, func(seed int64) { writeRaw(bare, seed) }},
		byBinary: {func() uint64 { return readBytes(b) }, func(seed int64) { writeBytes(b, seed) }},
	}
}

// passesEverywhere makes them at all places.
func passesEverywhere(d *typedData) [][kinds][goWays]pass {
	return [][kinds][goWays]pass{
		passesAt[[0]byte](d), passesAt[[1]byte](d), passesAt[[2]byte](d), passesAt[[3]byte](d),
		passesAt[[4]byte](d), passesAt[[5]byte](d), passesAt[[6]byte](d), passesAt[[7]byte](d),
		passesAt[[8]byte](d), passesAt[[9]byte](d), passesAt[[10]byte](d), passesAt[[11]byte](d),
		passesAt[[12]byte](d), passesAt[[13]byte](d), passesAt[[14]byte](d), passesAt[[15]byte](d),
		passesAt[[16]byte](d), passesAt[[17]byte](d), passesAt[[18]byte](d), passesAt[[19]byte](d),
		passesAt[[20]byte](d), passesAt[[21]byte](d), passesAt[[22]byte](d), passesAt[[23]byte](d),
	}
}
