package mmap

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// Where a tight loop lies in memory can change its speed by two. So each loop
// here is compiled at 24 places, with code of a different length before it, and
// compared at each with the bare Go loop. Reported is the median over the places
// of the time of ours to that of bare Go, and the least and the most.
//
//	go test -run '^$' -bench Placements .

// A place is an array of bytes whose length is its number, as a type parameter.
// The compiler makes code of its own for types of different sizes: the copies.

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

// padding is what pad would store to: fields of different sizes, because the
// stores have instructions of different lengths.
var padding struct {
	on bool
	a  uint8
	b  uint16
	c  uint32
	d  uint64
	_  uint64
	e  uint64
}

// A contest is two ways to do the same work.
type contest struct{ bare, ours func() }

// loops makes the contests at one place.
func loops[P any](r *Region) map[string]contest {
	return map[string]contest{
		"View[int32].At":           race(rawOf[int32](r), bareAtViewInt32[P], viewOf[int32](r), oursAtViewInt32[P]),
		"View[float64].At":         race(rawOf[float64](r), bareAtViewFloat64[P], viewOf[float64](r), oursAtViewFloat64[P]),
		"BigEndian[int32].At":      race(rawOf[uint32](r), bareAtBigInt32[P], bigendianOf[int32](r), oursAtBigInt32[P]),
		"BigEndian[uint16].At":     race(rawOf[uint16](r), bareAtBigUint16[P], bigendianOf[uint16](r), oursAtBigUint16[P]),
		"BigEndian[int64].At":      race(rawOf[uint64](r), bareAtBigInt64[P], bigendianOf[int64](r), oursAtBigInt64[P]),
		"BigEndian[float32].At":    race(rawOf[uint32](r), bareAtBigFloat32[P], bigendianOf[float32](r), oursAtBigFloat32[P]),
		"BigEndian[float64].At":    race(rawOf[uint64](r), bareAtBigFloat64[P], bigendianOf[float64](r), oursAtBigFloat64[P]),
		"LittleEndian[int64].At":   race(rawOf[int64](r), bareAtLittleInt64[P], littleendianOf[int64](r), oursAtLittleInt64[P]),
		"LittleEndian[float64].At": race(rawOf[float64](r), bareAtLittleFloat64[P], littleendianOf[float64](r), oursAtLittleFloat64[P]),
		"View[int32].Set":          race(rawOf[int32](r), bareSetViewInt32[P], viewOf[int32](r), oursSetViewInt32[P]),
		"BigEndian[int32].Set":     race(rawOf[uint32](r), bareSetBigInt32[P], bigendianOf[int32](r), oursSetBigInt32[P]),
		"BigEndian[uint16].Set":    race(rawOf[uint16](r), bareSetBigUint16[P], bigendianOf[uint16](r), oursSetBigUint16[P]),
		"BigEndian[int64].Set":     race(rawOf[uint64](r), bareSetBigInt64[P], bigendianOf[int64](r), oursSetBigInt64[P]),
		"BigEndian[float32].Set":   race(rawOf[uint32](r), bareSetBigFloat32[P], bigendianOf[float32](r), oursSetBigFloat32[P]),
		"BigEndian[float64].Set":   race(rawOf[uint64](r), bareSetBigFloat64[P], bigendianOf[float64](r), oursSetBigFloat64[P]),
		"AtomicView[int64].Add":    race(rawOf[int64](r), bareAdd[P], atomicviewOf[int64](r), oursAdd[P]),
	}
}

func race[S, B, V, O any](s S, bare func(S) B, v V, ours func(V) O) contest {
	return contest{func() { bare(s) }, func() { ours(v) }}
}

func rawOf[T Fixed](r *Region) []T      { return mustView[T](r).Slice() }
func viewOf[T Fixed](r *Region) View[T] { return mustView[T](r) }

func bigendianOf[T Fixed](r *Region) BigEndian[T] {
	v, err := BigEndianOf[T](r, 0, ToEnd)
	if err != nil {
		panic(err)
	}
	return v
}

func littleendianOf[T Fixed](r *Region) LittleEndian[T] {
	v, err := LittleEndianOf[T](r, 0, ToEnd)
	if err != nil {
		panic(err)
	}
	return v
}

func atomicviewOf[T AtomicInteger](r *Region) AtomicView[T] {
	v, err := AtomicOf[T](r, 0, ToEnd)
	if err != nil {
		panic(err)
	}
	return v
}

func BenchmarkPlacements(b *testing.B) {
	r := anonymousRegion(b, 16<<10)
	places := []func(*Region) map[string]contest{
		loops[[0]byte], loops[[1]byte], loops[[2]byte], loops[[3]byte], loops[[4]byte], loops[[5]byte],
		loops[[6]byte], loops[[7]byte], loops[[8]byte], loops[[9]byte], loops[[10]byte], loops[[11]byte],
		loops[[12]byte], loops[[13]byte], loops[[14]byte], loops[[15]byte], loops[[16]byte], loops[[17]byte],
		loops[[18]byte], loops[[19]byte], loops[[20]byte], loops[[21]byte], loops[[22]byte], loops[[23]byte],
	}
	contests := make(map[string][]contest)
	for _, loops := range places {
		for name, p := range loops(r) {
			contests[name] = append(contests[name], p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(contests)) {
		b.Run("op="+name, func(b *testing.B) {
			turns := make([][]float64, len(places)) // of each, the ratio
			for b.Loop() {
				clear(r.Bytes()) // zeros: no sum becomes a number that is slow to add
				for i, p := range contests[name] {
					bare := timed(p.bare)
					turns[i] = append(turns[i], timed(p.ours)/bare)
				}
			}
			var ratios []float64
			for _, t := range turns {
				slices.Sort(t)
				ratios = append(ratios, t[len(t)/2])
			}
			slices.Sort(ratios)
			b.ReportMetric(0, "ns/op") // of all together, which is nobody's figure
			b.ReportMetric(ratios[0], "least")
			b.ReportMetric(ratios[len(ratios)/2], "median")
			b.ReportMetric(ratios[len(ratios)-1], "most")
		})
	}
}

// timed is how long some calls of fn take, the first of them not counted.
func timed(fn func()) float64 {
	fn()
	start := time.Now()
	for range 8 {
		fn()
	}
	return float64(time.Since(start))
}

//go:noinline
func bareAtViewInt32[P any](s []int32) (t int32) {
	pad[P]()
	for i := range s {
		t += s[i]
	}
	return t
}

//go:noinline
func oursAtViewInt32[P any](v View[int32]) (t int32) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtViewFloat64[P any](s []float64) (t float64) {
	pad[P]()
	for i := range s {
		t += s[i]
	}
	return t
}

//go:noinline
func oursAtViewFloat64[P any](v View[float64]) (t float64) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtBigInt32[P any](s []uint32) (t int32) {
	pad[P]()
	for i := range s {
		t += int32(bits.ReverseBytes32(s[i]))
	}
	return t
}

//go:noinline
func oursAtBigInt32[P any](v BigEndian[int32]) (t int32) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtBigUint16[P any](s []uint16) (t uint16) {
	pad[P]()
	for i := range s {
		t += bits.ReverseBytes16(s[i])
	}
	return t
}

//go:noinline
func oursAtBigUint16[P any](v BigEndian[uint16]) (t uint16) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtBigInt64[P any](s []uint64) (t int64) {
	pad[P]()
	for i := range s {
		t += int64(bits.ReverseBytes64(s[i]))
	}
	return t
}

//go:noinline
func oursAtBigInt64[P any](v BigEndian[int64]) (t int64) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtBigFloat32[P any](s []uint32) (t float32) {
	pad[P]()
	for i := range s {
		t += math.Float32frombits(bits.ReverseBytes32(s[i]))
	}
	return t
}

//go:noinline
func oursAtBigFloat32[P any](v BigEndian[float32]) (t float32) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtBigFloat64[P any](s []uint64) (t float64) {
	pad[P]()
	for i := range s {
		t += math.Float64frombits(bits.ReverseBytes64(s[i]))
	}
	return t
}

//go:noinline
func oursAtBigFloat64[P any](v BigEndian[float64]) (t float64) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtLittleInt64[P any](s []int64) (t int64) {
	pad[P]()
	for i := range s {
		t += s[i]
	}
	return t
}

//go:noinline
func oursAtLittleInt64[P any](v LittleEndian[int64]) (t int64) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareAtLittleFloat64[P any](s []float64) (t float64) {
	pad[P]()
	for i := range s {
		t += s[i]
	}
	return t
}

//go:noinline
func oursAtLittleFloat64[P any](v LittleEndian[float64]) (t float64) {
	pad[P]()
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func bareSetViewInt32[P any](s []int32) (t int) {
	pad[P]()
	for i := range s {
		s[i] = int32(i)
	}
	return t
}

//go:noinline
func oursSetViewInt32[P any](v View[int32]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int32(i))
	}
	return t
}

//go:noinline
func bareSetBigInt32[P any](s []uint32) (t int) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes32(uint32(i))
	}
	return t
}

//go:noinline
func oursSetBigInt32[P any](v BigEndian[int32]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int32(i))
	}
	return t
}

//go:noinline
func bareSetBigUint16[P any](s []uint16) (t int) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes16(uint16(i))
	}
	return t
}

//go:noinline
func oursSetBigUint16[P any](v BigEndian[uint16]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, uint16(i))
	}
	return t
}

//go:noinline
func bareSetBigInt64[P any](s []uint64) (t int) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes64(uint64(i))
	}
	return t
}

//go:noinline
func oursSetBigInt64[P any](v BigEndian[int64]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, int64(i))
	}
	return t
}

//go:noinline
func bareSetBigFloat32[P any](s []uint32) (t int) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes32(math.Float32bits(float32(i)))
	}
	return t
}

//go:noinline
func oursSetBigFloat32[P any](v BigEndian[float32]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, float32(i))
	}
	return t
}

//go:noinline
func bareSetBigFloat64[P any](s []uint64) (t int) {
	pad[P]()
	for i := range s {
		s[i] = bits.ReverseBytes64(math.Float64bits(float64(i)))
	}
	return t
}

//go:noinline
func oursSetBigFloat64[P any](v BigEndian[float64]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Set(i, float64(i))
	}
	return t
}

//go:noinline
func bareAdd[P any](s []int64) (t int) {
	pad[P]()
	for i := range s {
		atomic.AddInt64(&s[i], 1)
	}
	return t
}

//go:noinline
func oursAdd[P any](v AtomicView[int64]) (t int) {
	pad[P]()
	for i := range v.Len() {
		v.Add(i, 1)
	}
	return t
}
