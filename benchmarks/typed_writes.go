package main

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/seed-498deeca/mmap"
)

// Loops that write, each a function of its own, compiled at every place. What is written
// differs from turn to turn by the seed.

//go:noinline
func writeViewInt32[P any](v mmap.View[int32], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int32(i)+int32(seed))
	}
}

//go:noinline
func writeRawInt32[P any](s []int32, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = int32(i) + int32(seed)
	}
}

//go:noinline
func writeBinaryInt32[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-3; i += 4 {
		binary.NativeEndian.PutUint32(b[i:i+4:i+4], uint32(k+seed))
		k++
	}
}

//go:noinline
func writeViewInt64[P any](v mmap.View[int64], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int64(i)+seed)
	}
}

//go:noinline
func writeRawInt64[P any](s []int64, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = int64(i) + seed
	}
}

//go:noinline
func writeBinaryInt64[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-7; i += 8 {
		binary.NativeEndian.PutUint64(b[i:i+8:i+8], uint64(k+seed))
		k++
	}
}

//go:noinline
func writeViewFloat64[P any](v mmap.View[float64], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, float64(int64(i)+seed))
	}
}

//go:noinline
func writeRawFloat64[P any](s []float64, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = float64(int64(i) + seed)
	}
}

//go:noinline
func writeBinaryFloat64[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-7; i += 8 {
		binary.NativeEndian.PutUint64(b[i:i+8:i+8], math.Float64bits(float64(k+seed)))
		k++
	}
}

//go:noinline
func writeViewTick[P any](v mmap.View[tick], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, tick{Time: int64(i) + seed, Price: float64(seed), Count: int32(i), Kind: 1})
	}
}

//go:noinline
func writeRawTick[P any](s []tick, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = tick{Time: int64(i) + seed, Price: float64(seed), Count: int32(i), Kind: 1}
	}
}

//go:noinline
func writeBinaryTick[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-23; i += 24 {
		x := b[i : i+24 : i+24]
		binary.NativeEndian.PutUint64(x, uint64(k+seed))
		binary.NativeEndian.PutUint64(x[8:], math.Float64bits(float64(seed)))
		binary.NativeEndian.PutUint32(x[16:], uint32(k))
		binary.NativeEndian.PutUint32(x[20:], 1)
		k++
	}
}

//go:noinline
func writeViewBig32[P any](v mmap.BigEndian[int32], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int32(i)+int32(seed))
	}
}

//go:noinline
func writeRawBig32[P any](s []uint32, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes32(uint32(i) + uint32(seed))
	}
}

//go:noinline
func writeBinaryBig32[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-3; i += 4 {
		binary.BigEndian.PutUint32(b[i:i+4:i+4], uint32(k+seed))
		k++
	}
}

//go:noinline
func writeViewBig64[P any](v mmap.BigEndian[int64], seed int64) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int64(i)+seed)
	}
}

//go:noinline
func writeRawBig64[P any](s []uint64, seed int64) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes64(uint64(i) + uint64(seed))
	}
}

//go:noinline
func writeBinaryBig64[P any](b []byte, seed int64) {
	pad[P]()
	k := int64(0)
	for i := 0; i < len(b)-7; i += 8 {
		binary.BigEndian.PutUint64(b[i:i+8:i+8], uint64(k+seed))
		k++
	}
}
