package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// What NumPy knows of a file.
type facts struct {
	Name, Shape, Descr, Order string
	Parts                     []map[string]string
	Bytes                     string // in hexadecimal, little-endian, in the order of the file
	Strides                   []int  // in elements
}

// askNumPy runs testdata/asknumpy.py, and decodes each line that it prints.
func askNumPy[T any](t *testing.T, in any, args ...string) (answers []T) {
	t.Helper()
	needMapping(t)
	python := "/usr/bin/python3" // which has Debian's python3-numpy
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	if _, err := exec.LookPath(python); err != nil {
		t.Skipf("no Python: %v", err)
	}
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "asknumpy.py")}, args...)...)
	question, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &stderr
	out, err := cmd.Output()
	if strings.HasPrefix(stderr.String(), "no NumPy: ") {
		t.Skipf("%s has %s", python, stderr.String())
	}
	if err != nil {
		t.Fatalf("%v: %v", err, stderr.String())
	}
	for lines := json.NewDecoder(bytes.NewReader(out)); lines.More(); {
		var answer T
		if err := lines.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

func TestFilesThatNumPyWroteAreDescribedAsNumPyDoes(t *testing.T) {
	all := askNumPy[facts](t, nil, "make", t.TempDir())
	if len(all) < 350 {
		t.Errorf("NumPy made %d files", len(all))
	}
	for _, f := range all {
		var out strings.Builder
		if err := describe(&out, f.Name); err != nil {
			t.Errorf("%s of %s: %v", f.Shape, f.Descr, err)
			continue
		}
		compare(t, f, out.String())
		if f.Bytes != "" {
			compareElements(t, f)
		}
	}
}

// compare compares what is printed of a file with what NumPy knows of it.
func compare(t *testing.T, f facts, out string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 5+len(f.Parts) || lines[1] != "shape:   "+f.Shape || lines[2] != "type:    "+f.Descr || !strings.HasPrefix(lines[3], "order:   "+f.Order) {
		t.Errorf("of %+v this is printed:\n%s", f, out)
		return
	}
	for i, want := range f.Parts {
		_, text, _ := strings.Cut(lines[5+i], ":")
		got := map[string]string{"NaN": "0"}
		for field := range strings.SplitSeq(text, ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(field), " ")
			got[key] = value
		}
		for key, value := range want {
			if !same(f.Descr, key, got[key], value, want) {
				t.Errorf("%s of %s, %s: %s is %q, and NumPy's %q", f.Shape, f.Descr, f.Order, key, got[key], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s of %s: %v is printed, and NumPy has %v", f.Shape, f.Descr, got, want)
		}
	}
}

// same compares two numbers as texts: those that are elements exactly, and those that
// are computed as exactly as sums can be.
func same(descr, key, got, want string, all map[string]string) bool {
	float := strings.ContainsAny(descr, "fc")
	if key == "count" || key == "NaN" || !float && (key == "min" || key == "max") {
		return got == want
	}
	bits := 64
	if (key == "min" || key == "max") && strings.ContainsAny(descr, "2") && descr[2:] == "2" || descr[1:] == "f4" || descr[1:] == "c8" {
		bits = 32
	}
	if key == "mean" || key == "std" {
		bits = 64
	}
	g, err := strconv.ParseFloat(got, bits)
	if err != nil {
		return false
	}
	w, _ := strconv.ParseFloat(want, 64)
	if key == "min" || key == "max" || math.IsInf(w, 0) {
		return g == w
	}
	if math.IsNaN(w) {
		return math.IsNaN(g)
	}
	low, _ := strconv.ParseFloat(all["min"], 64)
	high, _ := strconv.ParseFloat(all["max"], 64)
	return math.Abs(g-w) <= 1e-12*max(math.Abs(low), math.Abs(high))
}

// compareElements compares each element, and where it is.
func compareElements(t *testing.T, f facts) {
	t.Helper()
	r, err := mmap.Open(f.Name, mmap.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, err := ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	switch h.Type {
	case "b1":
		got = littleEndian(As[uint8](r, h))
	case "i1":
		got = littleEndian(Open[int8](r))
	case "i2":
		got = littleEndian(Open[int16](r))
	case "i4":
		got = littleEndian(Open[int32](r))
	case "i8":
		got = littleEndian(Open[int64](r))
	case "u1":
		got = littleEndian(Open[uint8](r))
	case "u2":
		got = littleEndian(Open[uint16](r))
	case "u4":
		got = littleEndian(Open[uint32](r))
	case "u8":
		got = littleEndian(Open[uint64](r))
	case "f2":
		got = littleEndian(As[uint16](r, h))
	case "f4":
		got = littleEndian(Open[float32](r))
	case "f8":
		got = littleEndian(Open[float64](r))
	case "c8":
		got = littleEndian(As[float32](r, h))
	case "c16":
		got = littleEndian(As[float64](r, h))
	}
	if hex.EncodeToString(got) != f.Bytes {
		t.Errorf("%s of %s: elements %x, and NumPy's are %s", f.Shape, f.Descr, got, f.Bytes)
	}
	if n, _, _ := h.count(); n == 0 {
		return
	}
	for range 10 {
		at, want := make([]int, len(h.Shape)), 0
		for axis, length := range h.Shape {
			at[axis] = rand.IntN(length)
			want += at[axis] * f.Strides[axis]
		}
		if got := h.Index(at...); got != want {
			t.Errorf("%s of %s, %s: element %v is number %d, and NumPy's %d", f.Shape, f.Descr, f.Order, at, got, want)
		}
	}
}

func littleEndian[T mmap.Fixed](a Array[T], err error) []byte {
	if err != nil {
		return []byte(err.Error())
	}
	var b bytes.Buffer
	for i, x := range a.All() {
		if math.Float64bits(float64(x)) != math.Float64bits(float64(a.At(i))) {
			return []byte("All and At differ")
		}
		binary.Write(&b, binary.LittleEndian, x)
	}
	return b.Bytes()
}

// Files of every type, byte order and order of indices, written by the program and
// through Create, are loaded by NumPy.
func TestNumPyLoadsWhatIsWritten(t *testing.T) {
	needMapping(t)
	dir := t.TempDir()
	var names []string
	var want []facts
	expect := func(name, shape, descr string, fortran bool, content []byte) {
		names = append(names, name)
		order := "C"
		if fortran {
			order = "F"
		}
		want = append(want, facts{Name: name, Shape: shape, Descr: descr, Order: order, Bytes: hex.EncodeToString(content)})
	}
	for typ, does := range types {
		if does.write == nil {
			continue
		}
		for i := range 4 {
			h := Header{Type: typ, Big: i&1 > 0, Fortran: i&2 > 0}
			name := filepath.Join(dir, fmt.Sprintf("%s-%d.npy", typ, i))
			if err := create(name, typ, "3,2,50", h.Big, h.Fortran); err != nil {
				t.Fatal(err)
			}
			var content []byte
			for x := range 300 {
				content = append(content, encoded(typ, x)...)
			}
			descr := h.descr()
			if native := nativeOrder(); len(typ) == 2 && descr[0] == native {
				descr = string(native) + typ
			}
			expect(name, "(3, 2, 50)", descr, h.Fortran, content)
		}
	}
	for i, shape := range [][]int{nil, {0}, {5}, {1, 5}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 5}, {1000, 0, 1000}} {
		name := filepath.Join(dir, fmt.Sprintf("shape-%d.npy", i))
		r, a, err := Create[float64](name, Header{Big: true, Shape: shape})
		if err != nil {
			t.Fatal(err)
		}
		special := []float64{math.Copysign(0, -1), math.Inf(1), math.NaN(), math.SmallestNonzeroFloat64, -math.MaxFloat64}[:a.Len()]
		if n, err := a.CopyFrom(special); n != len(special) || err != nil {
			t.Errorf("%d of %d elements copied: %v", n, len(special), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		content := make([]byte, 8*len(special))
		if _, err := binary.Encode(content, binary.LittleEndian, special); err != nil {
			t.Fatal(err)
		}
		expect(name, a.tuple(), ">f8", false, content)
	}
	got := askNumPy[facts](t, names, "load")
	if len(got) != len(want) {
		t.Fatalf("NumPy loads %d files of %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.Name != w.Name || g.Shape != w.Shape || g.Descr != w.Descr || g.Bytes != w.Bytes {
			t.Errorf("NumPy has\n%+v instead of\n%+v", g, w)
		}
		if !strings.Contains(w.Name, "shape-") && g.Order != w.Order {
			t.Errorf("%s: NumPy has order %s", w.Name, g.Order)
		}
	}
}

func nativeOrder() byte {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return '>'
	}
	return '<'
}

// encoded is the number x as the type has it, little-endian.
func encoded(typ string, x int) []byte {
	size := sizes[typ]
	var b [8]byte
	switch typ {
	case "f4":
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(float32(x)))
	case "f8":
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(float64(x)))
	default:
		binary.LittleEndian.PutUint64(b[:], uint64(x))
	}
	return b[:size]
}

// A header that is accepted here is one that NumPy accepts.
func TestNumPyAcceptsTheHeadersThatAreAccepted(t *testing.T) {
	var texts []string
	var ours []bool
	for _, c := range headers {
		texts = append(texts, c.text)
		h, err := parse(c.text)
		if err == nil {
			_, _, err = h.count()
		}
		ours = append(ours, err == nil)
	}
	for i, theirs := range askNumPy[bool](t, texts, "accept") {
		if ours[i] && !theirs {
			t.Errorf("NumPy refuses %q", texts[i])
		}
		if strings.Contains(texts[i], "<f16") {
			continue // NumPy has it on some machines
		}
		if !ours[i] && theirs != headers[i].numPyTakesIt {
			t.Errorf("NumPy accepts %q: %v", texts[i], theirs)
		}
	}
}
