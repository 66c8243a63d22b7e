package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The program is this test binary again.
const variable = "TENSORS_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(variable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// needMapping skips where the example cannot run.
func needMapping(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
}

// program runs the program, and returns what it prints and how it ends.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	needMapping(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), variable+"=1", "GORACE=atexit_sleep_ms=0")
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const listed = `"made by": "examples/tensors"
type  shape  bytes  at byte  name
I8    [3]    3      431      "layer.scale"
F32   [2 3]  24     434      "layer.weight"
F16   [3]    6      458      "layer.bias"
BF16  [2 1]  4      464      "embedding"
U64   []     8      468      "steps"
BOOL  [4]    4      476      "mask"
`

const added = `"layer.scale": I8 of shape [3], sum 3
"layer.weight": F32 of shape [2 3], sum 21.5
"layer.bias": F16 of shape [3], sum -0.9999999403953552
"embedding": BF16 of shape [2 1], sum 4.140625
"steps": U64 of shape [], sum 1.099511627776e+12
"mask": BOOL of shape [4], sum 3
`

func TestShowsASmallFileAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	stdout, stderr, code := program(t)
	first, rest, _ := strings.Cut(stdout, "\n")
	if rest != listed+added || !strings.HasPrefix(first, dir) || !strings.HasSuffix(first, ": 6 tensors") || stderr != "" || code != 0 {
		t.Errorf("it prints %q and %q, and ends with %d", stdout, stderr, code)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestListsAndAddsUp(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s.safetensors")
	if out, errs, code := program(t, "-make", name); out != "" || errs != "" || code != 0 {
		t.Fatalf("-make prints %q and %q, and ends with %d", out, errs, code)
	}
	if out, errs, code := program(t, name); out != name+": 6 tensors\n"+listed || errs != "" || code != 0 {
		t.Errorf("it prints %q and %q, and ends with %d", out, errs, code)
	}
	want := "\"layer.weight\": F32 of shape [2 3], sum 21.5\n"
	if out, errs, code := program(t, name, "layer.weight"); out != want || errs != "" || code != 0 {
		t.Errorf("it prints %q and %q, and ends with %d", out, errs, code)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	good, bad, none := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "none")
	if err := writeSmallFile(good); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{none}, 1, none},
		{[]string{dir}, 1, "tensors: "},
		{[]string{bad}, 1, "tensors: " + bad + `: header, after byte `},
		{[]string{bad, "mask"}, 1, `: "mask": data_offsets is bytes 45 to 49, and there are 48 bytes of data`},
		{[]string{good, "maks"}, 1, "tensors: " + good + ` has no tensor "maks"`},
		{[]string{filepath.Join("testdata", "every.safetensors"), "f8"}, 1, "cannot add them up"},
		{[]string{"-make", filepath.Join(none, "x")}, 1, "tensors: open " + filepath.Join(none, "x")},
		{[]string{"a", "b", "c"}, 2, "usage: tensors"},
		{[]string{"-make", "a", "b"}, 2, "usage: tensors"},
		{[]string{"-x"}, 2, "usage: tensors"},
	} {
		stdout, stderr, code := program(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: it prints %q and %q, and ends with %d; want %q and %d", c.args, stdout, stderr, code, c.want, c.code)
		}
	}
}

// What the format's own implementation wrote, and what Python computed: see
// testdata/reference.
func TestReadsTheFilesOfTheReference(t *testing.T) {
	needMapping(t)
	for _, base := range []string{"every", "empty"} {
		base = filepath.Join("testdata", base)
		text, err := os.ReadFile(base + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want contents
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got := contentsOf(base + ".safetensors"); got.String() != want.String() {
			t.Errorf("%s has\n%v\nand not\n%v", base, got, want)
		}
		f, err := Open(base + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Metadata["format"] != "pt" {
			t.Errorf("%s has metadata %q", base, f.Metadata)
		}
		for _, tensor := range f.Tensors {
			sum := want.Sums[tensor.Name]
			if got, err := f.Sum(tensor); sum == nil && err == nil || sum != nil && (err != nil || got != *sum) {
				t.Errorf("%s: sum of %q is %v, %v", base, tensor.Name, got, err)
			}
		}
	}
}

// contents is what a file has, or why it has not, in the words of testdata/reference.py.
type contents struct {
	Refused string             `json:"refused"`
	Tensors map[string]content `json:"tensors"`
	Sums    map[string]*float64
}

type content struct {
	Type  string  `json:"type"`
	Shape []int64 `json:"shape"`
	Hex   string  `json:"hex"`
}

func (c contents) String() string { return fmt.Sprint(c.Tensors) } // sorted by name

func contentsOf(name string) contents {
	f, err := Open(name)
	if err != nil {
		return contents{Refused: err.Error()}
	}
	defer f.Close()
	c := contents{Tensors: map[string]content{}}
	for _, t := range f.Tensors {
		b := make([]byte, t.Bytes)
		if _, err := f.region.ReadAt(b, int64(t.Offset)); err != nil {
			return contents{Refused: err.Error()}
		}
		c.Tensors[t.Name] = content{t.Type, t.Shape, fmt.Sprintf("%x", b)}
	}
	return c
}
