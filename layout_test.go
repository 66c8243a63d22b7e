package mmap

import (
	"errors"
	"reflect"
	"strings"
	"structs"
	"sync/atomic"
	"testing"
	"unsafe"
)

type (
	point struct{ X, Y int32 }
	mixed struct {
		A, B uint8
		C    uint16
		D    uint32
		E    uint64
	}
	blank struct {
		A uint8
		_ [3]byte
		B uint32
	}
	blankEnd struct {
		A uint64
		B uint32
		_ [4]byte
	}
	blankInt struct {
		A uint16
		_ uint16
		B float32
	}
	nested struct {
		P point
		Q [2]point
		N uint64
	}
	embedded struct {
		point
		Z int64
	}
	deep struct{ A [2][3]struct{ V [4]uint16 } }
	host struct {
		_ structs.HostLayout
		A int32
		B uint32
	}
	hostOnly  struct{ _ structs.HostLayout }
	hostInner struct {
		H host
		N int64
	}
	floats struct {
		F float32
		G float32
		D float64
	}
	complexes struct {
		C complex64
		D complex128
	}
	named struct {
		T celsius
		M myInt
	}
	myInt     int32
	zeroFirst struct {
		_ [0]uint64
		A uint64
	}
	zeroMid struct {
		A uint32
		_ struct{}
		B uint32
	}
	counter struct {
		N atomic.Int64
		M atomic.Uint32
		_ [4]byte
	}
	pair[K, V any] struct {
		Key   K
		Value V
	}
	tree     struct{ Nodes [4]treeNode }
	treeNode struct {
		Left, Right int32
		Leaf        [2]leaf
	}
	leaf struct {
		Hash [20]byte
		N    uint32
	}
	private  struct{ a, b uint32 }
	byteOnly struct{ B byte }

	gap64 struct {
		A    uint32
		Size uint64
	}
	gapFloat struct {
		A uint16
		F float64
	}
	gap16 struct {
		A uint8
		B uint16
	}
	gap32 struct {
		A, B, C uint8
		D       uint32
	}
	gapComplex struct {
		A uint32
		C complex128
	}
	gapNested struct {
		A uint32
		P struct{ N int64 }
	}
	gapArray struct {
		A uint8
		B [3]uint32
	}
	gapDeep struct {
		P  point
		In struct {
			H [3]byte
			L uint32
		}
	}
	gapEmbed struct {
		A uint32
		wide
	}
	wide    struct{ N uint64 }
	gapZero struct {
		A uint32
		_ [0]uint64
		B uint32
	}
	tail struct {
		A uint64
		B uint32
	}
	tail16 struct {
		A uint16
		B uint8
	}
	tailNested struct{ T [2]tail }
	zeroLast   struct {
		A uint32
		B struct{}
	}
	zeroLast2 struct {
		A uint32
		_ [0]byte
	}
	hostLast struct {
		A uint32
		_ structs.HostLayout
	}
	empty  struct{}
	hasInt struct {
		A int32
		N int
	}
	hasUint   struct{ N uint }
	hasPtrInt struct{ P uintptr }
	hasBool   struct {
		A  int32
		OK bool
	}
	hasString  struct{ Name string }
	hasSlice   struct{ Data []byte }
	hasMap     struct{ M map[int32]int32 }
	hasPointer struct{ P *int32 }
	hasChan    struct{ C chan int32 }
	hasFunc    struct{ F func() }
	hasIface   struct{ E error }
	hasUnsafe  struct{ P unsafe.Pointer }
	hasBlank   struct {
		A int64
		_ int
	}
	hasInArray struct{ A [3]struct{ Ok [2]bool } }
	chain      struct {
		V    int64
		Next *chain
	}
	forest struct {
		V    int64
		Kids []forest
	}
	noCompare struct {
		_ [0]func()
		A int64
	}
	hasMutex   struct{ A atomic.Pointer[int32] }
	embedsInt  struct{ machineInt }
	machineInt struct{ N int }
)

var _ = private{}.a + private{}.b // fields without a use elsewhere

func TestLayout(t *testing.T) {
	type c = struct {
		t     reflect.Type
		align int // 0: rejected
		words string
	}
	accept := func(t reflect.Type, align int) c { return c{t, align, ""} }
	reject := func(t reflect.Type, words string) c { return c{t, 0, words} }
	cases := []c{
		accept(reflect.TypeFor[int8](), 1),
		accept(reflect.TypeFor[uint8](), 1),
		accept(reflect.TypeFor[int16](), 2),
		accept(reflect.TypeFor[uint16](), 2),
		accept(reflect.TypeFor[int32](), 4),
		accept(reflect.TypeFor[uint32](), 4),
		accept(reflect.TypeFor[float32](), 4),
		accept(reflect.TypeFor[int64](), 8),
		accept(reflect.TypeFor[uint64](), 8),
		accept(reflect.TypeFor[float64](), 8),
		accept(reflect.TypeFor[complex64](), 4),
		accept(reflect.TypeFor[complex128](), 8),
		accept(reflect.TypeFor[celsius](), 4),
		accept(reflect.TypeFor[myInt](), 4),
		accept(reflect.TypeFor[[3]byte](), 1),
		accept(reflect.TypeFor[[5]int64](), 8),
		accept(reflect.TypeFor[[2][3]uint16](), 2),
		accept(reflect.TypeFor[[1 << 20]float32](), 4),
		accept(reflect.TypeFor[point](), 4),
		accept(reflect.TypeFor[[2]point](), 4),
		accept(reflect.TypeFor[mixed](), 8),
		accept(reflect.TypeFor[blank](), 4),
		accept(reflect.TypeFor[blankEnd](), 8),
		accept(reflect.TypeFor[blankInt](), 4),
		accept(reflect.TypeFor[nested](), 8),
		accept(reflect.TypeFor[embedded](), 8),
		accept(reflect.TypeFor[deep](), 2),
		accept(reflect.TypeFor[host](), 4),
		accept(reflect.TypeFor[hostInner](), 8),
		accept(reflect.TypeFor[floats](), 8),
		accept(reflect.TypeFor[complexes](), 8),
		accept(reflect.TypeFor[named](), 4),
		accept(reflect.TypeFor[zeroFirst](), 8),
		accept(reflect.TypeFor[zeroMid](), 4),
		accept(reflect.TypeFor[counter](), 8),
		accept(reflect.TypeFor[pair[int32, float32]](), 4),
		accept(reflect.TypeFor[pair[uint64, [8]byte]](), 8),
		accept(reflect.TypeFor[pair[pair[int16, int16], uint32]](), 4),
		accept(reflect.TypeFor[tree](), 4),
		accept(reflect.TypeFor[private](), 4),
		accept(reflect.TypeFor[byteOnly](), 1),
		accept(reflect.TypeFor[struct{ _ uint32 }](), 4),
		accept(reflect.TypeFor[atomic.Uint64](), 8),

		reject(reflect.TypeFor[gap64](), "field Size: it would begin at byte 4, not a multiple of 8: insert `_ [4]byte` before field Size"),
		reject(reflect.TypeFor[gapFloat](), "insert `_ [6]byte` before field F"),
		reject(reflect.TypeFor[gap16](), "insert `_ [1]byte` before field B"),
		reject(reflect.TypeFor[gap32](), "insert `_ [1]byte` before field D"),
		reject(reflect.TypeFor[gapComplex](), "insert `_ [4]byte` before field C"),
		reject(reflect.TypeFor[gapNested](), "insert `_ [4]byte` before field P"),
		reject(reflect.TypeFor[gapArray](), "insert `_ [3]byte` before field B"),
		reject(reflect.TypeFor[gapDeep](), "field In.L: it would begin at byte 3"),
		reject(reflect.TypeFor[gapEmbed](), "insert `_ [4]byte` before field wide"),
		reject(reflect.TypeFor[gapZero](), "byte 4, not a multiple of 8"),
		reject(reflect.TypeFor[pair[uint8, uint64]](), "insert `_ [7]byte` before field Value"),
		reject(reflect.TypeFor[tail](), "its 12 bytes are not a multiple of its alignment of 8: append `_ [4]byte` to mmap.tail"),
		reject(reflect.TypeFor[tail16](), "append `_ [1]byte`"),
		reject(reflect.TypeFor[tailNested](), "T[]: its 12 bytes"),
		reject(reflect.TypeFor[zeroLast](), "move field B to the front"),
		reject(reflect.TypeFor[zeroLast2](), "has no bytes and comes last"),
		reject(reflect.TypeFor[hostLast](), "move field _ to the front"),
		reject(reflect.TypeFor[empty](), "no bytes"),
		reject(reflect.TypeFor[hostOnly](), "no bytes"),
		reject(reflect.TypeFor[[0]int32](), "no bytes"),
		reject(reflect.TypeFor[[4]struct{}](), "no bytes"),
		reject(reflect.TypeFor[int](), "int has 4 bytes on some machines"),
		reject(reflect.TypeFor[uint](), "uint has 4 bytes"),
		reject(reflect.TypeFor[uintptr](), "uintptr has 4 bytes"),
		reject(reflect.TypeFor[bool](), "use uint8"),
		reject(reflect.TypeFor[string](), "outside the process"),
		reject(reflect.TypeFor[[]byte](), "use an array"),
		reject(reflect.TypeFor[*int32](), "use an offset"),
		reject(reflect.TypeFor[any](), "address"),
		reject(reflect.TypeFor[[3]int](), "elements of []: int"),
		reject(reflect.TypeFor[hasInt](), "field N: int has 4 bytes"),
		reject(reflect.TypeFor[hasUint](), "field N: uint"),
		reject(reflect.TypeFor[hasPtrInt](), "field P: uintptr"),
		reject(reflect.TypeFor[hasBool](), "field OK: bool"),
		reject(reflect.TypeFor[hasString](), "field Name: string"),
		reject(reflect.TypeFor[hasSlice](), "field Data: []uint8"),
		reject(reflect.TypeFor[hasMap](), "field M: map[int32]int32"),
		reject(reflect.TypeFor[hasPointer](), "field P: *int32"),
		reject(reflect.TypeFor[hasChan](), "field C: chan int32"),
		reject(reflect.TypeFor[hasFunc](), "field F: func()"),
		reject(reflect.TypeFor[hasIface](), "field E: error"),
		reject(reflect.TypeFor[hasUnsafe](), "field P: unsafe.Pointer"),
		reject(reflect.TypeFor[hasBlank](), "field _: int"),
		reject(reflect.TypeFor[hasInArray](), "A[].Ok[]: bool"),
		reject(reflect.TypeFor[chain](), "field Next: *mmap.chain"),
		reject(reflect.TypeFor[forest](), "field Kids: []mmap.forest"),
		reject(reflect.TypeFor[noCompare](), "func()"),
		reject(reflect.TypeFor[hasMutex](), "A._[]: *int32"),
		reject(reflect.TypeFor[embedsInt](), "field machineInt.N: int"),
		reject(reflect.TypeFor[pair[int32, int]](), "field Value: int"),
	}
	if len(cases) < 60 {
		t.Fatalf("only %d types", len(cases))
	}
	for _, tt := range cases {
		for range 2 { // found out, and remembered
			align, err := layoutOf(tt.t)
			switch {
			case tt.align > 0 && (err != nil || align != tt.align):
				t.Errorf("%v: alignment %d, %v; want %d", tt.t, align, err, tt.align)
			case tt.align == 0 && !errors.Is(err, ErrLayout):
				t.Errorf("%v: %v, want ErrLayout", tt.t, err)
			case tt.align == 0 && (!strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), tt.t.String())):
				t.Errorf("%v: %q does not say %q of it", tt.t, err, tt.words)
			}
		}
		if tt.align > 0 && tt.t.Align() > tt.align {
			t.Errorf("%v: this machine aligns it to %d, more than %d", tt.t, tt.t.Align(), tt.align)
		}
	}
}

// TestAcceptedStructsAreWhatTheRulesSay checks the bytes of one that has every
// kind of part, so that a test run on each architecture proves them the same.
func TestAcceptedStructsAreWhatTheRulesSay(t *testing.T) {
	type all struct {
		A uint8
		_ [1]byte
		B uint16
		C [2]point
		_ [4]byte
		D uint64
		E float64
		F complex64
		G [3]uint8
		_ [5]byte
	}
	if _, err := layoutOf(reflect.TypeFor[all]()); err != nil {
		t.Fatal(err)
	}
	var x all
	for what, got := range map[string][2]uintptr{
		"size": {unsafe.Sizeof(x), 56}, "B": {unsafe.Offsetof(x.B), 2}, "C": {unsafe.Offsetof(x.C), 4},
		"D": {unsafe.Offsetof(x.D), 24}, "E": {unsafe.Offsetof(x.E), 32}, "F": {unsafe.Offsetof(x.F), 40}, "G": {unsafe.Offsetof(x.G), 48},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %d here, want %d", what, got[0], got[1])
		}
	}
}

func TestStructView(t *testing.T) {
	name := tempFile(t, make([]byte, 1000))
	r := open(t, name, ReadWrite)
	v, err := StructViewOf[mixed](r, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := mixed{1, 2, 0x0304, 0x05060708, 0x090a0b0c0d0e0f10}
	v.Set(2, want)
	v.Ptr(1).E = 77
	if v.At(2) != want || v.At(1) != (mixed{E: 77}) || v.At(0) != (mixed{}) || v.Len() != 3 {
		t.Errorf("read %+v", v.Slice())
	}
	if got, err := Get[uint64](r, 16+2*16+8); got != want.E || err != nil {
		t.Errorf("field E of element 2 is %#x, %v", got, err)
	}
	v.Fill(want)
	for i, got := range v.All() {
		if got != want {
			t.Errorf("element %d is %+v", i, got)
		}
	}
	var out [2]mixed
	if n, err := v.CopyTo(out[:]); n != 2 || err != nil || out[1] != want {
		t.Errorf("copied %+v", out)
	}
	_, err = StructViewOf[mixed](r, 20, 1)
	wantErr(t, err, ErrAlignment, "1 mmap.mixed", "offset 20", "8-byte aligned")
	_, err = StructViewOf[mixed](r, 16, 62)
	wantErr(t, err, ErrRange, "62 mmap.mixed")
	_, err = StructViewOf[mixed](r, 16, ToEnd)
	wantErr(t, err, ErrLayout, "984 bytes", "16")
	_, err = StructViewOf[empty](r, 16, 1)
	wantErr(t, err, ErrLayout, "no bytes")
	_, err = StructViewOf[gap64](r, 16, 1)
	wantErr(t, err, ErrLayout, "mmap.gap64", "insert")
	if d, err := StructViewOf[[3]uint8](r, 1, 333); err != nil || d.Len() != 333 {
		t.Errorf("arrays of bytes at an odd offset: %v", err)
	}
	wantPanic(t, ErrRange, func() { v.At(3) }, "index 3", "3 elements")
}
