package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

const variable = "BIGSORT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// asProgram has a command run the program, which is this test binary again. The
// variable is set for it alone: the workers of a fuzz test are this binary, too.
func asProgram(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(os.Environ(), variable+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// program runs the program to its end.
func program(t testing.TB, args ...string) (out, stderr string, err error) {
	t.Helper()
	needMapping(t)
	cmd := asProgram(exec.Command(os.Args[0], args...))
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

func needMapping(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
}

func toBytes(numbers []uint64) (b []byte) {
	for _, x := range numbers {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

// newFile makes a file of numbers.
func newFile(t testing.TB, numbers []uint64) (name string) {
	t.Helper()
	needMapping(t)
	name = filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(name, toBytes(numbers), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// mustBeSorted looks whether a file has exactly these numbers, in order.
func mustBeSorted(t testing.TB, name string, numbers []uint64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := toBytes(slices.Sorted(slices.Values(numbers))); !bytes.Equal(b, want) {
		t.Errorf("%d numbers: the file has %d bytes, and is not as slices.Sort would have it", len(numbers), len(b))
	}
}

func randoms(n int) []uint64 {
	numbers := make([]uint64, n)
	for i := range numbers {
		numbers[i] = rand.Uint64()
	}
	return numbers
}

// kinds are inputs that are hard for some way to sort.
func kinds(n int) map[string][]uint64 {
	m := map[string][]uint64{"random": randoms(n)}
	for name, f := range map[string]func(i int) uint64{
		"equal":      func(int) uint64 { return 7 },
		"sorted":     func(i int) uint64 { return uint64(i) << 20 },
		"reversed":   func(i int) uint64 { return uint64(n-i) << 40 },
		"two values": func(i int) uint64 { return uint64(i&1) * math.MaxUint64 },
		"organ pipe": func(i int) uint64 { return uint64(min(i, n-i)) },
		"one less":   func(i int) uint64 { return uint64(min(i, 1)) },
		"one more":   func(i int) uint64 { return uint64(max(i, n-2)) },
	} {
		for i := range n {
			m[name] = append(m[name], f(i))
		}
	}
	return m
}

// newView returns a view of memory that has these numbers.
func newView(t testing.TB, numbers []uint64) mmap.LittleEndian[uint64] {
	t.Helper()
	needMapping(t)
	r, err := mmap.Anonymous(int64(len(numbers)) * bytesOfNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	v, err := mmap.LittleEndianOf[uint64](r, 0, mmap.ToEnd)
	if err == nil {
		_, err = v.CopyFrom(numbers)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSortsWhatIsHardToSort(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 100, 5000} {
		for kind, numbers := range kinds(n) {
			for _, buffer := range []int{1, 2, 64, 10_000} {
				v := newView(t, numbers)
				s := sorter{make([]uint64, buffer), func(int) {}}
				if err := s.sort(v); err != nil {
					t.Fatal(err)
				}
				got := make([]uint64, n)
				if _, err := v.CopyTo(got); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(numbers))) {
					t.Errorf("%s, %d numbers, buffer of %d: not sorted, %v", kind, n, buffer, err)
				}
			}
		}
	}
}

func TestProgressCountsEachNumberOnce(t *testing.T) {
	v := newView(t, randoms(5000))
	sum, calls := 0, 0
	s := sorter{make([]uint64, 100), func(n int) {
		if n < 1 || n > 100 {
			t.Errorf("%d numbers came into their place at a time", n)
		}
		sum, calls = sum+n, calls+1
		for i := 1; i < sum; i++ {
			if v.At(i-1) > v.At(i) {
				t.Fatalf("the first %d numbers should be in their place, and number %d is not", sum, i)
			}
		}
	}}
	if err := s.sort(v); err != nil || sum != 5000 || calls < 50 {
		t.Errorf("%v: %d of 5000 numbers were counted, in %d steps", err, sum, calls)
	}
}

func TestShowsBothWays(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // of Windows
	out, stderr, err := program(t, "-size", "3", "-buffer", "1")
	if err != nil || stderr != "" {
		t.Fatalf("%v: %s", err, stderr)
	}
	for _, want := range []string{"in place:     393216 numbers in ", "in Go's heap: 393216 numbers in ", "Both are in order, and have the numbers that were there before.\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints %q, without %q", out, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestSortsAFileInPlace(t *testing.T) {
	for _, way := range []string{"-heap=false", "-heap=true"} {
		for kind, numbers := range map[string][]uint64{
			"none": {}, "one": {5}, "random": randoms(150_000), // more than the buffer
			"equal": slices.Repeat([]uint64{1 << 63}, 150_000),
		} {
			n := len(numbers)
			name := newFile(t, numbers)
			out, stderr, err := program(t, "-file", name, "-buffer", "1", way)
			if err != nil || !strings.Contains(out, fmt.Sprintf(" %d numbers in ", n)) {
				t.Errorf("%s, %s: %v: %s%s", way, kind, err, out, stderr)
			}
			mustBeSorted(t, name, numbers)
		}
	}
}

func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	numbers := randoms(1000)
	slices.Sort(numbers)
	sum, sorted, err := look(newFile(t, numbers))
	if err != nil || !sorted {
		t.Fatalf("sorted numbers: %t, %v", sorted, err)
	}
	swapped := slices.Clone(numbers)
	swapped[998], swapped[999] = swapped[999], swapped[998]
	if again, sorted, err := look(newFile(t, swapped)); again != sum || sorted || err != nil {
		t.Errorf("the last two exchanged: another sum %t, sorted %t, %v", again != sum, sorted, err)
	}
	twice := slices.Clone(numbers)
	twice[500] = twice[501]
	if again, sorted, err := look(newFile(t, twice)); again == sum || !sorted || err != nil {
		t.Errorf("one lost, one twice: another sum %t, sorted %t, %v", again != sum, sorted, err)
	}
}

func TestRefusesWhatItCannotSort(t *testing.T) {
	needMapping(t)
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, make([]byte, 12), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-file", odd}, 1, "odd"},
		{[]string{"-file", odd, "-heap"}, 1, "12 bytes"},
		{[]string{"-file", odd + "none"}, 1, "oddnone"},
		{[]string{"-file", odd + "none", "-heap"}, 1, "oddnone"},
		{[]string{"-file", t.TempDir()}, 1, "directory"},
		{[]string{"-size", "-1"}, 2, "Usage"},
		{[]string{"-size", fmt.Sprint(math.MaxInt)}, 2, "Usage"},
		{[]string{"-buffer", "0"}, 2, "Usage"},
		{[]string{odd}, 2, "Usage"},
	} {
		_, stderr, err := program(t, c.args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(stderr, c.text) ||
			c.code == 1 && !strings.HasPrefix(stderr, "bigsort: ") {
			t.Errorf("%v: %v: %s", c.args, err, stderr)
		}
	}
	if b, err := os.ReadFile(odd); err != nil || !bytes.Equal(b, make([]byte, 12)) {
		t.Errorf("the file has %x, %v", b, err)
	}
}

// needTruncation skips where a file that is mapped cannot be truncated.
func needTruncation(t testing.TB) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows truncates no file that is mapped")
	}
}

func TestAFileThatIsTruncatedMeanwhileIsAnError(t *testing.T) {
	needTruncation(t)
	for _, left := range []int64{0, 8, 1000, 20_000} {
		name := newFile(t, randoms(20_000))
		r, err := mmap.Open(name, mmap.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		v, err := mmap.LittleEndianOf[uint64](r, 0, mmap.ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		s := sorter{make([]uint64, 100), func(int) {
			if err := os.Truncate(name, left); err != nil {
				t.Error(err)
			}
		}}
		if err := mmap.Guard(func() error { return s.sort(v) }); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("truncated to %d bytes after the first piece: %v", left, err)
		}
	}
}

func TestAnotherProcessTruncatesTheFile(t *testing.T) {
	needTruncation(t)
	numbers := append([]uint64{math.MaxUint64}, randoms(16*numbersOfMiB)...)
	size := int64(len(numbers)) * bytesOfNumber
	for left, text := range map[int64]string{
		1 << 20:  "file was truncated",
		size - 1: "file was truncated: it has", // no fault: only Sync notices
	} {
		name := newFile(t, numbers)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := mmap.Map(f, mmap.ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cmd := asProgram(exec.Command(os.Args[0], "-file", name, "-buffer", "1"))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for begun := false; !begun; { // until the greatest number has left the first place
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v: %s", err, stderr.String())
			default:
			}
			x, err := mmap.Get[uint64](r, 0)
			if err != nil {
				t.Fatal(err)
			}
			begun = x != math.MaxUint64
		}
		if err := f.Truncate(left); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("truncated to %d bytes, it ended with %v", left, err)
		}
		if s := stderr.String(); !strings.HasPrefix(s, "bigsort: ") || !strings.Contains(s, text) || !strings.Contains(s, name) {
			t.Errorf("truncated to %d bytes, it says %q", left, s)
		}
	}
}

// Others that store meanwhile can spoil the order, and nothing else.
func TestDividesIntoTwoPartsWhateverIsStoredMeanwhile(t *testing.T) {
	needMapping(t)
	if raceEnabled {
		t.Skip("the race is meant")
	}
	v := newView(t, randoms(1000))
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			for _, x := range []uint64{0, math.MaxUint64, rand.Uint64()} {
				for i := range v.Len() {
					v.Set(i, x)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for i := range 20_000 {
		w := v.Sub(0, 2+i%998)
		if m := divide(w); m < 1 || m >= w.Len() {
			t.Fatalf("%d numbers are divided at %d", w.Len(), m)
		}
	}
	close(stop)
	<-stopped
}

func FuzzSort(f *testing.F) {
	needMapping(f)
	f.Add([]byte{}, uint8(1))
	f.Add(toBytes([]uint64{3, 1, 2, 1}), uint8(2))
	f.Add([]byte("abcdefghijk"), uint8(0))
	name := filepath.Join(f.TempDir(), "numbers")
	f.Fuzz(func(t *testing.T, b []byte, buffer uint8) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sortInPlace(name, 1+int(buffer))
		if len(b)%8 != 0 {
			if !errors.Is(err, mmap.ErrLayout) {
				t.Errorf("%d bytes: %v", len(b), err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		numbers := make([]uint64, len(b)/8)
		if _, err := binary.Decode(b, binary.LittleEndian, numbers); err != nil {
			t.Fatal(err)
		}
		mustBeSorted(t, name, numbers)
	})
}

func TestAFileThatMayNotBeWrittenStaysAsItIs(t *testing.T) {
	name := newFile(t, []uint64{2, 1})
	if err := os.Chmod(name, 0o400); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(name, 0o600)
	if os.Geteuid() == 0 {
		t.Skip("root may write it")
	}
	if _, err := sortInPlace(name, 1); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the error is %v", err)
	}
}
