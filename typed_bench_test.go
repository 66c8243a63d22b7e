package mmap

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// The typed views against the bare Go beside them: the same memory, the same
// work, each loop in a function of its own that is not inlined into b.Loop. The
// two take turns within one benchmark, because these figures are ratios of a few
// per cent and the speed of a machine drifts more than that; what is reported is
// the ratio of the medians, as bare-speeds: 1 is as fast as bare Go, 2 is twice
// as fast.
//
//	go test -run '^$' -bench Typed .
//
// Memory of 16 KiB is in the first-level cache, of 64 MiB in none.

type struct16 struct{ A, B uint64 }
type struct64 struct{ A, B, C, D, E, F, G, H uint64 }

var sizes = []struct {
	name  string
	bytes int
}{{"16KiB", 16 << 10}, {"64MiB", 64 << 20}}

// versus measures ours against bare, on memory of each size.
func versus(b *testing.B, name string, bare, ours func(r *Region) func()) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("op=%s/mem=%s", name, size.name), func(b *testing.B) {
			r := anonymousRegion(b, int64(size.bytes))
			raw := r.Bytes()
			for i := range raw {
				raw[i] = byte(i * 7)
			}
			compare(b, max(1, 1<<18/size.bytes), bare(r), ours(r))
		})
	}
}

// compare lets bare and ours take turns, each turn of so many calls, and
// reports the medians and their ratio.
func compare(b *testing.B, calls int, bare, ours func()) {
	b.Helper()
	repeated := func(fn func()) func() {
		return func() {
			for range calls {
				fn()
			}
		}
	}
	nothing := func() {}
	medians := compareTimed(b, nothing, repeated(bare), nothing, repeated(ours))
	b.ReportMetric(medians[0]/float64(calls), "bare-ns")
	b.ReportMetric(medians[1]/float64(calls), "ours-ns")
}

// compareTimed is compare for what needs something made ready each time, which
// is not timed.
func compareTimed(b *testing.B, readyBare, bare, readyOurs, ours func()) (medians [2]float64) {
	b.Helper()
	var times [2][]float64
	for b.Loop() {
		for i, fn := range [2][2]func(){{readyBare, bare}, {readyOurs, ours}} {
			fn[0]()
			start := time.Now()
			fn[1]()
			times[i] = append(times[i], float64(time.Since(start)))
		}
	}
	for i, t := range times {
		slices.Sort(t)
		medians[i] = t[len(t)/2]
	}
	b.ReportMetric(0, "ns/op") // of both together, which is nobody's figure
	b.ReportMetric(medians[0], "bare-ns")
	b.ReportMetric(medians[1], "ours-ns")
	b.ReportMetric(medians[0]/medians[1], "bare-speeds")
	return medians
}

func mustView[T Fixed](r *Region) View[T] {
	v, err := ViewOf[T](r, 0, ToEnd)
	if err != nil {
		panic(err)
	}
	return v
}

func mustStruct[T any](r *Region) View[T] {
	v, err := StructViewOf[T](r, 0, ToEnd)
	if err != nil {
		panic(err)
	}
	return v
}

var sink uint64

//go:noinline
func sumSlice(s []int32) (t int32) {
	for i := range s {
		t += s[i]
	}
	return t
}

//go:noinline
func sumView(v View[int32]) (t int32) {
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func sumSliceRange(s []int32) (t int32) {
	for _, x := range s {
		t += x
	}
	return t
}

//go:noinline
func sumViewAll(v View[int32]) (t int32) {
	for _, x := range v.All() {
		t += x
	}
	return t
}

//go:noinline
func setSlice(s []int32) {
	for i := range s {
		s[i] = int32(i)
	}
}

//go:noinline
func setView(v View[int32]) {
	for i := range v.Len() {
		v.Set(i, int32(i))
	}
}

//go:noinline
func sumSlice16(s []struct16) (t uint64) {
	for i := range s {
		x := s[i]
		t += x.A ^ x.B
	}
	return t
}

//go:noinline
func sumView16(v View[struct16]) (t uint64) {
	for i := range v.Len() {
		x := v.At(i)
		t += x.A ^ x.B
	}
	return t
}

//go:noinline
func sumSlice64(s []struct64) (t uint64) {
	for i := range s {
		x := s[i]
		t += x.A ^ x.D ^ x.H
	}
	return t
}

//go:noinline
func sumView64(v View[struct64]) (t uint64) {
	for i := range v.Len() {
		x := v.At(i)
		t += x.A ^ x.D ^ x.H
	}
	return t
}

//go:noinline
func sumPtr64(v View[struct64]) (t uint64) {
	for i := range v.Len() {
		x := v.Ptr(i)
		t += x.A ^ x.D ^ x.H
	}
	return t
}

//go:noinline
func addSlice(s []int64) {
	for i := range s {
		atomic.AddInt64(&s[i], 1)
	}
}

//go:noinline
func addView(v AtomicView[int64]) {
	for i := range v.Len() {
		v.Add(i, 1)
	}
}

//go:noinline
func sumReversed32(s []uint32) (t uint32) {
	for i := range s {
		t += bits.ReverseBytes32(s[i])
	}
	return t
}

//go:noinline
func sumBig32(v BigEndian[uint32]) (t uint32) {
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func sumReversed64(s []uint64) (t uint64) {
	for i := range s {
		t += bits.ReverseBytes64(s[i])
	}
	return t
}

//go:noinline
func sumBig64(v BigEndian[uint64]) (t uint64) {
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

//go:noinline
func sumBinary32(b []byte) (t uint32) {
	for i := 0; i+4 <= len(b); i += 4 {
		t += binary.BigEndian.Uint32(b[i:])
	}
	return t
}

//go:noinline
func sumLittle(v LittleEndian[int32]) (t int32) {
	for i := range v.Len() {
		t += v.At(i)
	}
	return t
}

// scratchData is the other side of copies: the same for both ways, because how it
// lies to the first in the cache matters more than what is compared.
var scratchData []int32

func BenchmarkTyped(b *testing.B) {
	scratchData = make([]int32, 64<<20/4)
	defer func() { scratchData = nil }()
	versus(b, "At",
		func(r *Region) func() { s := mustView[int32](r).Slice(); return func() { sink += uint64(sumSlice(s)) } },
		func(r *Region) func() { v := mustView[int32](r); return func() { sink += uint64(sumView(v)) } })
	versus(b, "All",
		func(r *Region) func() {
			s := mustView[int32](r).Slice()
			return func() { sink += uint64(sumSliceRange(s)) }
		},
		func(r *Region) func() { v := mustView[int32](r); return func() { sink += uint64(sumViewAll(v)) } })
	versus(b, "Set",
		func(r *Region) func() { s := mustView[int32](r).Slice(); return func() { setSlice(s) } },
		func(r *Region) func() { v := mustView[int32](r); return func() { setView(v) } })
	versus(b, "AtStruct16",
		func(r *Region) func() { s := mustStruct[struct16](r).Slice(); return func() { sink += sumSlice16(s) } },
		func(r *Region) func() { v := mustStruct[struct16](r); return func() { sink += sumView16(v) } })
	versus(b, "AtStruct64",
		func(r *Region) func() { s := mustStruct[struct64](r).Slice(); return func() { sink += sumSlice64(s) } },
		func(r *Region) func() { v := mustStruct[struct64](r); return func() { sink += sumView64(v) } })
	versus(b, "PtrStruct64",
		func(r *Region) func() { s := mustStruct[struct64](r).Slice(); return func() { sink += sumSlice64(s) } },
		func(r *Region) func() { v := mustStruct[struct64](r); return func() { sink += sumPtr64(v) } })
	versus(b, "AtomicAdd",
		func(r *Region) func() { s := mustView[int64](r).Slice(); return func() { addSlice(s) } },
		func(r *Region) func() { v, _ := AtomicOf[int64](r, 0, ToEnd); return func() { addView(v) } })
	versus(b, "BigEndian32",
		func(r *Region) func() {
			s := mustView[uint32](r).Slice()
			return func() { sink += uint64(sumReversed32(s)) }
		},
		func(r *Region) func() {
			v, _ := BigEndianOf[uint32](r, 0, ToEnd)
			return func() { sink += uint64(sumBig32(v)) }
		})
	versus(b, "BigEndian64",
		func(r *Region) func() { s := mustView[uint64](r).Slice(); return func() { sink += sumReversed64(s) } },
		func(r *Region) func() {
			v, _ := BigEndianOf[uint64](r, 0, ToEnd)
			return func() { sink += sumBig64(v) }
		})
	versus(b, "BigEndian32VersusBinary",
		func(r *Region) func() { s := r.Bytes(); return func() { sink += uint64(sumBinary32(s)) } },
		func(r *Region) func() {
			v, _ := BigEndianOf[uint32](r, 0, ToEnd)
			return func() { sink += uint64(sumBig32(v)) }
		})
	versus(b, "LittleEndianVersusAt",
		func(r *Region) func() { v := mustView[int32](r); return func() { sink += uint64(sumView(v)) } },
		func(r *Region) func() {
			v, _ := LittleEndianOf[int32](r, 0, ToEnd)
			return func() { sink += uint64(sumLittle(v)) }
		})
	versus(b, "CopyTo",
		func(r *Region) func() {
			s := mustView[int32](r).Slice()
			dst := scratchData[:len(s)]
			return func() { copy(dst, s) }
		},
		func(r *Region) func() {
			v := mustView[int32](r)
			dst := scratchData[:v.Len()]
			return func() { v.CopyTo(dst) }
		})
	versus(b, "CopyFrom",
		func(r *Region) func() {
			s := mustView[int32](r).Slice()
			src := scratchData[:len(s)]
			return func() { copy(s, src) }
		},
		func(r *Region) func() {
			v := mustView[int32](r)
			src := scratchData[:v.Len()]
			return func() { v.CopyFrom(src) }
		})
	versus(b, "FillZero",
		func(r *Region) func() { s := mustView[int32](r).Slice(); return func() { clear(s) } },
		func(r *Region) func() { v := mustView[int32](r); return func() { v.Fill(0) } })
	versus(b, "Fill",
		func(r *Region) func() {
			s := mustView[int32](r).Slice()
			return func() {
				for i := range s {
					s[i] = 7
				}
			}
		},
		func(r *Region) func() { v := mustView[int32](r); return func() { v.Fill(7) } })
	versus(b, "CopyToBigEndian",
		func(r *Region) func() {
			s := mustView[uint32](r).Slice()
			dst := make([]uint32, len(s))
			return func() { reverseSlice(dst, s) }
		},
		func(r *Region) func() {
			v, _ := BigEndianOf[uint32](r, 0, ToEnd)
			dst := make([]uint32, v.Len())
			return func() { v.CopyTo(dst) }
		})
}

//go:noinline
func reverseSlice(dst, src []uint32) {
	for i := range src {
		dst[i] = bits.ReverseBytes32(src[i])
	}
}

// BenchmarkViewOf is what making a view costs.
func BenchmarkViewOf(b *testing.B) {
	r := anonymousRegion(b, 1<<16)
	b.Run("View", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, _ := ViewOf[int64](r, 8, 100)
			sink += uint64(uintptr(unsafe.Pointer(v.base)))
		}
	})
	b.Run("Struct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, _ := StructViewOf[struct64](r, 8, 100)
			sink += uint64(uintptr(unsafe.Pointer(v.base)))
		}
	})
}
