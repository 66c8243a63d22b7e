package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A guest is what is known of a machine that runs, from the lines on its console.
type guest struct {
	log     io.Writer
	verbose bool // print every line

	up      plan.Report         // with the event, once the machine is up, or waits before that
	task    string              // that runs
	ended   []string            // tasks
	lines   map[string][]string // what a task printed; by "", the kernel between tasks
	tests   map[string]*results // of the tasks that are tests
	trouble []string            // what is not a failed test
	before  []string            // lines before the guest was up, which say why it is not
}

// newGuest is one that is not up yet. tests are the tasks that are test programs.
func newGuest(log io.Writer, verbose bool, tests []string) *guest {
	g := &guest{log: log, verbose: verbose, lines: make(map[string][]string), tests: make(map[string]*results)}
	for _, name := range tests {
		g.tests[name] = newResults()
	}
	return g
}

// line takes a line of the console.
func (g *guest) line(line string) {
	r, ok := plan.ParseReport(line)
	if g.verbose || ok && r.Event == plan.Note {
		fmt.Fprintln(g.log, line)
	}
	switch {
	case !ok && g.up.Event == "":
		g.before = append(g.before, line)
	case !ok:
		g.lines[g.task] = append(g.lines[g.task], line)
		if tests := g.tests[g.task]; tests != nil {
			g.show(tests.add(line))
		}
	case r.Event == plan.Up, r.Event == plan.Wait:
		g.up = r
	case r.Event == plan.Begin:
		g.task = r.Task
	case r.Event == plan.End:
		g.end(r)
	}
}

func (g *guest) end(r plan.Report) {
	if tests := g.tests[r.Task]; tests != nil {
		g.show(tests.end(r.Error))
	}
	if r.Error != "" {
		g.trouble = append(g.trouble, r.Task+": "+r.Error)
	}
	g.task = ""
	g.ended = append(g.ended, r.Task)
	if tests := g.tests[r.Task]; tests != nil {
		fmt.Fprintf(g.log, "%s: %d passed, %d failed, %d skipped in %.0f s\n", r.Task, tests.passed, tests.failed, tests.skipped, r.Seconds)
		if len(tests.slow) > 0 {
			fmt.Fprintf(g.log, "slow: %s\n", strings.Join(tests.slow, ", "))
		}
	}
}

// off takes the end of the machine, and how it failed. What ran then has failed.
func (g *guest) off(failure string) {
	if g.up.Event == "" {
		g.show(g.before)
		failure = "the machine did not come up; " + failure
	} else if g.task != "" {
		g.end(plan.Report{Event: plan.End, Task: g.task, Error: "the machine stopped; " + failure})
		return
	}
	if failure != "" {
		g.show(g.lines[""])
		g.trouble = append(g.trouble, strings.TrimSuffix(failure, "; "))
	}
}

func (g *guest) show(lines []string) {
	if !g.verbose {
		for _, l := range lines {
			fmt.Fprintln(g.log, l)
		}
	}
}

// counts adds up the tests.
func (g *guest) counts() (passed, failed, skipped int) {
	for _, t := range g.tests {
		passed, failed, skipped = passed+t.passed, failed+t.failed, skipped+t.skipped
	}
	return passed, failed, skipped
}
