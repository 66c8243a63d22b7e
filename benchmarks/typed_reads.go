package main

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/seed-498deeca/mmap"
)

// Loops that read, each a function of its own, compiled at every place. With
// the third index, encoding/binary is fastest: one bounds check is left.

//go:noinline
func readViewInt32[P any](v mmap.View[int32]) uint64 {
	pad[P]()
	t := int32(0)
	for i := range v.Len() {
		t += v.At(i)
	}
	return uint64(uint32(t))
}

//go:noinline
func readValuesInt32[P any](v mmap.View[int32]) uint64 {
	pad[P]()
	t := int32(0)
	for x := range v.Values() {
		t += x
	}
	return uint64(uint32(t))
}

//go:noinline
func readRawInt32[P any](s []int32) uint64 {
	pad[P]()
	t := int32(0)
	for _, x := range s {
		t += x
	}
	return uint64(uint32(t))
}

//go:noinline
func readBinaryInt32[P any](b []byte) uint64 {
	pad[P]()
	t := int32(0)
	for i := 0; i < len(b)-3; i += 4 {
		t += int32(binary.NativeEndian.Uint32(b[i : i+4 : i+4]))
	}
	return uint64(uint32(t))
}

//go:noinline
func readViewInt64[P any](v mmap.View[int64]) uint64 {
	pad[P]()
	t := int64(0)
	for i := range v.Len() {
		t += v.At(i)
	}
	return uint64(t)
}

//go:noinline
func readValuesInt64[P any](v mmap.View[int64]) uint64 {
	pad[P]()
	t := int64(0)
	for x := range v.Values() {
		t += x
	}
	return uint64(t)
}

//go:noinline
func readRawInt64[P any](s []int64) uint64 {
	pad[P]()
	t := int64(0)
	for _, x := range s {
		t += x
	}
	return uint64(t)
}

//go:noinline
func readBinaryInt64[P any](b []byte) uint64 {
	pad[P]()
	t := int64(0)
	for i := 0; i < len(b)-7; i += 8 {
		t += int64(binary.NativeEndian.Uint64(b[i : i+8 : i+8]))
	}
	return uint64(t)
}

//go:noinline
func readViewFloat64[P any](v mmap.View[float64]) uint64 {
	pad[P]()
	t := float64(0)
	for i := range v.Len() {
		t += v.At(i)
	}
	return uint64(int64(t))
}

//go:noinline
func readValuesFloat64[P any](v mmap.View[float64]) uint64 {
	pad[P]()
	t := float64(0)
	for x := range v.Values() {
		t += x
	}
	return uint64(int64(t))
}

//go:noinline
func readRawFloat64[P any](s []float64) uint64 {
	pad[P]()
	t := float64(0)
	for _, x := range s {
		t += x
	}
	return uint64(int64(t))
}

//go:noinline
func readBinaryFloat64[P any](b []byte) uint64 {
	pad[P]()
	t := float64(0)
	for i := 0; i < len(b)-7; i += 8 {
		t += math.Float64frombits(binary.NativeEndian.Uint64(b[i : i+8 : i+8]))
	}
	return uint64(int64(t))
}

//go:noinline
func readViewTick[P any](v mmap.View[tick]) uint64 {
	pad[P]()
	t := int64(0)
	for i := range v.Len() {
		x := v.At(i)
		t += x.Time + int64(x.Price) + int64(x.Count)
	}
	return uint64(t)
}

//go:noinline
func readValuesTick[P any](v mmap.View[tick]) uint64 {
	pad[P]()
	t := int64(0)
	for x := range v.Values() {
		t += x.Time + int64(x.Price) + int64(x.Count)
	}
	return uint64(t)
}

//go:noinline
func readRawTick[P any](s []tick) uint64 {
	pad[P]()
	t := int64(0)
	for _, x := range s {
		t += x.Time + int64(x.Price) + int64(x.Count)
	}
	return uint64(t)
}

//go:noinline
func readBinaryTick[P any](b []byte) uint64 {
	pad[P]()
	t := int64(0)
	for i := 0; i < len(b)-23; i += 24 {
		x := b[i : i+24 : i+24]
		t += int64(binary.NativeEndian.Uint64(x))
		t += int64(math.Float64frombits(binary.NativeEndian.Uint64(x[8:])))
		t += int64(int32(binary.NativeEndian.Uint32(x[16:])))
	}
	return uint64(t)
}

//go:noinline
func readViewBig32[P any](v mmap.BigEndian[int32]) uint64 {
	pad[P]()
	t := int32(0)
	for i := range v.Len() {
		t += v.At(i)
	}
	return uint64(uint32(t))
}

//go:noinline
func readValuesBig32[P any](v mmap.BigEndian[int32]) uint64 {
	pad[P]()
	t := int32(0)
	for x := range v.Values() {
		t += x
	}
	return uint64(uint32(t))
}

//go:noinline
func readRawBig32[P any](s []uint32) uint64 {
	pad[P]()
	t := int32(0)
	for _, x := range s {
		t += int32(bits.ReverseBytes32(x))
	}
	return uint64(uint32(t))
}

//go:noinline
func readBinaryBig32[P any](b []byte) uint64 {
	pad[P]()
	t := int32(0)
	for i := 0; i < len(b)-3; i += 4 {
		t += int32(binary.BigEndian.Uint32(b[i : i+4 : i+4]))
	}
	return uint64(uint32(t))
}

//go:noinline
func readViewBig64[P any](v mmap.BigEndian[int64]) uint64 {
	pad[P]()
	t := int64(0)
	for i := range v.Len() {
		t += v.At(i)
	}
	return uint64(t)
}

//go:noinline
func readValuesBig64[P any](v mmap.BigEndian[int64]) uint64 {
	pad[P]()
	t := int64(0)
	for x := range v.Values() {
		t += x
	}
	return uint64(t)
}

//go:noinline
func readRawBig64[P any](s []uint64) uint64 {
	pad[P]()
	t := int64(0)
	for _, x := range s {
		t += int64(bits.ReverseBytes64(x))
	}
	return uint64(t)
}

//go:noinline
func readBinaryBig64[P any](b []byte) uint64 {
	pad[P]()
	t := int64(0)
	for i := 0; i < len(b)-7; i += 8 {
		t += int64(binary.BigEndian.Uint64(b[i : i+8 : i+8]))
	}
	return uint64(t)
}
