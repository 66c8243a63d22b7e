// Benchmarks measures, side by side in one run, package mmap, other ways in Go to do
// the same work, and C.
//
//	go run .           # everything: takes a quarter of an hour, and 6 GB of disk
//	go run . -quick    # less of everything: takes 2 minutes
//	go run . -run scan # only the workloads whose names match
//
// It writes a table and plots to results. With -check it fails if a goal that compares
// code with code is missed by more than 10 percent.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// A workload prepares data, and holds contests.
type workload struct {
	name string
	run  func(*session) error
}

var workloads = []workload{
	{"typed", typedLoops},
	{"bulk", bulkCopies},
	{"random", randomAccess},
	{"safety", safety},
	{"small", smallFiles},
	{"growth", growth},
	{"append", appending},
	{"scale", scale},
	{"scan", firstScan},
	{"cold", coldData},
	{"processes", twoProcesses},
}

func main() {
	quick := flag.Bool("quick", false, "less of everything: under 3 minutes")
	run := flag.String("run", "", "only workloads whose names match this regular `expression`")
	check := flag.Bool("check", false, "fail if a goal that compares code with code is missed by more than 10 percent")
	dir := flag.String("dir", os.TempDir(), "`folder` for the files that are mapped; a disk, not memory")
	out := flag.String("out", "results", "`folder` for the table and the plots")
	flag.Parse()
	if flag.Arg(0) == "peer" { // the other of two processes
		if err := twoPeer(flag.Args()[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "benchmarks: peer:", err)
			os.Exit(1)
		}
		return
	}
	if err := measure(*quick, *check, *run, *dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func measure(quick, check bool, run, dir, out string) error {
	only, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	dir, err = os.MkdirTemp(dir, "mmap-benchmarks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &session{quick: quick, dir: dir, start: time.Now(), machine: machine(dir)}
	s.insists = check
	for _, w := range workloads {
		if !only.MatchString(w.name) {
			continue
		}
		if err := w.run(s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	progress("")
	if err := s.write(out, time.Since(s.start)); err != nil {
		return err
	}
	if check {
		return s.check()
	}
	return nil
}

// check returns an error that lists the goals that are missed.
func (s *session) check() error {
	var missed []string
	for _, r := range s.results {
		for _, v := range r.missed() {
			missed = append(missed, fmt.Sprintf("%s: %s: %.4g, not %s", r.name, v.text, v.got, v.limit()))
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("missed by more than 10 percent:\n%s", strings.Join(missed, "\n"))
	}
	return nil
}
