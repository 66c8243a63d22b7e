package mmap

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func registersOf[T Integer](t *testing.T, r *Region, off, n int) Registers[T] {
	t.Helper()
	v, err := RegistersOf[T](r, off, n)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testRegisters[T Integer](t *testing.T) {
	t.Helper()
	r := anonymousRegion(t, 4096)
	v := registersOf[T](t, r, 16, 4)
	plain, err := ViewOf[T](r, 16, 4)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != 4 || v.Region() != r || v.Offset() != 16 {
		t.Errorf("Len %d, Region %v, Offset %d", v.Len(), v.Region(), v.Offset())
	}
	for i := range 4 {
		x := ^T(i) // all bits
		v.Store(i, x)
		if got, at := v.Load(i), plain.At(i); got != x || at != x {
			t.Errorf("%T: register %d is %v, and %v in memory, want %v", x, i, got, at, x)
		}
	}
	s := v.Sub(1, 3)
	if s.Store(1, 42); plain.At(2) != 42 || s.Len() != 2 || s.Offset() != v.Offset()+plain.Sub(1, 3).Offset()-plain.Offset() {
		t.Errorf("%T: Sub has %d registers at %d, and memory %v", T(0), s.Len(), s.Offset(), plain.Slice())
	}
	if plain.At(1) != ^T(1) || plain.At(3) != ^T(3) {
		t.Errorf("%T: a neighbour changed: %v", T(0), plain.Slice())
	}
}

func TestRegistersLoadAndStoreEachWidth(t *testing.T) {
	testRegisters[int8](t)
	testRegisters[uint8](t)
	testRegisters[int16](t)
	testRegisters[uint16](t)
	testRegisters[int32](t)
	testRegisters[uint32](t)
	testRegisters[myInt](t)
	if is64 == 0 {
		_, err := RegistersOf[int64](anonymousRegion(t, 4096), 0, 1)
		wantErr(t, err, errors.ErrUnsupported, "registers of int64", runtime.GOARCH)
		t.Skipf("%s has no registers of 64 bits", runtime.GOARCH)
	}
	testRegisters[int64](t)
	testRegisters[uint64](t)
}

func TestRegistersAreMadeAsViewsAre(t *testing.T) {
	name := tempFile(t, make([]byte, 101))
	r := open(t, name, ReadWrite)
	_, err := RegistersOf[uint32](r, 2, 1)
	wantErr(t, err, ErrAlignment, "offset 2", "4-byte aligned", name)
	_, err = RegistersOf[uint16](r, 0, ToEnd)
	wantErr(t, err, ErrLayout, name)
	if v, err := RegistersOf[uint8](r, 1, ToEnd); err != nil || v.Len() != 100 {
		t.Errorf("%d registers, %v", v.Len(), err)
	}
	for _, tt := range [][2]int{{0, 26}, {-4, 1}, {0, -2}, {0, math.MaxInt}, {math.MaxInt - 3, 1}} {
		_, err := RegistersOf[int32](r, tt[0], tt[1])
		wantErr(t, err, ErrRange, name)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = RegistersOf[int32](r, 0, 1)
	wantErr(t, err, ErrClosed)
	var none Registers[uint8]
	if none.Len() != 0 || none.Offset() != 0 || none.Region() != nil {
		t.Error("the zero Registers have something")
	}
}

func TestMisuseOfRegistersPanics(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	rw := registersOf[uint16](t, open(t, name, ReadWrite), 0, 50)
	ro := registersOf[uint16](t, open(t, name, ReadOnly), 0, 50)
	for _, i := range []int{-1, 50, math.MaxInt, math.MinInt} {
		for _, fn := range []func(){func() { rw.Load(i) }, func() { rw.Store(i, 1) }, func() { ro.Load(i) }} {
			wantPanic(t, ErrRange, fn, strconv.Itoa(i), "50 elements")
		}
	}
	wantPanic(t, ErrReadOnly, func() { ro.Store(3, 1) }, "index 3", "50 elements", "read-only")
	if ro.Load(3) != 0 {
		t.Error("something was stored")
	}
}

func TestRegistersAfterCloseAreAFault(t *testing.T) {
	r := anonymousRegion(t, 4096)
	v := registersOf[uint32](t, r, 8, 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, fn := range []func(){func() { v.Load(1) }, func() { v.Store(1, 5) }} {
		err := Guard(func() error { fn(); return nil })
		wantErr(t, err, ErrClosed)
		var f *FaultError
		if errors.As(err, &f) && !isAt(f, 12) {
			t.Errorf("offset %d, want 12", f.Offset)
		}
	}
}

// What accesses a register, in the syntax of go tool objdump: the address is in a
// register of the processor, with no displacement.
var registerAccess = regexp.MustCompile(`\b(\S+) (?:.*, *)?0?\((?:[ABCD]X|[SD]I|BP|R\d+|X\d+|A\d|T\d)\)`)

// oneAccess is the instruction of each width, for loads and for stores.
var oneAccess = map[string]map[string]string{
	"amd64": {"load8": "MOVZX", "load16": "MOVZX", "load32": "MOVL", "load64": "MOVQ", "store8": "MOVB", "store16": "MOVW", "store32": "MOVL", "store64": "MOVQ"},
	"386":   {"load8": "MOVZX", "load16": "MOVZX", "load32": "MOVL", "store8": "MOVB", "store16": "MOVW", "store32": "MOVL"},
	"arm64": {"load8": "MOVBU", "load16": "MOVHU", "load32": "MOVWU", "load64": "MOVD", "store8": "MOVB", "store16": "MOVH", "store32": "MOVW", "store64": "MOVD"},
}

func TestARegisterIsAccessedByOneInstruction(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command to ask: %v", err)
	}
	arch := os.Getenv("MMAP_TEST_ARCH")
	if arch == "" {
		arch = runtime.GOARCH
	}
	want := oneAccess[arch]
	if want == nil {
		t.Skipf("the instructions of %s are not known to this test", arch)
	}
	program := filepath.Join(t.TempDir(), "devmem")
	cmd := exec.Command(goTool, "build", "-o", program, "./examples/devmem")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the program cannot be built here: %v\n%s", err, out)
	}
	out, err := exec.Command(goTool, "tool", "objdump", "-s", `mmap\.(load|store)Register`, program).Output()
	if err != nil {
		t.Skipf("the program cannot be disassembled here: %v", err)
	}
	seen := 0
	for _, function := range strings.Split(string(out), "TEXT ")[1:] {
		head, body, _ := strings.Cut(function, "\n")
		kind := regexp.MustCompile(`(load|store)Register(\d+)`).FindStringSubmatch(head)
		instruction := want[kind[1]+kind[2]]
		if instruction == "" {
			continue // no Registers use it
		}
		var accesses []string
		for _, found := range registerAccess.FindAllStringSubmatch(body, -1) {
			accesses = append(accesses, found[1])
		}
		seen++
		diff(t, arch+": "+kind[1]+" of "+kind[2]+" bits", accesses, []string{instruction})
	}
	if seen != len(want) {
		t.Errorf("%d functions are in the program, want %d", seen, len(want))
	}
}
