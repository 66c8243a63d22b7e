package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// Results are what a test program prints with -test.v, read line by line as it
// runs: which tests passed, failed and were skipped, subtests too, and what each
// of them printed.
type results struct {
	passed, failed, skipped int
	failures                []string // names
	begun                   []string // have no result yet
	current                 string   // prints the lines that come
	output                  map[string][]string
	slow                    []string // tests that took 10 seconds and more
}

var (
	testSwitch = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) +(\S+)$`)
	testResult = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+s)\)$`)
)

func newResults() *results { return &results{output: make(map[string][]string)} }

// add takes a line. Where it ends a test that failed or was skipped, it returns
// what a reader wants to see of that.
func (r *results) add(line string) (show []string) {
	if found := testSwitch.FindStringSubmatch(line); found != nil {
		r.current = found[2]
		if found[1] == "RUN" {
			r.begun = append(r.begun, r.current)
		}
		return nil
	}
	found := testResult.FindStringSubmatch(line)
	if found == nil {
		r.output[r.current] = append(r.output[r.current], line)
		return nil
	}
	what, name := found[1], found[2]
	if what == "SKIP" && strings.Contains(strings.Join(r.output[name], "\n"), plan.Elsewhere) {
		what = "ELSEWHERE" // another job's machine runs it
	}
	if len(found[3]) > len("9.99s") && !strings.Contains(name, "/") {
		r.slow = append(r.slow, name+" "+found[3])
	}
	switch what {
	case "PASS":
		r.passed++
	case "FAIL":
		r.failed++
		r.failures = append(r.failures, name)
	case "SKIP":
		r.skipped++
	}
	if what == "FAIL" || what == "SKIP" {
		show = append(r.output[name], fmt.Sprintf("--- %s: %s (%s)", what, name, found[3]))
	}
	delete(r.output, name)
	r.begun = slices.DeleteFunc(r.begun, func(s string) bool { return s == name })
	return show
}

// end takes the end of the program, and how it failed. A test without a result
// failed with it: one that crashed, or was still running.
func (r *results) end(failure string) (show []string) {
	if failure == "" {
		return nil
	}
	show = r.output[r.current]
	if len(r.begun) > 0 {
		r.failed += len(r.begun)
		r.failures = append(r.failures, r.begun...)
		show = append(show, "did not end: "+strings.Join(r.begun, ", "))
	}
	return append(show, failure)
}
