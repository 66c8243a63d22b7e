package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// The program is this test binary again: see program.
const variable = "NPY_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program runs the program, with dir as its folder for temporary files.
func program(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	needMapping(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), variable+"=1", "GORACE=atexit_sleep_ms=0", "TMPDIR="+dir, "TMP="+dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestShowsATableAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	out, errs, code := program(t, dir)
	for _, want := range []string{"shape:   (10, 10)\n", "type:    >i4\n", "order:   C", "data:    400 bytes at 128\n",
		"values:  count 100, min 0, max 81, mean 20.25, std 20.0546", "[6, 7]:  42\n", dir} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints %q, without %q", out, want)
		}
	}
	if code != 0 || errs != "" {
		t.Errorf("it ends with %d and says %q", code, errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestDescribesWhatItWrites(t *testing.T) {
	dir := t.TempDir()
	name, second := filepath.Join(dir, "a.npy"), filepath.Join(dir, "b.npy")
	if out, errs, code := program(t, dir, "-write", name); code != 0 || out+errs != "" {
		t.Errorf("it ends with %d and says %q", code, out+errs)
	}
	if out, errs, code := program(t, dir, "-write", second, "-type", "u2", "-shape", "70000", "-big", "-fortran"); code != 0 || out+errs != "" {
		t.Errorf("it ends with %d and says %q", code, out+errs)
	}
	out, errs, code := program(t, dir, name, second)
	want := "file:    " + name + "\nshape:   (3, 4)\ntype:    <f8\norder:   C: the last index changes fastest\ndata:    96 bytes at 128\n" +
		"values:  count 12, min 0, max 11, mean 5.5, std 3.452052529534663\n" +
		"file:    " + second + "\nshape:   (70000,)\ntype:    >u2\norder:   Fortran: the first index changes fastest\ndata:    140000 bytes at 128\n" +
		"values:  count 70000, min 0, max 65535, mean"
	if code != 0 || errs != "" || !strings.HasPrefix(out, want) {
		t.Errorf("it ends with %d, says %q and prints\n%s", code, errs, out)
	}
}

func TestErrorsAreSaid(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none", "a.npy")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("some text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{missing}, 1, missing},
		{[]string{text}, 1, text + ": not a .npy file"},
		{[]string{"-write", missing}, 1, missing},
		{[]string{"-write", filepath.Join(dir, "x"), "-type", "f2"}, 1, "f2"},
		{[]string{"-write", filepath.Join(dir, "x"), "-type", "none"}, 1, "none"},
		{[]string{"-write", filepath.Join(dir, "x"), "-shape", "3,-4"}, 1, `"-4" is no length`},
		{[]string{"-write", filepath.Join(dir, "x"), "-shape", ""}, 1, `"" is no length`},
		{[]string{"-write", filepath.Join(dir, "x"), "-shape", "999999999,999999999,999999999"}, 1, "more bytes than this machine can address"},
		{[]string{"-write", filepath.Join(dir, "x"), text}, 2, "Usage"},
	} {
		out, errs, code := program(t, dir, c.args...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) || c.code == 1 && !strings.HasPrefix(errs, "npy: ") {
			t.Errorf("%q: it ends with %d, prints %q, and says %q without %q", c.args, code, out, errs, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestOpenNeedsTheRightType(t *testing.T) {
	r := region(t, file(1, typed(">f4"), 8))
	if a, err := Open[float32](r); err != nil || a.Len() != 2 {
		t.Errorf("float32: %v", err)
	}
	for name, open := range map[string]func() error{
		"float64": func() error { _, err := Open[float64](r); return err },
		"int32":   func() error { _, err := Open[int32](r); return err },
		"uint32":  func() error { _, err := Open[uint32](r); return err },
		"int8":    func() error { _, err := Open[int8](r); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "f4") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := As[uint8](r, Header{Type: "f4", Data: 10, Shape: []int{2}}); err != nil || a.Len() != 8 {
		t.Errorf("the bytes of 2 float32 are %d uint8, %v", a.Len(), err)
	}
	if _, err := As[float64](r, Header{Type: "f4", Data: 0, Shape: []int{3}}); err == nil {
		t.Error("3 float32 were taken for float64")
	}
	for _, h := range []Header{{Type: "f4", Shape: []int{1 << 20}}, {Type: "f4", Data: -1}, {Type: "f4", Data: math.MinInt}, {Type: "f4", Shape: []int{-2}}} {
		if _, err := As[float32](r, h); err == nil {
			t.Errorf("%+v was taken", h)
		}
	}
}

// A file that another process truncates meanwhile is an error: by pages, or within
// the last one.
func TestAFileThatIsTruncatedMeanwhileIsAnError(t *testing.T) {
	needMapping(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
	for _, left := range []int64{200, 128 + 8*100_000 - 1} {
		name := filepath.Join(t.TempDir(), "a.npy")
		if err := create(name, "f8", "100000", false, false); err != nil {
			t.Fatal(err)
		}
		err := describe(onWrite(func(p []byte) error {
			if bytes.HasPrefix(p, []byte("data:")) { // the header was read
				return os.Truncate(name, left)
			}
			return nil
		}), name)
		var fault *mmap.FaultError
		if err == nil || !strings.Contains(err.Error(), "truncated") || !strings.Contains(err.Error(), name) || left == 200 && !errors.As(err, &fault) {
			t.Errorf("truncated to %d bytes: %v", left, err)
		}
	}
	name := filepath.Join(t.TempDir(), "a.npy")
	if err := create(name, "f8", "100000", false, false); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open[float64](r); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("Open: %v", err)
	}
}

type onWrite func(p []byte) error

func (f onWrite) Write(p []byte) (int, error) { return len(p), f(p) }

func TestEveryTypeIsReadOrRefused(t *testing.T) {
	for typ := range sizes {
		if types[typ].show == nil {
			t.Errorf("%s is not shown", typ)
		}
	}
	if len(sizes) != len(types) {
		t.Errorf("%d types are read, and %d shown", len(sizes), len(types))
	}
}

// The statistics do not depend on how the numbers are cut into blocks.
func TestStatisticsOfBlocks(t *testing.T) {
	numbers := []float64{1e9 + 1, math.NaN(), 1e9 + 2, 1e9 + 4, math.NaN(), 1e9 + 9}
	for cut := range len(numbers) + 1 {
		var s Stats[float64]
		s.Add(numbers[:cut], 0, 1)
		s.Add(numbers[cut:], 0, 1)
		if s.Count != 6 || s.NaN != 2 || s.Min != 1e9+1 || s.Max != 1e9+9 || s.Mean() != 1e9+4 || math.Abs(s.Deviation()-math.Sqrt(9.5)) > 1e-6 {
			t.Errorf("cut at %d: %v", cut, &s)
		}
	}
	var none Stats[int8]
	if none.String() != "count 0" {
		t.Errorf("of nothing: %v", &none)
	}
}

func TestFloat16(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 1.0 / (1 << 24), 0x03ff: 1023.0 / (1 << 24), 0x0400: 1.0 / (1 << 14), 0x3555: 0.333251953125} {
		if got := float16(bits); got != want {
			t.Errorf("%#04x is %v, not %v", bits, got, want)
		}
	}
	if x := float16(0x8000); x != 0 || !math.Signbit(float64(x)) {
		t.Errorf("-0 is %v", x)
	}
	if x := float16(0xfc00); !math.IsInf(float64(x), -1) {
		t.Errorf("-Inf is %v", x)
	}
	if x := float16(0x7e01); x == x {
		t.Errorf("NaN is %v", x)
	}
}
