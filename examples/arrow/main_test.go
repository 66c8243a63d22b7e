package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/seed-498deeca/mmap"
)

// The program is this test binary again.
func TestMain(m *testing.M) {
	const variable = "ARROW_TEST_PROGRAM"
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	os.Setenv(variable, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

func needColumns(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
	if endian.IsBigEndian {
		t.Skip("arrow-go would have to copy the columns on a big-endian machine")
	}
}

// newFolder makes a folder of two columns, with ordinary writes.
func newFolder(t testing.TB, rows int) (folder string) {
	t.Helper()
	needColumns(t)
	folder = t.TempDir()
	a, b := make([]byte, 0, 8*rows), make([]byte, 0, 8*rows)
	for i := range rows {
		a = binary.LittleEndian.AppendUint64(a, uint64(numberOf(i)))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(i)/2))
	}
	writeColumn(t, folder, "a.int64", a)
	writeColumn(t, folder, "b.part.float64", b)
	writeColumn(t, folder, "notes.txt", []byte("no column"))
	return folder
}

func numberOf(i int) int64 { return int64(i) * -1_000_000_007 }

func writeColumn(t testing.TB, folder, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// open opens the columns of a folder, for the length of the test.
func open(t testing.TB, folder string) arrow.RecordBatch {
	t.Helper()
	batch, err := openColumns(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(batch.Release)
	return batch
}

func regionOf(c arrow.Array) *mmap.Region {
	r, _ := mmap.RegionOf(c.Data().Buffers()[1].Bytes())
	return r
}

func TestColumnsAreTheMappedBytes(t *testing.T) {
	folder := newFolder(t, 1000)
	batch := open(t, folder)
	a, b := batch.Column(0).(*array.Int64), batch.Column(1).(*array.Float64)
	if batch.NumRows() != 1000 || batch.ColumnName(0) != "a" || batch.ColumnName(1) != "b.part" || batch.NumCols() != 2 {
		t.Fatalf("%d rows of %v", batch.NumRows(), batch.Schema())
	}
	for i := range 1000 {
		if a.Value(i) != numberOf(i) || b.Value(i) != float64(i)/2 || a.IsNull(i) {
			t.Fatalf("row %d is %d, %v", i, a.Value(i), b.Value(i))
		}
	}
	for _, c := range []struct {
		at   unsafe.Pointer
		name string
		r    *mmap.Region
	}{
		{unsafe.Pointer(unsafe.SliceData(a.Int64Values())), "a.int64", regionOf(a)},
		{unsafe.Pointer(unsafe.SliceData(b.Float64Values())), "b.part.float64", regionOf(b)},
	} {
		if c.r == nil || c.r.Name() != filepath.Join(folder, c.name) || uintptr(c.at) != c.r.Addr() {
			t.Errorf("the numbers of %s are at %p, and the mapping is %v", c.name, c.at, c.r)
		}
	}
	// What the file gets, the column has.
	f, err := os.OpenFile(filepath.Join(folder, "a.int64"), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{42, 0, 0, 0, 0, 0, 0, 0}, 8*7)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "openbsd" && a.Value(7) != 42 { // OpenBSD keeps the two apart until Sync
		t.Errorf("row 7 is %d", a.Value(7))
	}
}

// allocated is how many allocations fn makes, and of how many bytes.
func allocated(fn func()) (objects, size uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc
}

func TestAllocatesAsMuchForManyRowsAsForFew(t *testing.T) {
	const rows = 4 << 20
	needColumns(t)
	large := t.TempDir()
	for _, name := range []string{"a.int64", "b.float64"} { // of zeros
		writeColumn(t, large, name, nil)
		if err := os.Truncate(filepath.Join(large, name), rows*8); err != nil {
			t.Fatal(err)
		}
	}
	opened := func(folder string) (objects, size uint64) {
		return allocated(func() {
			batch, err := openColumns(folder)
			if err != nil {
				t.Fatal(err)
			}
			batch.Release()
		})
	}
	small := newFolder(t, 8)
	opened(small) // what is allocated once
	few, fewBytes := opened(small)
	many, manyBytes := opened(large)
	if many > few+10 || manyBytes > fewBytes+4096 {
		t.Errorf("8 rows: %d allocations of %d bytes; %d rows: %d of %d", few, fewBytes, rows, many, manyBytes)
	}
	batch, name := open(t, large), filepath.Join(t.TempDir(), "arrow")
	_, size := allocated(func() {
		if err := writeFile(name, batch); err != nil {
			t.Error(err)
		}
		if err := checkFile(name, batch); err != nil {
			t.Error(err)
		}
	})
	if size > rows { // of 16*rows bytes
		t.Errorf("to write %d bytes and to read them again, %d were allocated", rows*16, size)
	}
}

func TestTheLastReleaseClosesTheRegions(t *testing.T) {
	batch, err := openColumns(newFolder(t, 1000))
	if err != nil {
		t.Fatal(err)
	}
	regions := []*mmap.Region{regionOf(batch.Column(0)), regionOf(batch.Column(1))}
	length := func() [2]int { return [2]int{regions[0].Len(), regions[1].Len()} }
	piece := batch.NewSlice(10, 20)
	column := array.NewSlice(batch.Column(1), 1, 2)
	batch.Release()
	if length() != [2]int{8000, 8000} || piece.Column(0).(*array.Int64).Value(1) != numberOf(11) {
		t.Errorf("a piece is left, and the regions have %v bytes", length())
	}
	piece.Release()
	if length() != [2]int{0, 8000} || column.(*array.Float64).Value(0) != 0.5 {
		t.Errorf("a piece of the second column is left, and the regions have %v bytes", length())
	}
	column.Release()
	if length() != [2]int{0, 0} {
		t.Errorf("nothing is left, and the regions have %v bytes", length())
	}
}

func TestWritesAndServesAnyNumberOfRows(t *testing.T) {
	for _, rows := range []int{0, 1, 7, 65_536, 65_537, 300_000} {
		batch := open(t, newFolder(t, rows))
		name := filepath.Join(t.TempDir(), "arrow")
		if err := writeFile(name, batch); err != nil {
			t.Fatal(err)
		}
		if err := checkFile(name, batch); err != nil {
			t.Errorf("%d rows in a file: %v", rows, err)
		}
		if err := writeFile(name, batch); !errors.Is(err, fs.ErrExist) {
			t.Errorf("to write it again: %v", err)
		}
		where, stop, err := serve("127.0.0.1:0", batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkServer(t.Context(), where, batch); err != nil {
			t.Errorf("%d rows from a server: %v", rows, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	const rows = 70_000
	folder := newFolder(t, rows)
	batch, name := open(t, folder), filepath.Join(t.TempDir(), "arrow")
	if err := writeFile(name, batch); err != nil {
		t.Fatal(err)
	}
	for what, other := range map[string]arrow.RecordBatch{"less": batch.NewSlice(0, rows-1), "nothing": batch.NewSlice(0, 0), "another first row": batch.NewSlice(1, rows)} {
		if err := checkFile(name, other); err == nil {
			t.Errorf("%s than in the file is found equal", what)
		}
		other.Release()
	}
	more := open(t, newFolder(t, rows+1))
	if err := checkFile(name, more); err == nil {
		t.Error("more rows than in the file are found equal")
	}
	f, err := os.OpenFile(filepath.Join(folder, "b.part.float64"), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{1}, rows*8-8)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := checkFile(name, open(t, folder)); err == nil {
		t.Error("a last number that differs is found equal")
	}
}

func TestRefusesWhatAreNoColumns(t *testing.T) {
	needColumns(t)
	for text, files := range map[string]map[string]int{
		"has no file":   {"a.txt": 8},
		"int64":         {"a.int64": 12},
		"column b has ": {"a.int64": 8, "b.float64": 16},
		"directory":     {"dir.int64": -1},
	} {
		folder := t.TempDir()
		for name, size := range files {
			if size < 0 {
				if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
					t.Fatal(err)
				}
				continue
			}
			writeColumn(t, folder, name, make([]byte, size))
		}
		batch, err := openColumns(folder)
		if err == nil || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, %v", files, batch, err)
		}
		if maps, err := os.ReadFile("/proc/self/maps"); err == nil && bytes.Contains(maps, []byte(folder)) {
			t.Errorf("%v: something stays mapped", files)
		}
	}
	if _, err := openColumns(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestATruncationWhileTheFileIsWritten(t *testing.T) {
	needTruncation(t)
	const rows = 10_000
	for _, left := range []int64{rows*8 - 1, 100, 0} {
		folder := newFolder(t, rows)
		batch, name := open(t, folder), filepath.Join(t.TempDir(), "arrow")
		if err := os.Truncate(filepath.Join(folder, "a.int64"), left); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(name, batch); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("truncated to %d bytes: %v", left, err)
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("truncated to %d bytes: a file is left: %v", left, err)
		}
	}
}

// program runs the program to its end.
func program(t testing.TB, args ...string) (out, stderr string, err error) {
	t.Helper()
	needColumns(t)
	cmd := exec.Command(os.Args[0], args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

func TestShowsItself(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // of Windows
	out, stderr, err := program(t)
	if err != nil || stderr != "" {
		t.Fatalf("%v: %s", err, stderr)
	}
	for _, want := range []string{
		"column price: 1000000 numbers of type float64, in place: byte 0 of the mapping of price.float64\n",
		"the Arrow file, mapped in its turn, has the same rows\n",
		"has got the same rows\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints %q, without %q", out, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestWritesAFile(t *testing.T) {
	folder, name := newFolder(t, 1000), filepath.Join(t.TempDir(), "arrow")
	out, stderr, err := program(t, "-folder", folder, "-file", name)
	if err != nil || out != name+": 1000 rows of 2 columns\n" {
		t.Errorf("%v: %s%s", err, out, stderr)
	}
	f, err := os.Open(name) // an ordinary reader, which copies
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := same(r, open(t, folder)); err != nil {
		t.Error(err)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	folder := newFolder(t, 5)
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-folder", folder + "none", "-file", folder + ".arrow"}, 1, "none"},
		{[]string{"-folder", folder, "-file", filepath.Join(folder, "a.int64")}, 1, "a.int64"},
		{[]string{"-folder", folder, "-serve", "127.0.0.1:none"}, 1, "none"},
		{[]string{"-folder", folder}, 2, "Usage"},
		{[]string{"-file", folder}, 2, "Usage"},
		{[]string{"x"}, 2, "Usage"},
	} {
		_, stderr, err := program(t, c.args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(stderr, c.text) ||
			c.code == 1 && !strings.HasPrefix(stderr, "arrow: ") {
			t.Errorf("%v: %v: %s", c.args, err, stderr)
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, "a.int64")); err != nil || len(b) != 40 {
		t.Errorf("the column has %d bytes, %v", len(b), err)
	}
}

// needTruncation skips where a file that is mapped cannot be truncated.
func needTruncation(t testing.TB) {
	t.Helper()
	needColumns(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows truncates no file that is mapped")
	}
}
