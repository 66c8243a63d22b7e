//go:build !mmap_posix

package mmap

import (
	"runtime"
	"testing"
)

// Raw memory that was handed out through a view belongs to the view's mapping,
// whatever its Region is a handle on by now: that mapping then stays.
func TestRawMemoryIsNotedAtTheMappingOfTheView(t *testing.T) {
	for _, tt := range []struct {
		name string
		raw  func(v View[int32]) *int32 // nil: none
		stay bool
	}{
		{"Ptr", func(v View[int32]) *int32 { return v.Ptr(0) }, true},
		{"Slice", func(v View[int32]) *int32 { return &v.Slice()[0] }, true},
		{"Sub.Slice", func(v View[int32]) *int32 { return &v.Sub(0, 1).Slice()[0] }, true},
		{"none", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p *int32
			var first, second *mapping
			func() {
				r1, err := Open(tempFile(t, []byte("\x01\x01\x01\x01")), ReadWrite)
				if err != nil {
					t.Fatal(err)
				}
				r2, err := Open(tempFile(t, []byte("\x02\x02\x02\x02")), ReadWrite)
				if err != nil {
					t.Fatal(err)
				}
				v, err := ViewOf[int32](r1, 0, 1)
				if err != nil {
					t.Fatal(err)
				}
				first, second = r1.o.mapping, r2.o.mapping
				*r1 = *r2
				if tt.raw != nil {
					p = tt.raw(v)
				}
				collectAll(t)
				if got := v.At(0); got != 0x01010101 {
					t.Errorf("the view reads %#x after a collection", got)
				}
				runtime.KeepAlive(v)
				runtime.KeepAlive(r1)
			}()
			if (first.exposed.Load() > 0) != tt.stay || second.exposed.Load() > 0 {
				t.Errorf("raw memory is noted as %v at the view's mapping, and as %v at the other", first.exposed.Load(), second.exposed.Load())
			}
			collectTill(t, func() bool { return !listed(second) })
			if tt.stay {
				collectAll(t)
				if !listed(first) || *p != 0x01010101 {
					t.Error("the memory was unmapped although raw memory was handed out")
				}
				return
			}
			collectTill(t, func() bool { return !listed(first) })
		})
	}
}
