//go:build race

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// What the race detector says of programs with and without a race. They run in a
// child, one after the other, each in memory of its own. The child says after which
// of them the detector had reported more.

// A racer is such a program.
type racer struct {
	name string
	racy bool
	run  func(t testing.TB)
}

func racers() []racer {
	all := append(racersOfAccesses(), racersOfRegions()...)
	all = append(all, racersOfOrder()...)
	return append(all, racersOfLife()...)
}

// childRacers runs those that have the given names, or all.
var childRacers = registerChild("racers", func(t testing.TB, args []string) {
	for _, p := range racers() {
		if len(args) > 0 && args[0] != p.name {
			continue
		}
		before := runtime.RaceErrors()
		own := &childTB{name: p.name}
		p.run(own)
		for _, fn := range slices.Backward(own.cleanups) {
			fn()
		}
		if own.Failed() {
			t.Fatal(p.name)
		}
		fmt.Printf("%v: %s\n", runtime.RaceErrors() > before, p.name)
	}
})

// runRacers runs a child of racers.
func runRacers(t testing.TB, names ...string) (verdicts map[string]bool, stderr string, code int) {
	t.Helper()
	return raceVerdicts(t, childCommand(t, childRacers, names...))
}

// raceVerdicts runs a child that writes lines of "true: what" or "false: what". The
// detector is to report every race, also one that looks like another.
func raceVerdicts(t testing.TB, cmd *exec.Cmd) (verdicts map[string]bool, stderr string, code int) {
	t.Helper()
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0 suppress_equal_stacks=0 suppress_equal_addresses=0")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	verdicts = make(map[string]bool)
	for line := range strings.Lines(out.String()) {
		racy, name, _ := strings.Cut(strings.TrimSpace(line), ": ")
		verdicts[name] = racy == "true"
	}
	return verdicts, errs.String(), cmd.ProcessState.ExitCode()
}

// TestTheRaceDetectorSeesMappedMemory: it reports the programs that have a race, and
// no other.
func TestTheRaceDetectorSeesMappedMemory(t *testing.T) {
	verdicts, stderr, code := runRacers(t)
	for _, p := range racers() {
		racy, ran := verdicts[p.name]
		switch {
		case !ran:
			t.Errorf("%s: it did not run", p.name)
		case racy && !p.racy:
			t.Errorf("%s: reported, although there is no race", p.name)
		case !racy && p.racy:
			t.Errorf("%s: the race was not found", p.name)
		}
	}
	if code != 66 {
		t.Errorf("the child ended with %d, want 66, the detector's", code)
	}
	if t.Failed() {
		t.Log(shortened(stderr))
	}
}

func TestAReportShowsTheLineOfTheProgram(t *testing.T) {
	for _, name := range []string{"View.Set and View.At", "View.Set and Region.ReadAt", "AtomicView.Load and View.Set"} {
		_, stderr, code := runRacers(t, name)
		if code != 66 || !strings.Contains(stderr, "DATA RACE") {
			t.Errorf("%s: the child ended with %d and\n%s", name, code, stderr)
			continue
		}
		// Both stacks begin with frames of the library. The next is the program's.
		for part := range strings.SplitSeq(stderr, "\n\n") {
			if lines := strings.Split(part, "\n"); strings.Contains(part, "rite at 0x") || strings.Contains(part, "ead at 0x") {
				if !strings.Contains(part, "/detector_") {
					t.Errorf("%s: a stack without the program's line:\n%s", name, strings.Join(lines, "\n"))
				}
			}
		}
	}
	if _, stderr, code := runRacers(t, "a flag hands over: Store, Load"); code != 0 || strings.Contains(stderr, "DATA RACE") {
		t.Errorf("a correct program: the child ended with %d and\n%s", code, stderr)
	}
}

// The tools of the programs.

// beside runs functions beside each other, with nothing that orders one before
// another.
func beside(fns ...func()) {
	var wg sync.WaitGroup
	for _, fn := range fns {
		wg.Go(fn)
	}
	wg.Wait()
}

// turns are an order that the detector does not see: a counter in raw memory.
type turns struct{ n *uint32 }

func newTurns(t testing.TB) turns {
	v, err := ViewOf[uint32](anonymousRegion(t, 4), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return turns{v.Ptr(0)}
}

// wait waits until k turns are over, and done ends one.
func (s turns) wait(k uint32) {
	for atomic.LoadUint32(s.n) < k {
		runtime.Gosched()
	}
}

func (s turns) done() { atomic.AddUint32(s.n, 1) }

// unseenTurns runs functions one after the other, in an order that the detector does not
// see. Of two accesses at the same moment, it may miss the race, and in time it forgets
// what a goroutine did that has ended.
func unseenTurns(t testing.TB, fns ...func()) {
	s := newTurns(t)
	var all []func()
	for k, fn := range fns {
		all = append(all, func() { s.wait(uint32(k)); fn(); s.done(); s.wait(uint32(len(fns))) })
	}
	beside(all...)
}

// raceFile makes a file of zeros.
func raceFile(t testing.TB, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

// sameFile maps the file read-write as often as asked, so that the detector knows that
// it is one file: by separate Opens, or where ids do not tell, from one *os.File.
func sameFile(t testing.TB, name string, configs ...Config) []*Region {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	separate := hasOwnID(t, f)
	var regions []*Region
	for _, c := range configs {
		r, err := c.Open(name)
		if !separate {
			need(t, r, err)
			r, err = c.Map(f)
		}
		regions = append(regions, need(t, r, err))
	}
	return regions
}

func hasOwnID(t testing.TB, f *os.File) (has bool) {
	t.Helper()
	if err := control(f, func(h handle) error { has = h.hasOwnID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return has
}

// two are two regions of one new file.
func two(t testing.TB, size int64) (a, b *Region) {
	t.Helper()
	both := sameFile(t, raceFile(t, size), Config{Mode: ReadWrite}, Config{Mode: ReadWrite})
	return both[0], both[1]
}

func viewAt[T Fixed](t testing.TB, r *Region, off int) View[T] {
	t.Helper()
	v, err := ViewOf[T](r, off, 1)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func atomicAt[T AtomicInteger](t testing.TB, r *Region, off int) AtomicView[T] {
	t.Helper()
	v, err := AtomicOf[T](r, off, 1)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must2[T any](t testing.TB) func(x T, err error) T {
	return func(x T, err error) T { t.Helper(); must(t, err); return x }
}
