package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The program is this test binary again: see self.
func TestMain(m *testing.M) {
	const variable = "RECORDS_TEST_PROGRAM"
	if os.Getenv(variable) != "" && !slices.Contains(os.Args, "-test.fuzzworker") {
		main()
		os.Exit(0)
	}
	os.Setenv(variable, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// newName returns the name of a store that is not there yet.
func newName(t testing.TB) string {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
	collect()
	return filepath.Join(t.TempDir(), "store.rec")
}

// collect has the collector unmap what is left of stores that were closed: many of them
// fill an address space of 32 bits.
func collect() {
	if bits.UintSize == 32 {
		runtime.GC()
	}
}

// program runs the program to its end.
func program(t testing.TB, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := self(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func TestShowsAStoreWhoseWriterIsKilled(t *testing.T) {
	dir := filepath.Dir(newName(t))
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	out, errs, code := program(t, "")
	for _, want := range []string{"is killed: it has stored ", "followed both, to record 10000\n", "look up key 79182081: 79182081 9999 ", "are as they were stored"} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints %q, without %q", out, want)
		}
	}
	left, err := os.ReadDir(dir)
	if code != 0 || errs != "" || err != nil || len(left) != 0 {
		t.Errorf("exit code %d, %q; it leaves %v, %v", code, errs, left, err)
	}
}

func TestCommands(t *testing.T) {
	name := newName(t)
	for _, tt := range []struct {
		in, args  string // FILE is the store
		code      int
		out, errs string // parts of it
	}{
		{"", "verify FILE", 1, "", "store.rec"}, // it is not there yet
		{"17 3.25\n\n 42 -1e100", "insert FILE", 0, "0 records are there\n2 records are stored\n", ""},
		{"18446744073709551615 0\n", "insert FILE", 0, "2 records are there\n3 records are stored\n", ""},
		{"", "insert FILE", 0, "3 records are there\n", ""},
		{"", "lookup FILE 42 18446744073709551615", 0, "42 -1e+100 20", ""},
		{"", "lookup FILE 17 18", 1, "17 3.25 20", "records: FILE has no record with key 18\n"},
		{"", "lookup FILE x", 1, "", `"x"`},
		{"", "verify FILE", 0, "3 records are as they were stored, and found by their keys\n", ""},
		{"1 1\n17 4\n2 2\n", "insert FILE", 1, "4 records are stored\n", "records: FILE, key 17: there is a record with this key\n"},
		{"2 2\nbad\n", "insert FILE", 1, "5 records are stored\n", `records: "bad\n" is not a key and a number`},
		{"-1 2\n", "insert FILE", 1, "", `"-1"`},
		{"3 x\n", "insert FILE", 1, "", `"x"`},
		{"3 3\n", "-sync=false insert FILE", 0, "6 records are stored\n", ""},
		{"", "verify FILE", 0, "6 records", ""},
		{"", "lookup FILE", 2, "", "usage"},
		{"", "verify", 2, "", "usage"},
		{"", "remove FILE", 2, "", "usage"},
		{"", "-nonsense", 2, "", "usage"},
	} {
		file := func(s string) string { return strings.ReplaceAll(s, "FILE", name) }
		out, errs, code := program(t, tt.in, strings.Fields(file(tt.args))...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, file(tt.errs)) || (code == 0) != (errs == "") {
			t.Errorf("%q %s: exit code %d, %q, %q", tt.in, tt.args, code, out, errs)
		}
	}
}

// A program that is faster than the disk is told often enough.
func TestInsertCommitsAtLeastEveryThousandRecords(t *testing.T) {
	var lines strings.Builder
	for i := range 5500 {
		fmt.Fprintln(&lines, i, i)
	}
	out, errs, code := program(t, lines.String(), "insert", newName(t))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	last := 0
	for line := range strings.Lines(out) {
		n := 0
		if _, err := fmt.Sscanf(line, "%d records are", &n); err != nil || n-last > mostAtOnce {
			t.Errorf("after %d records: %q", last, line)
		}
		last = n
	}
	if last != 5500 {
		t.Errorf("it ends with %d records", last)
	}
}

// A writing is a process that inserts, with what it says.
type writing struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startInsert(t testing.TB, args ...string) writing {
	t.Helper()
	cmd := self(args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return writing{cmd, in, bufio.NewReader(out)}
}

// heard returns the number in the next line.
func (w writing) heard() (n int, err error) {
	line, err := w.out.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "%d records are", &n)
	}
	return n, err
}

func TestThereIsOneWriter(t *testing.T) {
	name := newName(t)
	first := startInsert(t, "insert", name)
	if _, err := first.heard(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one that was refused changes nothing
		_, errs, code := program(t, "2 2\n", "insert", name)
		if want := fmt.Sprintf("records: %s: %v\n", name, ErrTaken); code != 1 || errs != want {
			t.Errorf("a second writer: exit code %d, %q, want %q", code, errs, want)
		}
	}
	if s, err := OpenWriter(name, false); !errors.Is(err, ErrTaken) {
		s.Close()
		t.Errorf("a second writer: %v", err)
	}
	fmt.Fprintln(first.in, "1 1")
	if n, err := first.heard(); n != 1 || err != nil {
		t.Errorf("the first has stored %d, %v", n, err)
	}
	first.Process.Kill()
	first.Wait()

	s, err := OpenWriter(name, false)
	if err != nil {
		t.Fatalf("after the writer was killed: %v", err)
	}
	defer s.Close()
	if runtime.GOOS != "solaris" {
		if _, err := OpenWriter(name, false); !errors.Is(err, ErrTaken) {
			t.Errorf("a second writer in this process: %v", err)
		}
	}
	r, err := OpenReader(name) // takes no lock away
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, errs, code := program(t, "2 2\n", "insert", name); code != 1 && runtime.GOOS != "solaris" {
		t.Errorf("a second writer: exit code %d, %q", code, errs)
	}
}

// value is what the tests store under a key.
func value(key uint64) float64 { return float64(key)*1.5 + 1 }

// Writers are killed at random moments. What they acknowledged is there, in order and
// whole, also for a reader that has opened the store once and follows them all.
func TestNothingIsLostWhenWritersAreKilled(t *testing.T) {
	stores, rounds := 5, 20
	if testing.Short() {
		stores, rounds = 1, 15
	}
	for range stores {
		killWriters(t, newName(t), rounds)
	}
}

func killWriters(t *testing.T, name string, rounds int) {
	var reader *Store
	there, seen, least := 0, uint32(0), 0
	for round := range rounds {
		w := startInsert(t, fmt.Sprintf("-sync=%v", round%2 == 0), "insert", name)
		go func(at int) {
			for err := error(nil); err == nil; {
				var lines strings.Builder
				for range 1 + rand.IntN(300) {
					fmt.Fprintf(&lines, "%d %g\n", keyOf(at), value(keyOf(at)))
					at++
				}
				_, err = io.WriteString(w.in, lines.String())
			}
		}(there)
		acked, err := w.heard()
		if err != nil || acked != there {
			t.Fatalf("round %d begins with %d records, %v, want %d", round, acked, err, there)
		}
		after := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() { w.Process.Kill() })
		for n := 0; err == nil; n, err = w.heard() {
			acked = max(acked, n)
		}
		after.Stop()
		w.Process.Kill()
		w.Wait()

		if reader == nil {
			if reader, err = OpenReader(name); err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
		}
		n, err := reader.Verify()
		if err != nil || int(n) < acked {
			t.Fatalf("round %d: %d acknowledged, %d are there, %v", round, acked, n, err)
		}
		for ; seen < n; seen++ {
			if r, err := reader.At(seen); err != nil || r.Key != keyOf(int(seen)) || r.Value != value(r.Key) || r.Time == 0 {
				t.Fatalf("round %d: record %d is %v, %v", round, seen, r, err)
			}
		}
		least += acked - there
		there = int(n)
	}
	if least == 0 {
		t.Error("nothing was acknowledged")
	}
	t.Logf("%d records, %d of them acknowledged by processes that were killed", there, least)
}

// A reader prints each record while the writer goes on and the file grows.
func TestFollowsWhileTheFileGrows(t *testing.T) {
	name := newName(t)
	w := startInsert(t, "insert", name)
	if _, err := w.heard(); err != nil {
		t.Fatal(err)
	}
	cmd := self("follow", name)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	go io.Copy(io.Discard, w.out)
	for i := range 9 * firstRecords { // four segments
		fmt.Fprintf(w.in, "%d %g\n", keyOf(i), value(keyOf(i)))
		first := i
		if i >= 100 { // then it looks at all that were written, every 50th time
			if i%50 < 49 {
				continue
			}
			first = i - 49
		}
		for ; first <= i; first++ {
			want := Record{Key: keyOf(first), Value: value(keyOf(first))}.String()
			want = want[:strings.LastIndexByte(want, ' ')]
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), want+" 20") {
				t.Fatalf("record %d: it prints %q, want %q", first, lines.Text(), want)
			}
		}
	}
}
