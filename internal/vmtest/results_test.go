package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

const printed = `=== RUN   TestGood
    a_test.go:1: not worth showing
--- PASS: TestGood (0.00s)
=== RUN   TestElsewhere
    a_test.go:9: ` + plan.Elsewhere + ` another job has
--- SKIP: TestElsewhere (0.00s)
=== RUN   TestParts
=== RUN   TestParts/one
    a_test.go:2: no such device
=== RUN   TestParts/two
    a_test.go:3: got 4,
        want 5
=== NAME  TestParts
    a_test.go:4: after all
--- FAIL: TestParts (12.50s)
    --- SKIP: TestParts/one (0.00s)
    --- FAIL: TestParts/two (0.01s)
=== RUN   TestCrash
=== PAUSE TestCrash
=== RUN   TestWait
=== CONT  TestCrash
panic: on purpose
goroutine 1:`

func TestResultsOfTests(t *testing.T) {
	r := newResults()
	var shown []string
	for line := range strings.Lines(printed) {
		shown = append(shown, r.add(strings.TrimSuffix(line, "\n"))...)
	}
	shown = append(shown, r.end("exit status 2")...)
	want := []string{
		"    a_test.go:4: after all", "--- FAIL: TestParts (12.50s)",
		"    a_test.go:2: no such device", "--- SKIP: TestParts/one (0.00s)",
		"    a_test.go:3: got 4,", "        want 5", "--- FAIL: TestParts/two (0.01s)",
		"panic: on purpose", "goroutine 1:", "did not end: TestCrash, TestWait", "exit status 2",
	}
	if d := cmp.Diff(want, shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	if got := fmt.Sprint(r.passed, r.failed, r.skipped, r.failures, r.slow); got != "1 4 1 [TestParts TestParts/two TestCrash TestWait] [TestParts 12.50s]" {
		t.Errorf("counted %s", got)
	}
}

// guestThat is a machine whose console shows these lines, and which then stops.
func guestThat(failure string, lines ...string) (*guest, string) {
	var log strings.Builder
	g := newGuest(&log, false, []string{"mmap"})
	for _, l := range lines {
		g.line(l)
	}
	g.off(failure)
	return g, log.String()
}

func reported(r plan.Report) string { return strings.TrimSpace(r.String()) }

var (
	up    = reported(plan.Report{Event: plan.Up, Release: "6.1", PageSize: 65536, BigEndian: true, FileSystem: "ext4"})
	begin = reported(plan.Report{Event: plan.Begin, Task: "mmap"})
	ended = reported(plan.Report{Event: plan.End, Task: "mmap"})
	wrong = reported(plan.Report{Event: plan.End, Task: "mmap", Error: "exit status 1"})
	pass  = "--- PASS: TestA (0.00s)"
)

func TestAMachinePassesOnlyIfItDidAllThatItWasToldTo(t *testing.T) {
	b := &boot{plan: plan.Plan{Tasks: []plan.Task{{Name: "mmap"}}}}
	for _, tt := range []struct {
		name, failure string
		lines         []string
		want          string // in the error; "" for none
		shown         string // in the log
	}{
		{"all is well", "", []string{"SeaBIOS", up, begin, "=== RUN TestA", pass, ended}, "", "1 passed"},
		{"a test fails", "", []string{up, begin, "=== RUN TestA", "    why", "--- FAIL: TestA (0.00s)", wrong}, "TestA", "    why"},
		{"a program fails without a failed test", "", []string{up, begin, pass, wrong}, "exit status 1", ""},
		{"it stops in a test", "killed", []string{up, begin, "=== RUN   TestA", "stuck"}, "TestA", "stuck"},
		{"it never comes up", "not up", []string{"Kernel panic"}, "not up", "Kernel panic"},
		{"it stops before a task", "", []string{up}, "0 of 1", ""},
		{"no test ran", "", []string{up, begin, "testing: warning: no tests to run", "PASS", ended}, "no test", ""},
		{"it says that something is amiss", "", []string{up, reported(plan.Report{Event: plan.Note, Error: "module x"}), begin, pass, ended}, "", "module x"},
	} {
		g, log := guestThat(tt.failure, tt.lines...)
		err := job{}.verdict(b, g)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || !strings.Contains(log, tt.shown) {
			t.Errorf("%s: %v; shows\n%s", tt.name, err, log)
		}
	}
}

func TestTheSummaryFailsForWhatFailedAndForWhatIsNotToBeHad(t *testing.T) {
	g, _ := guestThat("", up, begin, pass, ended)
	good := outcome{machine: "s390x", job: "suite", guest: g, how: "TCG", seconds: 61}
	bad := outcome{machine: "arm64", job: "suite", guest: g, err: errors.New("1 test failed")}
	none := outcome{machine: "ppc64le", job: "suite", err: fmt.Errorf("qemu: %w", errUnavailable)}
	for _, tt := range []struct {
		outcomes []outcome
		optional bool
		status   int
		words    []string
	}{
		{[]outcome{good}, false, 0, []string{"s390x    suite  6.1     65536  big    ext4      1       0       0        TCG  61", "1 of 1"}},
		{[]outcome{good, bad}, true, 1, []string{"FAILED arm64, suite: 1 test failed", "1 of 2"}},
		{[]outcome{good, none}, true, 0, []string{"left out: ppc64le, suite: qemu", "1 of 2"}},
		{[]outcome{good, none}, false, 1, []string{"FAILED ppc64le"}},
	} {
		var out strings.Builder
		if got := summary(tt.outcomes, options{optional: tt.optional}, &out); got != tt.status {
			t.Errorf("status %d, want %d", got, tt.status)
		}
		for _, w := range tt.words {
			if !strings.Contains(out.String(), w) {
				t.Errorf("the summary lacks %q:\n%s", w, out.String())
			}
		}
	}
}
