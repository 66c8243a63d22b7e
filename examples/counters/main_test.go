package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-498deeca/mmap"
)

// The program, and each worker, is this test binary again.
const variable = "COUNTERS_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	os.Setenv(variable, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// needCounters skips where the example cannot run.
func needCounters(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
	r, err := mmap.Anonymous(8)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := mmap.AtomicOf[uint64](r, 0, 1); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
}

// temporary has all temporary files in a folder of the test, which must be empty at
// its end.
func temporary(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("it leaves %v, %v", left, err)
		}
	})
	return dir
}

// sieve counts the primes below limit in another way.
func sieve(limit int) (n uint64) {
	composite := make([]bool, limit)
	for x := 2; x < limit; x++ {
		if !composite[x] {
			n++
			for y := 2 * x; y < limit; y += x {
				composite[y] = true
			}
		}
	}
	return n
}

func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	needCounters(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// On a fast machine the work may be done before a worker can be killed: then there is
// more of it.
func TestShowsAWorkerThatIsKilled(t *testing.T) {
	temporary(t)
	jobs := []struct{ args, want string }{
		{"-limit 1000000 -item 10", "78498 primes below 1000000, in "},
		{"", "664579 primes below 10000000, in "},
		{"-limit 100000000", "5761455 primes below 100000000, in "},
	}
	if !testing.Short() {
		jobs = jobs[1:]
	}
	for _, job := range jobs {
		out, errs, code := program(t, strings.Fields(job.args)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if !strings.Contains(lines[0], "counted by 4 workers: processes [") {
			t.Errorf("it begins with %q", lines[0])
		}
		if code != 0 || errs != "" || !strings.HasPrefix(lines[len(lines)-1], job.want) {
			t.Errorf("it ends with %d, says %q and prints\n%s", code, errs, out)
		}
		kills := strings.Count(out, " primes stay, and process ")
		if kills > 1 || !strings.Contains(out, "%  ") {
			t.Errorf("it prints\n%s", out)
		}
		if kills > 0 {
			return
		}
	}
	t.Error("no worker was killed")
}

// Workers are killed at random moments, again and again. Each total is exact.
func TestTotalsAreExactHoweverWorkersAreKilled(t *testing.T) {
	needCounters(t)
	temporary(t)
	rounds, kills := 0, 0
	budget := 500 * time.Millisecond // for each job
	if testing.Short() {
		budget = 50 * time.Millisecond
	}
	for _, job := range []Job{
		{Limit: 200_000, Item: 1, Workers: 4, Kills: 10},
		{Limit: 200_003, Item: 7, Workers: 3, Kills: 10},
		{Limit: 1_000_000, Item: 100, Workers: 8, Kills: 20},
		{Limit: 1000, Item: 1, Workers: 2, Kills: 2},
		{Limit: 1, Item: 1 << 40, Workers: 1, Kills: 1},
	} {
		want := sieve(int(job.Limit))
		for begin := time.Now(); time.Since(begin) < budget; {
			var out strings.Builder
			got, err := count(t.Context(), &display{w: &out}, job)
			if got != want || err != nil {
				t.Fatalf("%+v: %d primes instead of %d, %v:\n%s", job, got, want, err, out.String())
			}
			rounds++
			kills += strings.Count(out.String(), "goes on from there")
		}
	}
	if kills < 5 {
		t.Errorf("only %d workers were killed in %d rounds", kills, rounds)
	}
	t.Logf("%d rounds, %d workers killed", rounds, kills)
}

func TestErrorsAreSaid(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-limit", "0"}, 2, "Usage"},
		{[]string{"-workers", "0"}, 2, "Usage"},
		{[]string{"-item", "0"}, 2, "Usage"},
		{[]string{"-kills", "-1"}, 2, "Usage"},
		{[]string{"more"}, 2, "Usage"},
		{[]string{"-worker", "1", "-file", filepath.Join(dir, "none")}, 1, "none"},
	} {
		out, errs, code := program(t, c.args...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) || c.code == 1 && !strings.HasPrefix(errs, "counters: ") {
			t.Errorf("%q: it ends with %d, prints %q, and says %q without %q", c.args, code, out, errs, c.want)
		}
	}
	// A folder for the table that cannot be.
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	t.Setenv("TMP", filepath.Join(dir, "none"))
	if out, errs, code := program(t); code != 1 || out != "" || !strings.HasPrefix(errs, "counters: ") {
		t.Errorf("it ends with %d, prints %q, and says %q", code, out, errs)
	}
}

// silence keeps what workers say from the screen.
func silence(t *testing.T) {
	t.Helper()
	stderr := os.Stderr
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = said
	t.Cleanup(func() {
		os.Stderr = stderr
		said.Close()
		if text, err := os.ReadFile(said.Name()); err != nil || bytes.Contains(text, []byte("goroutine ")) {
			t.Errorf("workers say %s, %v", text, err)
		}
	})
}

// Workers that end without having done anything are not replaced for ever.
func TestGivesUpWhereNoWorkerWorks(t *testing.T) {
	table := newTestTable(t, 2, 10)
	c := newCrew(Job{Limit: 20, Item: 1, Workers: 2}, "none", table, &display{w: &bytes.Buffer{}})
	defer c.stop()
	silence(t)
	if _, err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is done") {
		t.Errorf("error %v", err)
	}
}

// A part that nobody does is noticed.
func TestNoPartIsForgotten(t *testing.T) {
	table := newTestTable(t, 2, 10)
	table.Claim(99)
	c := newCrew(Job{Limit: 20, Item: 1, Workers: 2}, table.region.Name(), table, &display{w: &bytes.Buffer{}})
	defer c.stop()
	if _, err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "10 of 20 items are done") {
		t.Errorf("error %v", err)
	}
}

func TestStopsItsWorkersWhenItIsInterrupted(t *testing.T) {
	needCounters(t)
	temporary(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := writer(func(text string) {
		if strings.Contains(text, "%") {
			cancel()
		}
	})
	if _, err := count(ctx, &display{w: started}, Job{Limit: 1 << 40, Item: 1 << 20, Workers: 4}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type writer func(text string)

func (f writer) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

func TestATableThatIsTruncatedIsAnError(t *testing.T) {
	needCounters(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
	dir := temporary(t)
	silence(t)
	truncate := writer(func(string) {
		tables, err := filepath.Glob(filepath.Join(dir, "counters-*", "table"))
		if err != nil || len(tables) != 1 {
			t.Errorf("the tables are %v, %v", tables, err)
		}
		for _, table := range tables {
			if err := os.Truncate(table, 0); err != nil {
				t.Error(err)
			}
		}
	})
	_, err := count(t.Context(), &display{w: truncate}, Job{Limit: 1 << 40, Item: 1 << 20, Workers: 2})
	if !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("error %v", err)
	}
}

func TestAWorkerWhoseTableIsTruncatedEndsWithAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
	table := newTestTable(t, 1, 1<<40)
	name := table.region.Name()
	ended := make(chan error)
	go func() { ended <- work(name, 1, Job{Limit: 1 << 40, Item: 1}) }()
	for done := uint64(0); done == 0; done, _ = table.Count() {
		runtime.Gosched()
	}
	if err := os.Truncate(name, 0); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, mmap.ErrTruncated) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
}

func TestDisplayOfATerminalAndOfALog(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out strings.Builder
		d := &display{w: &out, terminal: terminal}
		d.progress(1, 4, "a primes")
		d.progress(2, 4, "too early")
		d.last = d.last.Add(-time.Second)
		d.progress(3, 4, "b")
		d.line("the %s", "end")
		want := " 25%  a primes\n 75%  b\nthe end\n"
		if terminal {
			want = fmt.Sprintf("\r%-78s\r%-78s\r%78s\rthe end\n", " 25%  a primes", " 75%  b", "")
		}
		if out.String() != want {
			t.Errorf("terminal %v: it prints %q", terminal, out.String())
		}
	}
}

func TestPrimes(t *testing.T) {
	for _, limit := range []int{0, 1, 2, 3, 4, 5, 10, 100, 10_000} {
		if got, want := primes(0, uint64(limit)), sieve(limit); got != want {
			t.Errorf("%d primes below %d, not %d", got, limit, want)
		}
	}
	if n := primes(10, 5); n != 0 {
		t.Errorf("%d primes from 10 to 5", n)
	}
}
