package mmap

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Both fields of a twice are of one type. Twenty of them, one in the other, have
// 1 Mi numbers, and 26 have 64 Mi.
type (
	twice[T any]  struct{ A, B T }
	four[T any]   = twice[twice[T]]
	deep10[T any] = four[four[four[four[four[T]]]]]
	deep20[T any] = deep10[deep10[T]]
	deep26[T any] = deep20[four[four[four[T]]]]
)

// soon fails the test if fn takes long three times. One time may be the machine's.
func soon(t testing.TB, what string, fn func()) {
	t.Helper()
	var took [3]time.Duration
	for i := range took {
		layouts.Clear() // to find it out anew
		begin := time.Now()
		fn()
		if took[i] = time.Since(begin); took[i] < time.Second/4 {
			return
		}
	}
	t.Errorf("%s took %v", what, took)
}

func TestADeeplyNestedTypeIsMeasuredInNoTime(t *testing.T) {
	r := anonymousRegion(t, 2<<20)
	soon(t, "a view of 20 structs, one in the other", func() {
		v, err := StructViewOf[deep20[uint16]](r, 0, 1)
		if err != nil || v.Len() != 1 {
			t.Errorf("%d elements, %v", v.Len(), err)
		}
	})
	soon(t, "26 structs, one in the other", func() {
		if align, err := layoutOf(reflect.TypeFor[deep26[uint16]]()); align != 2 || err != nil {
			t.Errorf("alignment %d, %v, want 2", align, err)
		}
	})
	soon(t, "arrays of arrays", func() {
		if align, err := layoutOf(reflect.TypeFor[[2]twice[[2]twice[[2]deep20[[2]uint64]]]]()); align != 8 || err != nil {
			t.Errorf("alignment %d, %v, want 8", align, err)
		}
	})
}

func TestAFlawDeepInsideIsFoundAndItsPathNamed(t *testing.T) {
	soon(t, "the flaw of the innermost type", func() {
		_, err := layoutOf(reflect.TypeFor[deep26[int]]())
		wantErr(t, err, ErrLayout, "field "+strings.TrimSuffix(strings.Repeat("A.", 26), ".")+": int has")
	})
	// What has no flaw is met first, and 64 Mi times.
	type lastOne struct {
		Good deep26[uint32]
		Bad  twice[uint]
	}
	soon(t, "a flaw after all that has none", func() {
		_, err := layoutOf(reflect.TypeFor[lastOne]())
		wantErr(t, err, ErrLayout, "field Bad.A: uint has")
	})
}
