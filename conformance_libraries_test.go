package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"reflect"
	"runtime"
	"structs"
	"sync/atomic"
	"testing"
)

// memmap2, a library for Rust: the tests in src/lib.rs.
var memmap2 = suite{
	name:  "memmap2",
	tests: "map_empty_file file_write map_copy mprotect_file lock remap_grow remap_shrink",
	cases: []conformance{
		{test: "map_empty_file", checks: "an empty file gives an empty slice, read-only and writable", ask: func(t *testing.T) {
			for _, mode := range []Mode{ReadOnly, ReadWrite} {
				r := open(t, tempFile(t, nil), mode)
				if b := r.Bytes(); b == nil || len(b) != 0 {
					t.Errorf("%v: the bytes are %#v", mode, b)
				}
				if v, err := ViewOf[int64](r, 0, ToEnd); err != nil || v.Len() != 0 { // it is aligned
					t.Errorf("%v: a view has %d elements, %v", mode, v.Len(), err)
				}
			}
		}},
		{test: "file_write", checks: "what is stored can be read from the file", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, make([]byte, 128)), os.O_RDWR)
			r, err := Map(f, ReadWrite)
			need(t, r, err)
			storesABC(t, r)
			wantBytesOf(t, f, "abc123")
		}},
		{test: "map_copy", checks: "what is stored to a private mapping is neither in the file nor in another mapping", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, make([]byte, 128)), os.O_RDWR)
			r, err := Map(f, CopyOnWrite)
			need(t, r, err)
			storesABC(t, r)
			wantBytesOf(t, f, "\x00\x00\x00\x00\x00\x00")
			other, err := Map(f, ReadOnly)
			need(t, other, err)
			wantBytesOf(t, other, "\x00\x00\x00\x00\x00\x00")
			wantBytesOf(t, r, "abc123")
		}},
		{test: "mprotect_file", checks: "a mapping can be made read-only and writable again, and stores reach the file and other mappings", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, make([]byte, 256)), os.O_RDWR)
			r, err := Map(f, ReadWrite)
			need(t, r, err)
			if err := r.Protect(ReadOnly); err != nil {
				t.Fatal(err)
			}
			wantFault(t, "a store", storeTo(r.Bytes(), 1, 1), r, f.Name(), 1, ErrReadOnly)
			if err := r.Protect(ReadWrite); err != nil {
				t.Fatal(err)
			}
			storesABC(t, r)
			wantBytesOf(t, f, "abc123")
			other, err := Map(f, ReadOnly)
			need(t, other, err)
			wantBytesOf(t, other, "abc123")
		}},
		{test: "mprotect_file", checks: "a mapping can be made executable later", cannot: "Config.Exec says so when it is mapped, and Protect changes the mode only"},
		{test: "lock", checks: "a mapping can be locked twice and unlocked twice", ask: lockedTwice},
		{test: "remap_grow", checks: "a mapping of the beginning of a file grows to its end, and can be stored to", ask: func(t *testing.T) {
			name := tempFile(t, make([]byte, 2000))
			r, err := Config{Mode: ReadWrite, Length: 128, Reserve: 2000}.Open(name)
			need(t, r, err)
			at := r.Addr()
			if err := r.Resize(2000); err != nil {
				growsFiles(t)
				t.Fatal(err)
			}
			b := r.Bytes()
			if len(b) != 2000 || !bytes.Equal(b, make([]byte, 2000)) || r.Addr() != at {
				t.Errorf("there are %d bytes at %#x, want 2000 zeros at %#x", len(b), r.Addr(), at)
			}
			if copy(b, pattern(2000)); !bytes.Equal(contents(t, name), pattern(2000)) {
				t.Error("the file does not have what was stored")
			}
		}},
		{test: "remap_grow", checks: "a mapping that cannot grow in place moves if it may", cannot: "a region never moves: it grows within Config.Reserve"},
		{test: "remap_shrink", checks: "a mapping shrinks in place, and what is left can be stored to", ask: func(t *testing.T) {
			// A region that ends before its file leaves the file as it is.
			name := tempFile(t, make([]byte, 20001))
			r, err := Config{Mode: ReadWrite, Length: 20000}.Open(name)
			need(t, r, err)
			at := r.Addr()
			if err := r.Resize(400); err != nil || r.Len() != 400 || r.Addr() != at {
				t.Errorf("there are %d bytes at %#x, want 400 at %#x; %v", r.Len(), r.Addr(), at, err)
			}
			copy(r.Bytes(), pattern(400))
			if got := contents(t, name); len(got) != 20001 || !bytes.Equal(got[:400], pattern(400)) {
				t.Errorf("the file has %d bytes, or not what was stored", len(got))
			}
		}},
		{test: "remap_shrink", checks: "so does a mapping of all of a file, whose size stays", cannot: "Resize is for region and file together, unless the file goes on"},
	},
}

func storesABC(t *testing.T, r *Region) {
	t.Helper()
	copy(r.Bytes(), "abc123")
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
	wantBytesOf(t, r, "abc123")
}

func wantBytesOf(t *testing.T, from interface {
	ReadAt(p []byte, off int64) (int, error)
}, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := from.ReadAt(b, 0); string(b) != want {
		t.Errorf("%T has %q, want %q; %d bytes, %v", from, b, want, n, err)
	}
}

func lockedTwice(t *testing.T) {
	locked := func() int {
		if runtime.GOOS != "linux" {
			return 0 // it does not say
		}
		return processStatus(t, "VmLck") << 10
	}
	r := open(t, tempFile(t, make([]byte, 128)), ReadOnly)
	before, page := locked(), os.Getpagesize()
	if runtime.GOOS != "linux" {
		page = 0
	}
	for i, tt := range []struct {
		call func(off, n int) error
		want int
	}{{r.Lock, page}, {r.Lock, page}, {r.Unlock, 0}, {r.Unlock, 0}} {
		if err := tt.call(0, ToEnd); i == 0 && (wantsSpace(err) || errors.Is(err, fs.ErrPermission)) {
			t.Skipf("the system does not allow a page to be locked: %v", err)
		} else if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		if got := locked() - before; got != tt.want {
			t.Errorf("after call %d, %d bytes are locked, want %d", i, got, tt.want)
		}
	}
}

// CPython, Lib/test/test_mmap.py.
var cpython = suite{
	name:  "CPython",
	tests: "access_parameter double_close length_0_large_offset",
	cases: []conformance{
		{test: "access_parameter", checks: "a read-only mapping has the bytes, refuses every store and a new size, and leaves the file", ask: func(t *testing.T) {
			data := bytes.Repeat([]byte("a"), 10)
			r, err := Config{Reserve: 20}.Open(tempFile(t, data))
			need(t, r, err)
			if !bytes.Equal(r.Bytes(), data) {
				t.Errorf("the bytes are %q", r.Bytes())
			}
			for what, set := range storersOf16(t, r) {
				wantStoreRefused(t, what, set)
			}
			n, err := r.WriteAt([]byte("abc"), 0)
			if wantErr(t, err, ErrReadOnly); n != 0 {
				t.Errorf("WriteAt says that it stored %d bytes", n)
			}
			wantErr(t, Put(r, 0, byte('d')), ErrReadOnly)
			wantErr(t, r.Resize(20), ErrReadOnly)
			wantFault(t, "a store", storeTo(r.Bytes(), 0, 'b'), r, r.Name(), 0, ErrReadOnly)
			if got := contents(t, r.Name()); !bytes.Equal(got, data) {
				t.Errorf("the file has %q", got)
			}
		}},
		{test: "access_parameter", checks: "a length beyond the end of the file is refused, and leaves the file", ask: func(t *testing.T) {
			name := tempFile(t, pattern(10))
			r, err := Config{Mode: ReadWrite, Length: 11}.Open(name)
			if wantErr(t, err, ErrRange, name, "11 bytes", "10 bytes"); r != nil || len(contents(t, name)) != 10 {
				t.Errorf("there is %v, and the file has %d bytes", r, len(contents(t, name)))
			}
		}},
		{test: "access_parameter", checks: "a writable mapping writes through to the file", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(10)), ReadWrite)
			copy(r.Bytes(), "cccccccccc")
			wantBytesOf(t, r, "cccccccccc")
			if err := errors.Join(r.Sync(), r.Close()); err != nil {
				t.Error(err)
			}
			if got := contents(t, r.Name()); string(got) != "cccccccccc" {
				t.Errorf("the file has %q", got)
			}
		}},
		{test: "access_parameter", checks: "a private mapping keeps its stores from the file, and has no new size", ask: func(t *testing.T) {
			data := pattern(10)
			r, err := Config{Mode: CopyOnWrite, Reserve: 20}.Open(tempFile(t, data))
			need(t, r, err)
			copy(r.Bytes(), "dddddddddd")
			if err := r.Sync(); err != nil {
				t.Error(err)
			}
			wantBytesOf(t, r, "dddddddddd")
			wantErr(t, r.Resize(20), ErrReadOnly)
			if got := contents(t, r.Name()); !bytes.Equal(got, data) {
				t.Errorf("the file has %q", got)
			}
		}},
		{test: "access_parameter", checks: "a mapping that is executable and not writable refuses stores", ask: func(t *testing.T) {
			data := pattern(10)
			r, err := Config{Exec: true}.Open(tempFile(t, data))
			if errors.Is(err, fs.ErrPermission) {
				t.Skipf("nothing may be executable here: %v", err)
			}
			need(t, r, err)
			n, err := r.WriteAt([]byte("abcdef"), 0)
			if wantErr(t, err, ErrReadOnly); n != 0 {
				t.Errorf("WriteAt says that it stored %d bytes", n)
			}
			wantErr(t, Put(r, 0, byte('d')), ErrReadOnly)
			wantFault(t, "a store", storeTo(r.Bytes(), 0, 'b'), r, r.Name(), 0, ErrReadOnly)
			if got := contents(t, r.Name()); !bytes.Equal(got, data) {
				t.Errorf("the file has %q", got)
			}
		}},
		{test: "access_parameter", checks: "an access that does not exist is refused", ask: func(t *testing.T) {
			name := tempFile(t, pattern(10))
			r, err := Open(name, 4)
			if wantErr(t, err, errors.ErrUnsupported, name, "Mode(4)"); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
		{test: "double_close", checks: "a second close does no harm", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(1<<16)), ReadOnly)
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				t.Error(err)
			}
		}},
		{test: "length_0_large_offset", checks: "the rest of a file from far behind its end is refused", ask: func(t *testing.T) {
			name := tempFile(t, pattern(115699))
			r, err := Config{Mode: ReadWrite, Offset: 2147418112}.Open(name)
			if wantErr(t, err, ErrRange, name, "2147418112", "115699"); r != nil {
				t.Errorf("there is %v", r)
			}
		}},
	},
}

// storersOf16 is the ways to store through views of 16-bit elements.
func storersOf16(t *testing.T, r *Region) map[string]func() error {
	t.Helper()
	v, e1 := ViewOf[int16](r, 0, ToEnd)
	b, e2 := BigEndianOf[int16](r, 0, ToEnd)
	if err := errors.Join(e1, e2); err != nil {
		t.Fatal(err)
	}
	return map[string]func() error{
		"View.Set":           func() error { v.Set(0, 1); return nil },
		"View.CopyFrom":      func() error { _, err := v.CopyFrom([]int16{1, 2, 3, 4, 5}); return err },
		"View.Fill":          func() error { return v.Fill(1) },
		"BigEndian.Set":      func() error { b.Set(0, 1); return nil },
		"BigEndian.CopyFrom": func() error { _, err := b.CopyFrom([]int16{1}); return err },
	}
}

// cilium/ebpf, memory_unsafe_test.go: which types may lie in memory that others share.
var cilium = suite{
	name:  "cilium_ebpf",
	tests: "TestCheckUnsafeMemory TestUnsafeMemoryPointer TestUnsafeMemoryReadOnly",
	cases: []conformance{
		{test: "TestCheckUnsafeMemory", checks: "the table of accepted and rejected types", ask: acceptedTypes},
		{test: "TestUnsafeMemoryPointer", checks: "a value that is not aligned is refused, and one that is can be stored and read by other means", ask: func(t *testing.T) {
			r := anonymousRegion(t, 64)
			_, err := ViewOf[uint32](r, 7, 1)
			wantErr(t, err, ErrAlignment)
			v, err := ViewOf[uint64](r, 8, 1)
			if err != nil {
				t.Fatal(err)
			}
			*v.Ptr(0) = 0xf00d
			wantBytesOf(t, r, string(append(make([]byte, 8), nativeBytes(0xf00d)...)))
		}},
		{test: "TestUnsafeMemoryReadOnly", checks: "memory that is read-only says so, and refuses stores", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(64)), ReadOnly)
			if r.Mode() != ReadOnly {
				t.Errorf("the mode is %v", r.Mode())
			}
			_, err := r.WriteAt([]byte{1}, 0)
			wantErr(t, err, ErrReadOnly)
			v, err := ViewOf[uint32](r, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			wantPanic(t, ErrReadOnly, func() { v.Set(0, 1) })
			wantFault(t, "a store", Guard(func() error { *v.Ptr(0) = 1; return nil }), r, r.Name(), 0, ErrReadOnly)
		}},
		{test: "TestUnsafeMemoryReadOnly", checks: "there is no pointer into read-only memory", cannot: "Ptr is for loads too, and a store through it is a fault"},
	},
}

func acceptedTypes(t *testing.T) {
	r := anonymousRegion(t, 64)
	for _, tt := range []struct {
		theirs, ours bool
		make         func(r *Region) (reflect.Type, error)
		differs      string
	}{
		{true, false, viewed[bool], "a byte that is neither 0 nor 1 is no bool"},
		{true, true, viewed[uint32], ""},
		{true, true, viewed[[4]byte], ""},
		{true, false, viewed[[2]struct {
			_ structs.HostLayout
			A uint32
			B uint64
		}], "what is left free between A and B depends on the machine"},
		{true, true, viewed[struct {
			_ structs.HostLayout
			_ uint32
		}], ""},
		{true, true, viewed[struct {
			_ structs.HostLayout
			_ [4]byte
		}], ""},
		{true, true, viewed[atomic.Uint32], ""},
		{true, true, viewed[struct {
			_ structs.HostLayout
			_ atomic.Uint32
		}], ""},
		{true, false, viewed[uintptr], "its size depends on the machine"},
		{true, false, viewed[atomic.Uintptr], "its size depends on the machine"},
		{true, false, viewed[struct {
			_ structs.HostLayout
			_ uintptr
		}], "its size depends on the machine"},
		{false, false, viewed[*uint32], ""},
		{false, false, viewed[**uint32], ""},
		{false, false, viewed[[1]*uint8], ""},
		{false, false, viewed[struct {
			_ structs.HostLayout
			_ *uint8
		}], ""},
		{false, false, viewed[atomic.Pointer[uint64]], ""},
		{false, false, viewed[atomic.Value], ""},
		{false, false, viewed[int], ""},
		{false, false, viewed[uint], ""},
		{false, false, viewed[any], ""},
		{false, false, viewed[struct{ _ structs.HostLayout }], ""},
		{false, true, viewed[struct{ _ uint32 }], "with all gaps declared, every machine has the same layout: HostLayout adds nothing"},
	} {
		typ, err := tt.make(r)
		if (err == nil) != tt.ours || err != nil && !errors.Is(err, ErrLayout) {
			t.Errorf("view of %v: %v, want it accepted: %v", typ, err, tt.ours)
		}
		if (tt.theirs == tt.ours) != (tt.differs == "") {
			t.Errorf("view of %v: a difference has a reason", typ)
		}
		if tt.differs != "" {
			t.Logf("accepted there: %v, here: %v: %v: %s", tt.theirs, tt.ours, typ, tt.differs)
		}
	}
}

func viewed[T any](r *Region) (reflect.Type, error) {
	_, err := StructViewOf[T](r, 0, 1)
	return reflect.TypeFor[T](), err
}

// .NET, System.IO.MemoryMappedFiles/tests.
var dotnet = suite{
	name:  "dotnet",
	tests: "InvalidArguments ViewsShareData CopyOnWrite InvalidAfterDisposal UseAfterMMFDisposal CrossProcess",
	cases: []conformance{
		{test: "InvalidArguments", checks: "offsets and sizes that are negative, too large or beyond the end are refused", ask: func(t *testing.T) {
			const size = 4096
			name := tempFile(t, pattern(size))
			for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
				for _, c := range []Config{
					{Offset: -1, Length: size}, {Length: -1}, {Length: math.MaxInt64}, {Length: 1 + math.MaxUint32},
					{Length: size + 1}, {Offset: size, Length: 1}, {Offset: 1, Length: size}, {Reserve: -1},
				} {
					c.Mode = mode
					r, err := c.Open(name)
					if wantErr(t, err, ErrRange, name); r != nil {
						t.Errorf("%+v: there is %v", c, r)
					}
				}
				r := open(t, name, mode)
				for _, tt := range []struct{ off, n int }{{-1, size}, {0, -1}, {0, math.MaxInt}, {0, size + 1}, {size, 1}, {1, size}} {
					_, err := ViewOf[int8](r, tt.off, tt.n)
					wantErr(t, err, ErrRange, name)
				}
			}
		}},
		{test: "InvalidArguments", checks: "an access that does not exist is refused", ask: func(t *testing.T) {
			name := tempFile(t, pattern(4096))
			r := open(t, name, ReadWrite)
			for _, mode := range []Mode{-1, 42} {
				x, err := Open(name, mode)
				if wantErr(t, err, errors.ErrUnsupported, mode.String()); x != nil {
					t.Errorf("there is %v", x)
				}
				if wantErr(t, r.Protect(mode), errors.ErrUnsupported, mode.String()); r.Mode() != ReadWrite {
					t.Errorf("the mode is %v", r.Mode())
				}
			}
		}},
		{test: "ViewsShareData", checks: "what is stored through one view is there in the others, and in later ones", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, make([]byte, 256)), os.O_RDWR)
			a, err := Map(f, ReadWrite)
			need(t, a, err)
			b, err := Map(f, ReadWrite)
			need(t, b, err)
			v, e1 := ViewOf[byte](a, 0, ToEnd)
			w, e2 := ViewOf[byte](a, 0, ToEnd)
			x, e3 := ViewOf[byte](b, 0, ToEnd)
			if err := errors.Join(e1, e2, e3); err != nil {
				t.Fatal(err)
			}
			for i := range v.Len() {
				v.Set(i, byte(i)^0x55)
			}
			same := func(what string, v View[byte]) {
				t.Helper()
				for i, x := range v.All() {
					if x != byte(i)^0x55 {
						t.Fatalf("%s: element %d is %#x", what, i, x)
					}
				}
			}
			same("another view of the region", w)
			same("a view of another region", x)
			if err := errors.Join(a.Close(), b.Close()); err != nil {
				t.Error(err)
			}
			c, err := Map(f, ReadOnly)
			need(t, c, err)
			y, err := ViewOf[byte](c, 0, ToEnd)
			if same("a view of a later region", y); err != nil || y.Len() != 256 {
				t.Errorf("%d elements, %v", y.Len(), err)
			}
		}},
		{test: "CopyOnWrite", checks: "a private view has what was stored before, and keeps what it stores", ask: func(t *testing.T) {
			name := tempFile(t, make([]byte, 256))
			if err := Put(open(t, name, ReadWrite), 0, int32(42)); err != nil {
				t.Error(err)
			}
			private := open(t, name, CopyOnWrite)
			was, e1 := Get[int32](private, 0)
			e2 := Put(private, 0, int32(84))
			is, e3 := Get[int32](private, 0)
			others, e4 := Get[int32](open(t, name, ReadOnly), 0)
			if err := errors.Join(e1, e2, e3, e4); err != nil || was != 42 || is != 84 || others != 42 {
				t.Errorf("it was %d, is %d, and %d to others, want 42, 84, 42; %v", was, is, others, err)
			}
		}},
		{test: "InvalidAfterDisposal", checks: "a view of what was closed loads, stores and synchronizes nothing, and says why", ask: func(t *testing.T) {
			r := open(t, tempFile(t, pattern(256)), ReadWrite)
			v, err := ViewOf[byte](r, 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			wantFault(t, "At", Guard(func() error { sinkByte = v.At(7); return nil }), r, r.Name(), 7, ErrClosed)
			wantFault(t, "Set", Guard(func() error { v.Set(7, 1); return nil }), r, r.Name(), 7, ErrClosed)
			wantErr(t, v.Sync(), ErrClosed)
			_, err = ViewOf[byte](r, 0, ToEnd)
			wantErr(t, err, ErrClosed)
		}},
		{test: "UseAfterMMFDisposal", checks: "a view works on after the file was closed, and when only the view is left", ask: func(t *testing.T) {
			f := openFileAs(t, tempFile(t, make([]byte, 8192)), os.O_RDWR)
			mapped := func() *Region {
				r, err := Map(f, ReadWrite)
				return need(noCleanup{t}, r, err)
			}
			v, err := ViewOf[int64](mapped(), 0, ToEnd)
			if err != nil {
				t.Fatal(err)
			}
			lost := mapped().o.mapping // of which nothing is left
			f.Close()
			collectTill(t, func() bool { return !listed(lost) })
			if err := v.Fill(1234567); err != nil {
				t.Error(err)
			}
			if got := open(t, f.Name(), ReadOnly).Bytes(); !bytes.Equal(got, bytes.Repeat(nativeBytes(1234567), 1024)) {
				t.Errorf("the file begins with %x", got[:16])
			}
			if x := v.At(v.Len() - 1); x != 1234567 {
				t.Errorf("the last element is %d", x)
			}
			if err := v.Region().Close(); err != nil {
				t.Error(err)
			}
		}},
		{test: "CrossProcess", checks: "two processes that map a file see each other's stores", ask: seenByAnotherProcess},
	},
}
