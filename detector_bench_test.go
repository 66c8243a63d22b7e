package mmap

import "testing"

// BenchmarkAccess is of single accesses, which are calls. It is for builds with -race:
// how much it costs to tell the detector.
func BenchmarkAccess(b *testing.B) {
	r := anonymousRegion(b, 1<<20)
	v, err := ViewOf[int32](r, 0, 1<<10)
	if err != nil {
		b.Fatal(err)
	}
	a, err := AtomicOf[uint32](r, 0, 1<<10)
	if err != nil {
		b.Fatal(err)
	}
	slice := make([]int32, 1<<10)
	p := make([]byte, 4096)
	for _, bb := range []struct {
		name string
		do   func(n int)
	}{
		{"slice element", func(n int) { benchSlice(slice, n) }},
		{"View.At", func(n int) { benchAt(v, n) }},
		{"View.Set", func(n int) { benchSet(v, n) }},
		{"AtomicView.Load", func(n int) { benchLoad(a, n) }},
		{"AtomicView.Store", func(n int) { benchStore(a, n) }},
		{"AtomicView.Add", func(n int) { benchAdd(a, n) }},
		{"ReadAt of 4096 bytes", func(n int) {
			for i := range n {
				r.ReadAt(p, int64(i%256*4096))
			}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) { bb.do(b.N) })
	}
}

//go:noinline
func benchSlice(s []int32, n int) {
	t := int32(0)
	for i := range n {
		t += s[i&(len(s)-1)]
	}
	sinkInt += int64(t)
}

//go:noinline
func benchAt(v View[int32], n int) {
	t := int32(0)
	for i := range n {
		t += v.At(i & (v.Len() - 1))
	}
	sinkInt += int64(t)
}

//go:noinline
func benchSet(v View[int32], n int) {
	for i := range n {
		v.Set(i&(v.Len()-1), 1)
	}
}

//go:noinline
func benchLoad(v AtomicView[uint32], n int) {
	t := uint32(0)
	for i := range n {
		t += v.Load(i & (v.Len() - 1))
	}
	sinkInt += int64(t)
}

//go:noinline
func benchStore(v AtomicView[uint32], n int) {
	for i := range n {
		v.Store(i&(v.Len()-1), 1)
	}
}

//go:noinline
func benchAdd(v AtomicView[uint32], n int) {
	for i := range n {
		v.Add(i&(v.Len()-1), 1)
	}
}
