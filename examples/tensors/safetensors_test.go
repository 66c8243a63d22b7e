package main

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// fileOf is a file with this header and so many bytes of data, 1, 2, 3 and so on.
func fileOf(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i+1))
	}
	return b
}

// opened opens a file of these bytes.
func opened(t testing.TB, b []byte) (*File, error) {
	t.Helper()
	needMapping(t)
	name := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	} else if !strings.Contains(err.Error(), name) {
		t.Errorf("error without the file's name: %v", err)
	}
	return f, err
}

// What is refused. The reference refuses it too, but for those that say so: see
// TestJudgesAsTheReference.
var hostile = []struct {
	header string
	data   int
	want   string // part of the error
	lax    bool   // the reference accepts it
}{
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 3, `"a": data_offsets is bytes 0 to 4, and there are 3 bytes of data`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 5, `no tensor has bytes 4 to 5 of the data, its last`, false},
	{`{}`, 1, `no tensor has bytes 0 to 1`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}}`, 5, `no tensor has bytes 0 to 1 of the data, before "a"`, false},
	{`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}`, 4, `no tensor has bytes 2 to 3 of the data, before "b"`, false},
	{`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 4, `"a" and "b" overlap: one ends at byte 3 of the data, the other begins at 2`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4, `overlap`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}`, 4, `bytes 4 to 0`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}}`, 4, `-4 is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,-4]}}`, 4, `-4 is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,0]}}`, 4, `18446744073709551612 is not a whole number from 0 to`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,9223372036854775807]}}`, 4, `0 to 9223372036854775807`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4.0]}}`, 4, `4.0 is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4e0]}}`, 4, `4e0 is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,"4"]}}`, 4, `"4" is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[null,4]}}`, 4, `null is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[4]}}`, 4, `data_offsets has 1 numbers, not 2`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}}`, 4, `data_offsets has 3 numbers, not 2`, false},
	{`{"a":{"dtype":"U8","shape":[4]}}`, 4, `data_offsets has 0 numbers, not 2`, false},
	{`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1, `there is no shape`, false},
	{`{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}`, 1, `there is no shape`, false},
	{`{"a":{"shape":[4],"data_offsets":[0,4]}}`, 4, `dtype is "", which the format does not have`, false},
	{`{"a":{"dtype":"U7","shape":[4],"data_offsets":[0,4]}}`, 4, `dtype is "U7"`, false},
	{`{"a":{"dtype":7,"shape":[4],"data_offsets":[0,4]}}`, 4, `"dtype": `, false},
	{`{"a":{"dtype":"u8","shape":[4],"data_offsets":[0,4]}}`, 4, `dtype is "u8"`, false},
	{`{"a":{"DTYPE":"U8","shape":[4],"data_offsets":[0,4]}}`, 4, `"DTYPE": a tensor has no such key`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":[[[[]]]]}}`, 4, `"x": a tensor has no such key`, true},
	{`{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,4]}}`, 4, `5 elements of U8 take 40 bits, and data_offsets is 4 bytes`, false},
	{`{"a":{"dtype":"U16","shape":[4],"data_offsets":[0,4]}}`, 4, `4 elements of U16 take 64 bits, and data_offsets is 4 bytes`, false},
	{`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1, `3 elements of F4 take 12 bits`, false},
	{`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,4]}}`, 4, `0 elements`, false},
	{`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}`, 0, `-1 is not a whole number`, false},
	{`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0, `more elements than an int64 can count`, false},
	{`{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0, `more elements than an int64 can count`, false},
	{`{"a":{"dtype":"U64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, 0, `more bits of U64 than`, false},
	{`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2, `"a" is there twice`, false},
	{`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, `"a" is there twice`, true},
	{`{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4, `"a": "dtype" is there twice`, false},
	{`{"__metadata__":{"k":"v","k":"v"}}`, 0, `"k" is there twice`, true},
	{`{"__metadata__":{"k":1}}`, 0, `"__metadata__": "k": `, false},
	{`{"__metadata__":{"k":null}}`, 0, `"k": null, not a string`, false},
	{`{"__metadata__":{"k":{}}}`, 0, `"k": `, false},
	{`{"__metadata__":null}`, 0, `"__metadata__": not an object`, true},
	{`{"a":[]}`, 0, `"a": not an object`, false},
	{`{"a":null}`, 0, `"a": not an object`, false},
	{`{"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, `is broken text`, false},
	{"{\"\ufffd\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, `is broken text`, true},
	{`{"__metadata__":{"k":"\ud800"}}`, 0, `"k": broken text`, false},
	{`[]`, 0, `byte 8: the header does not begin with {`, false},
	{``, 0, `byte 8: the header does not begin with {`, false},
	{` {}`, 0, `byte 8: the header does not begin with {`, true},
	{"{}\n", 0, `header, after byte 10: there is more than spaces`, true},
	{`{}{}`, 0, `header, after byte 10: there is more than spaces`, false},
	{`{} }`, 0, `header, after byte 10: there is more than spaces`, false},
	{`{`, 0, `header, after byte 9: it ends before its last }`, false},
	{`{"a"`, 0, `it ends before its last }`, false},
	{`{"a":{"dtype":"U8"`, 0, `it ends before its last }`, false},
	{`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},}`, 4, `header, after byte 61: invalid character`, false},
	{`{1:{}}`, 0, `invalid character`, false},
	{`{'a':{}}`, 0, `invalid character`, false},
	{"{\"\x80\":{}}", 0, `the header is not UTF-8`, false},
	{"{\"a\":\x00}", 0, `invalid character`, false},
	{`{"a":{"dtype":"U8","shape":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `,"data_offsets":[0,4]}}`, 4, `"shape": `, false},
	{`{"` + strings.Repeat("long ", 1000) + `":{}}`, 0, `long long long`, false},
}

func TestRefusesHostileFiles(t *testing.T) {
	for _, c := range hostile {
		_, err := opened(t, fileOf(c.header, c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s with %d bytes: error is %v, want %s", c.header, c.data, err, c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%.200s: the error has %d bytes", c.header, len(err.Error()))
		}
	}
}

func TestRefusesLengthsOfTheHeader(t *testing.T) {
	for _, c := range []struct {
		length uint64
		want   string
	}{
		{3, "byte 0: a header of 3 bytes, and the file has 2 behind its length"},
		{100_000_000, "a header of 100000000 bytes, and the file has 2"},
		{100_000_001, "a header of 100000001 bytes, and the format allows 100000000"},
		{math.MaxInt64 - 7, "the format allows"},
		{math.MaxUint64 - 7, "the format allows"},
		{math.MaxUint64, "the format allows"},
	} {
		b := append(binary.LittleEndian.AppendUint64(nil, c.length), "{}"...)
		if _, err := opened(t, b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("length %d: error is %v, want %s", c.length, err, c.want)
		}
	}
}

func TestRefusesEveryTruncatedFile(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "every.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened(t, whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if n%7 != 0 && n > 16 && n < len(whole)-16 {
			continue
		}
		if _, err := opened(t, whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(whole))
		}
	}
}

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		header string
		data   int
		want   []string // the names, in the order of the data
	}{
		{`{}`, 0, nil},
		{`{} `, 0, nil},
		{`{"__metadata__":{}}`, 0, nil},
		{`{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"I8","shape":[],"data_offsets":[0,1]}}  `, 3, []string{"a", "b"}},
		{`{"e":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}`, 2, []string{"a", "e", "b"}},
		{`{"e":{"dtype":"F32","shape":[9223372036854775807,0],"data_offsets":[0,0]}}`, 0, []string{"e"}},
		{`{"":{"shape":[3],"data_offsets":[0,24],"dtype":"C64"}}`, 24, []string{""}},
		{`{"f":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}}`, 3, []string{"f"}},
		{`{"f":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`, 3, []string{"f"}},
	} {
		f, err := opened(t, fileOf(c.header, c.data))
		if err != nil {
			t.Errorf("%s: %v", c.header, err)
			continue
		}
		var names []string
		for _, x := range f.Tensors {
			names = append(names, x.Name)
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%s has %q, not %q", c.header, names, c.want)
		}
	}
}

func TestElementsAreOfTheType(t *testing.T) {
	f, err := opened(t, fileOf(`{"a":{"dtype":"U16","shape":[2],"data_offsets":[1,5]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 5))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Elements[uint16](f.Tensors[1])
	if err != nil || v.Len() != 2 || v.At(0) != 0x0302 || v.At(1) != 0x0504 {
		t.Errorf("two unaligned U16: %v, %v", v, err)
	}
	if _, err := Elements[uint32](f.Tensors[1]); err == nil || !strings.Contains(err.Error(), "not of elements of 4 bytes") {
		t.Errorf("U16 as uint32: %v", err)
	}
}

// Somebody truncates the file after it was opened: by a byte, which no fault tells, and
// by all but a page.
func TestATruncatedTensorIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not truncate a file while it is mapped")
	}
	const n = 1 << 20
	whole := fileOf(`{"a":{"dtype":"BF16","shape":[524288],"data_offsets":[0,1048576]}}`, n)
	for _, left := range []int64{int64(len(whole)) - 1, int64(os.Getpagesize())} {
		f, err := opened(t, whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Sum(f.Tensors[0]); err != nil {
			t.Error(err)
		}
		if err := os.Truncate(f.region.Name(), left); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Sum(f.Tensors[0]); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("%d of %d bytes are left, and the error is %v", left, len(whole), err)
		}
	}
}

// A header costs memory in proportion to its bytes, whatever is in it, and no more than
// the format's limit.
func TestAHostileHeaderCostsLittleMemory(t *testing.T) {
	size := 1 << 20
	if testing.Short() {
		size = 1 << 16
	}
	fill := func(begin, repeat, end string) string {
		return begin + strings.Repeat(repeat, (size-len(begin)-len(end))/len(repeat)) + end
	}
	for _, header := range []string{
		fill(`{"a":{"dtype":"U8","shape":[1`, `,1`, `],"data_offsets":[0,0]}}`),
		fill(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0`, `,0`, `]}}`),
		fill(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1`, `0`, `]}}`),
		fill(`{"`, `a`, `":{}}`),
		fill(`{"a":{"dtype":"`, `\u0000`, `"}}`),
		fill(`{"a":{"x":`, `[`, `}}`),
		fill(`{"a":`, `{"a":`, ``),
		fill(`{`, ` `, `}`),
		fill(`{`, `"a":{"dtype":"U8","shape":[],"data_offsets":[0,0]},`, `}`),
		fill(`{"__metadata__":{"a":"`, `a`, `"}}`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := new(File).parse([]byte(header), 0)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(32*size) {
			t.Errorf("%.60s...: %d bytes for %d (%v)", header, spent, size, err)
		}
	}
}

func TestFloat16(t *testing.T) {
	for i := range 1 << 16 {
		sign, exponent, fraction := i>>15, i>>10&31, float64(i&1023)
		want := math.Ldexp(1+fraction/1024, exponent-15)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction/1024, -14)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		if sign == 1 {
			want = -want
		}
		got := fromFloat16(uint16(i))
		if math.IsNaN(want) != math.IsNaN(got) || !math.IsNaN(want) && math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%#04x is %v, not %v", i, got, want)
		}
	}
}

// FuzzOpen: a file is refused, or all that Open promises holds for it.
func FuzzOpen(f *testing.F) {
	needMapping(f)
	for _, c := range hostile {
		f.Add(fileOf(c.header, c.data))
	}
	for _, name := range []string{"every", "empty"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".safetensors"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := opened(t, b)
		if err != nil {
			return
		}
		end := 8 + int(binary.LittleEndian.Uint64(b))
		names := map[string]bool{}
		for _, x := range file.Tensors {
			if x.Offset != end || x.Bytes < 0 || names[x.Name] {
				t.Errorf("%+v begins elsewhere than at %d, or is there twice", x, end)
			}
			end += x.Bytes
			names[x.Name] = true
			count := int64(1)
			for _, n := range x.Shape {
				count *= n
			}
			if count != x.Count || count*bitsOf[x.Type] != 8*int64(x.Bytes) {
				t.Errorf("%+v does not come out", x)
			}
			if _, err := file.Sum(x); err != nil && sums[x.Type] != nil {
				t.Errorf("%+v: %v", x, err)
			}
		}
		if end != len(b) {
			t.Errorf("the tensors end at byte %d of %d", end, len(b))
		}
	})
}
